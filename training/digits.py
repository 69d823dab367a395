"""Spoken digits (FSDD) joined to strings, with gaps and noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import resample

from pipelines.speech import DIGITS, RATE, feature_of

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "fsdd" / "fsdd.parquet"
CHANGED = 0.75  # share of the training strings in another voice and at another pace
LABELS = ["", *(f" {word}" for word in DIGITS)]  # "" is the blank; a label is a word

Sound = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Recording:
    """One digit, said once."""

    digit: int
    speaker: str
    index: int
    sound: Sound

    @property
    def split(self) -> str:
        """The official test set, and as many again to choose by."""
        return "test" if self.index < 5 else "validation" if self.index < 10 else "train"


def read_recordings(path: Path = DATA) -> list[Recording]:
    return [
        Recording(
            row["digit"],
            row["speaker"],
            row["index"],
            np.frombuffer(row["pcm_s16le_8khz"], "<i2").astype(np.float32) / 32768,
        )
        for row in pq.read_table(path).to_pylist()
    ]


def noise(size: int, colour: float, draw: np.random.Generator) -> Sound:
    """Noise of power 1 whose spectrum falls as 1 / f^colour: white 0, pink 1, brown 2."""
    length = fft.next_fast_len(max(size, 400), real=True)
    spectrum = fft.rfft(draw.standard_normal(length, np.float32))
    falls = np.maximum(np.arange(len(spectrum)), length // 200) ** (-colour / 2)
    wave: Sound = fft.irfft(spectrum * falls.astype(np.float32), length)[:size]
    return wave / wave.std()


def joined(parts: list[Sound], gaps: list[float]) -> Sound:
    """The parts with gaps (seconds) before each and behind the last."""
    pieces = []
    for gap, part in zip(gaps, [*parts, np.zeros(0, np.float32)], strict=True):
        pieces += [np.zeros(int(gap * RATE), np.float32), part]
    return np.concatenate(pieces)


def with_noise(sound: Sound, decibels: float, colour: float, draw: np.random.Generator) -> Sound:
    """The sound with noise that much weaker than what is said."""
    power = np.sqrt(np.mean(np.square(sound[sound != 0]))) if sound.any() else 0.01
    return sound + noise(len(sound), colour, draw) * np.float32(power * 10 ** (-decibels / 20))


def by_speaker(recordings: list[Recording]) -> list[list[Recording]]:
    """The recordings of each speaker."""
    speakers: dict[str, list[Recording]] = {}
    for one in recordings:
        speakers.setdefault(one.speaker, []).append(one)
    return list(speakers.values())


def strings_of(
    recordings: list[Recording],
    seed: int,
    rounds: int = 4,
    number: int = 5,
    decibels: float = 20,
) -> list[tuple[Sound, list[int]]]:
    """Strings of `number` digits by one speaker: each recording once in each round.

    Gaps of 0.1 to 0.5 s, pink noise so much weaker than the speech.
    """
    draw = np.random.default_rng(seed)
    strings = []
    for _ in range(rounds):
        for speaker in sorted({recording.speaker for recording in recordings}):
            own = [recording for recording in recordings if recording.speaker == speaker]
            order = draw.permutation(len(own))
            for start in range(0, len(own), number):
                some = [own[i] for i in order[start : start + number]]
                gaps = draw.uniform(0.1, 0.5, len(some) + 1).tolist()
                sound = joined([recording.sound for recording in some], gaps)
                sound = with_noise(sound, decibels, 1, draw)
                strings.append((sound, [recording.digit for recording in some]))
    return strings


def training_string(
    speakers: list[list[Recording]],
    seconds: float,
    lead: float,
    gaps: Sequence[float],
    draw: np.random.Generator,
) -> tuple[NDArray[np.float32], list[int]]:
    """Rows of a string of random digits, changed as other voices, rooms and lines would.

    Args:
      speakers: the recordings of each, of whom one is taken.
      seconds: the most that it may take.
      lead: seconds before the first digit, at most.
      gaps: seconds behind each, at most: one of these.
    """
    own = speakers[draw.integers(len(speakers))]
    pace, hop, warp = 0, 80, 1.0  # of no change
    if draw.random() < CHANGED:
        pace = int(draw.integers(-4, 5))
        hop = int(draw.integers(64, 105))
        warp = float(np.exp(draw.uniform(np.log(0.82), np.log(1.14))))
    room = seconds * hop / 80 * draw.uniform(0.3, 1.0)  # as many rows whatever the hop
    longest = draw.choice(gaps)
    parts, pauses, said = [], [float(draw.uniform(0, lead))], []
    while True:
        one = own[draw.integers(len(own))]
        own_pace = pace + int(draw.integers(-1, 2)) if pace else 0
        part = changed(played(one, round(1.05**own_pace, 3)), draw)
        pause = float(draw.uniform(0, longest))
        if parts and sum(pauses) + pause + sum(map(len, [*parts, part])) / RATE > room:
            break
        parts.append(part)
        pauses.append(pause)
        said.append(one.digit)
    sound = joined(parts, pauses)
    if draw.random() < 0.9:
        sound = with_noise(sound, draw.uniform(5, 40), draw.uniform(0, 2), draw)
    sound = sound * np.float32(10 ** (draw.uniform(-25, 10) / 20))
    _, rows, _ = feature_of(RATE, hop, warp).rows(np.clip(sound, -1, 1), b"")
    return rows[: int(seconds / 0.03)], said


@cache
def played(recording: Recording, speed: float) -> Sound:
    """A recording faster or slower, and so higher or lower."""
    # From and to lengths whose transforms are fast.
    size = len(recording.sound)
    sound = np.pad(recording.sound, (0, fft.next_fast_len(size, real=True) - size))
    made: Sound = resample(sound, fft.next_fast_len(max(400, int(size / speed)), real=True))
    return made.astype(np.float32)


def changed(sound: Sound, draw: np.random.Generator) -> Sound:
    """A recording whose edges are cut a little, louder or softer."""
    start, stop = draw.integers(0, len(sound) // 30 + 1, 2)
    louder = np.float32(10 ** (draw.normal(0, 2) / 20))
    return sound[start : len(sound) - stop] * louder


def masked(rows: NDArray[np.float32], draw: np.random.Generator) -> NDArray[np.float32]:
    """Normalised rows without some bands and moments (SpecAugment, Park et al., 2019)."""
    rows = rows.reshape(len(rows), 3, -1).copy()
    for _ in range(2):
        width = draw.integers(0, 7)
        start = draw.integers(0, rows.shape[2] - width)
        rows[:, :, start : start + width] = 0
    for _ in range(draw.integers(0, 4)):
        start = draw.integers(0, len(rows))
        rows[start : start + draw.integers(1, 4)] = 0
    return rows.reshape(len(rows), -1)


def errors(said: list[int], heard: list[int]) -> int:
    """Words to be replaced, added or removed (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, a in enumerate(said, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(heard, 1):
            last, row[j] = row[j], min(last + (a != b), row[j] + 1, row[j - 1] + 1)
    return row[-1]
