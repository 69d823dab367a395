"""Recomputes the figures of models/translate_text.safetensors, beside a dictionary of words.

python training/evaluate_translation.py models/translate_text.safetensors
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import beam_rnn as rnn
from beam_rnn.features import Pieces
from beam_rnn.features.pieces import MARK
from training import dictionary, verses
from training.verses import Verse

ALPHA = 0.6
_AT_ONCE = 256


def translate(
    model: rnn.EncoderDecoder, texts: Sequence[str], width: int
) -> list[tuple[str, list[tuple[int, int]]]]:
    """Texts in the other language, and (piece written, piece read) of each."""
    reader, known = Pieces(model.encoder.vocabulary or ()), model.vocabulary or ()
    ids = [[id for _, id in reader.whole(text)] for text in texts]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    found: list[tuple[str, list[tuple[int, int]]]] = [("", [])] * len(ids)
    for first in range(0, len(order), _AT_ONCE):
        own = order[first : first + _AT_ONCE]
        best = model.translate([ids[i] for i in own], width=width, alpha=ALPHA)
        for i, (hypothesis, *_) in zip(own, best, strict=True):
            pieces = [known[id] for id in hypothesis.tokens.tolist()]
            assert hypothesis.alignment is not None
            pairs = list(enumerate(hypothesis.alignment.tolist()))
            found[i] = "".join(pieces).replace(MARK, " ").strip(), pairs
    return found


def bleu(found: Sequence[str], wanted: Sequence[str]) -> tuple[float, float]:
    """BLEU and chrF of sacrebleu, as it is by default."""
    import sacrebleu

    return (
        sacrebleu.corpus_bleu(found, [wanted]).score,
        sacrebleu.corpus_chrf(found, [wanted]).score,
    )


def figures_of(model: rnn.EncoderDecoder, splits: verses.Splits) -> dict[str, float]:
    """What the card says of the test verses."""
    read = [verse.english.text for verse in splits.test]
    wanted = [verse.spanish.text for verse in splits.test]
    words = dictionary.learn((v.english.text, v.spanish.text) for v in splits.train)
    found = [text for text, _ in translate(model, read, 4)]
    by_word = [dictionary.translate(text, words) for text in read]
    figures = {"BLEU": bleu(found, wanted)[0], "BLEU_of_a_dictionary": bleu(by_word, wanted)[0]}
    return {f"test_{name}": round(value, 2) for name, value in figures.items()}


def aligned(model: rnn.EncoderDecoder, part: Sequence[Verse]) -> tuple[float, float]:
    """How often attention reads a piece of the same number, and how often one at random would.

    Of the verses as they stand in the Spanish Bible, the pieces whose number the English verse has.
    """
    english, spanish = Pieces(model.encoder.vocabulary or ()), Pieces(model.vocabulary or ())
    right = chance = count = 0.0
    for verse in part:
        source, target = verses.coded(verse.english, english), verses.coded(verse.spanish, spanish)
        weights = model.attention([id for id, _ in source], [id for id, _ in target])
        for (_, numbers), row in zip(target, weights, strict=True):
            same = [bool({*numbers} & {*own}) for _, own in source]
            if any(same):
                most = int(row.argmax())
                right += most < len(same) and same[most]
                chance += sum(same) / len(same)
                count += 1
    return right / count, chance / count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--part", choices=("valid", "test"), default="test")
    parser.add_argument("--widths", type=int, nargs="+", default=[1, 4, 8])
    options = parser.parse_args()
    model: Any = rnn.load(options.model)
    splits = verses.read()
    part: list[Verse] = getattr(splits, options.part)
    read, wanted = [v.english.text for v in part], [v.spanish.text for v in part]
    words = dictionary.learn((v.english.text, v.spanish.text) for v in splits.train)
    rows = {"word by word": bleu([dictionary.translate(text, words) for text in read], wanted)}
    for width in options.widths:
        start = time.time()
        found = [text for text, _ in translate(model, read, width)]
        rows[f"this model, width {width}"] = bleu(found, wanted)
        print(f"width {width}: {time.time() - start:.0f} s for {len(part):,} verses", flush=True)
    base = rows["word by word"][0]
    print(f"| {options.part}, {len(part):,} verses | BLEU | chrF | of the dictionary's BLEU |")
    print("|---|---|---|---|")
    for name, (one, other) in rows.items():
        print(f"| {name} | {one:.2f} | {other:.2f} | {one / base:.2f} |")
    right, chance = aligned(model, part[:200])
    print(f"attention reads a piece of the same number: {right:.1%}, at random {chance:.1%}")


if __name__ == "__main__":
    main()
