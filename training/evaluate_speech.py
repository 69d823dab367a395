"""How well spoken digits are heard, in strings with gaps and noise.

    python training/evaluate_speech.py models/transcribe_speech.safetensors

The figures of the card: the official test recordings joined to strings of five, each speaker,
one long stream of each, other noise; with `--other`, a voice of another kind (fetches Debian
asterisk-core-sounds-en-wav).
"""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import beam_rnn as rnn
from pipelines.speech import RATE, feature_of
from training import digits, packages
from training.digits import Recording, Sound, errors

FOLDER = packages.CACHE / "speech"
_PROMPTS = "usr/share/asterisk/sounds/en_US_f_Allison/digits"

Strings = Sequence[tuple[Sound, list[int]]]


def hear(network: rnn.Network, sound: Sound) -> list[int]:
    """The digits of the best path."""
    feature = feature_of()
    _, rows, memory = feature.rows(sound, b"")
    rows = np.concatenate([rows, feature.last_rows(memory)[1]])
    y, _ = network.unroll(rows)
    best = y.argmax(axis=1)
    new = best[np.flatnonzero(np.diff(best, prepend=0))]
    return [int(label) - 1 for label in new if label]


def word_error(network: rnn.Network, strings: Strings) -> float:
    """Words to be replaced, added or removed, of all words said."""
    wrong = sum(errors(said, hear(network, sound)) for sound, said in strings)
    return wrong / sum(len(said) for _, said in strings)


def other_voice(folder: Path = FOLDER) -> list[Recording]:
    """The ten digits of a telephone exchange, by a woman."""
    package = packages.debian("asterisk-core-sounds-en-wav", folder)
    recordings = []
    for digit in range(10):
        data = packages.read_debian(package, f"{_PROMPTS}/{digit}.wav")
        sound, rate = soundfile.read(io.BytesIO(data), dtype="float32")
        if rate != RATE:
            raise ValueError(f"{digit}.wav has {rate} samples per second")
        recordings.append(Recording(digit, "Allison", 0, sound))
    return recordings


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, default=digits.DATA, help="the recordings")
    parser.add_argument("--split", default="test", choices=["test", "validation"])
    parser.add_argument("--other", action="store_true", help="a voice of another kind instead")
    options = parser.parse_args()
    network = rnn.load(options.model)

    def tell(name: str, strings: Strings) -> None:
        words = sum(len(said) for _, said in strings)
        print(f"| {name} | {word_error(network, strings):.2%} | {words:,} |", flush=True)

    print("| strings | word error | words |\n|---|---|---|")
    if options.other:
        tell("another voice", digits.strings_of(other_voice(), seed=0, rounds=20))
        return
    recordings = [one for one in digits.read_recordings(options.data) if one.split == options.split]
    tell("of five, 20 dB", digits.strings_of(recordings, seed=0))
    others = [own for seed in range(10, 15) for own in digits.strings_of(recordings, seed)]
    tell("the same in five other draws", others)
    for speaker in sorted({one.speaker for one in recordings}):
        own = [one for one in recordings if one.speaker == speaker]
        tell(speaker, digits.strings_of(own, seed=0))
    tell("of fifty, as one stream", digits.strings_of(recordings, seed=0, number=50))
    for decibels in (30, 10, 5):
        tell(f"of five, {decibels} dB", digits.strings_of(recordings, seed=0, decibels=decibels))


if __name__ == "__main__":
    main()
