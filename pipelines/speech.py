"""Speech: what the network hears, when somebody speaks, and the picture of both."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beam_rnn.features import PCEN, Frames, LogMel, Stacked
from beam_rnn.report import Kind, Piece, Section
from pipelines.pages import Look

RATE = 8000
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
LOW, HIGH = 80.0, 3500.0  # Hz
BEGINS, ENDS = 0.5, 0.35  # Silero's own: from which probability on somebody speaks, and until when

SECONDS, STREAMS = 20.0, 6  # that are drawn of each stream, and how many
_INK, _VOICE, _WORD = "#777777", "#2e7d32", "#0b57d0"


class Heard(NamedTuple):
    """A row of the output: a text that may change, or a final one.

    ``time``: of the chunk that gave it, in microseconds since 1970; ``step``: frames read;
    ``start`` and ``stop`` in seconds of the stream; ``times``: when each word was heard.
    """

    stream: str
    time: int
    step: int
    text: str
    final: bool
    score: float
    start: float
    stop: float
    times: list[float]


class Voice(NamedTuple):
    """A row of the output: how probable it is that somebody speaks from ``start`` seconds on."""

    stream: str
    time: int
    step: int
    start: float
    score: float


def feature_of(source_rate: int = RATE, hop: int = 80, warp: float = 1.0) -> Stacked:
    """What the network for digits reads: 32 bands of 10 ms, three in a row.

    Args:
      source_rate: of the sound.
      hop: another one makes the speech faster or slower at the same pitch.
      warp: of the frequencies, as a longer or shorter vocal tract does.
    """
    frames = Frames(RATE, 200, hop, source_rate)
    return Stacked(PCEN(LogMel(frames, 32, 256, low=LOW * warp, high=HIGH * warp)), 3)


def voice_of(source_rate: int = RATE) -> Frames:
    """What Silero reads: 32 ms."""
    return Frames(16_000, 512, 512, source_rate, pad=True)


def spells_of(track: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """From when to when somebody speaks, of (seconds, probability) in order."""
    spells: list[tuple[float, float]] = []
    start, at = None, 0.0
    for at, score in track:
        if start is None and score >= BEGINS:
            start = at
        elif start is not None and score < ENDS:
            spells.append((start, at))
            start = None
    if start is not None:
        spells.append((start, at + 0.032))
    return spells


def draw(
    path: Path,
    rate: int,
    words: dict[str, list[tuple[float, str]]],
    tracks: dict[str, list[tuple[float, float]]],
    sounds: dict[str, Any],
) -> None:
    """Draws the beginning of some streams as PNG: waveform, words, and when somebody speaks.

    Args:
      path: of the picture.
      rate: of the sounds.
      words: (seconds, word) of each stream.
      tracks: (seconds, probability that somebody speaks) of each stream.
      sounds: samples of the streams, where they are known.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    chosen = sorted(tracks)[:STREAMS]
    rows = max(len(chosen), 1)
    height = 0.8 + 2.1 * rows
    figure, axes = pyplot.subplots(rows, 1, figsize=(13, height), squeeze=False)
    for axis, stream in zip(axes[:, 0], chosen, strict=False):
        track = [(at, score) for at, score in tracks[stream] if at < SECONDS]
        sound = np.asarray(sounds.get(stream, []))[: int(SECONDS * rate)]
        if len(sound):
            loudest = max(float(np.abs(sound).max()), 1e-9)
            low, high = _envelope(sound, 2_000)
            at = np.linspace(0, len(sound) / rate, len(low))
            axis.fill_between(at, low / loudest, high / loudest, color=_INK, lw=0.3)
        axis.plot(*zip(*track, strict=True), color=_VOICE, lw=1.2)
        for start, stop in spells_of(track):
            axis.axvspan(start, stop, color=_VOICE, alpha=0.12, lw=0)
        for at, word in words.get(stream, []):
            if at < SECONDS:
                axis.axvline(at, color=_WORD, lw=0.7, ls=":")
                axis.text(at, 1.1, word, color=_WORD, fontsize=9, ha="right", va="bottom")
        axis.set(ylim=(-1.1, 1.45), yticks=[0, 1], xlim=(0, track[-1][0] + 0.032))
        axis.tick_params(labelsize=7)
        axis.set_title(stream, fontsize=9, loc="left")
    figure.suptitle(
        "Sound (grey), words where they were heard (blue), and the probability that somebody "
        "speaks (green); seconds",
        fontsize=10,
        x=0.06,
        ha="left",
    )
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _envelope(sound: Any, points: int) -> tuple[Any, Any]:
    """The lowest and highest sample of each of some pieces."""
    size = max(len(sound) // points, 1)
    pieces = sound[: len(sound) // size * size].reshape(-1, size)
    return pieces.min(axis=1), pieces.max(axis=1)


def _section(stream: str, rows: Sequence[Heard]) -> Section:
    """What a page shows of a stream: its final texts, and the one that may still change."""
    pieces = []
    for row in rows:
        if row.final and row.text:
            pieces += [Piece(f"{row.start:7,.1f} s  "), Piece(row.text, "said"), Piece("\n")]
    if rows and not rows[-1].final:
        pieces.append(Piece(f"{rows[-1].start:7,.1f} s  {rows[-1].text} …"))
    return Section(stream, pieces, f"{len(rows):,} texts")


LOOK = Look(
    title="What is said?",
    lead="Digits, written down by a recurrent network while they were spoken.",
    kinds=[Kind("said", "pieces of speech", "said")],
    section=_section,
    rows="texts",
)
