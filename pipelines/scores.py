"""What is made of tunes in plain ABC: notes in time, MIDI, sound, a piano roll, ABC to read."""

import re
import wave
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import abcnotes
import mido
import numpy as np

from beam_rnn.features import tunes

SECONDS = 2.0  # of a whole note
_RATE = 22_050  # of the sound
_A4, _C4 = 69, 60  # of MIDI
_PROGRAM = 40  # a violin
_BEATS = 480  # ticks of a quarter note
_DRAWN = 6  # streams in the picture
_LONG = 48.0  # seconds of each that are drawn
_NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
_SEED, _NEW = "#7a8694", "#d9541e"


class Melody(NamedTuple):
    """A tune: its plain text, of which the first characters were given."""

    text: str
    given: int = 0


class Sound(NamedTuple):
    """A note as it is played."""

    start: float  # seconds
    length: float
    pitch: int  # of MIDI
    given: bool  # whether it is of the seed


def _head(text: str) -> int:
    """Where the notes begin: behind metre, unit and key."""
    return [found.end() for found in re.finditer("\n", text)][2]


def sounds_of(melody: Melody, start: float = 0.0) -> tuple[list[Sound], list[float]]:
    """The notes of a tune, with its repeats, and when its bars begin; the last is its end."""
    tune = _parsed(melody.text)
    given = {id(note) for note in tune.notes[: len(_parsed(melody.text[: melody.given]).notes)]}
    sounds: list[Sound] = []
    bars = [start]
    tied = False
    for bar in tune.expand_repeats(strict=False):
        now = bars[-1]
        for token in bar:
            if not isinstance(token, abcnotes.Note | abcnotes.Rest):
                continue
            length = float(token.abs_duration) * SECONDS
            if isinstance(token, abcnotes.Note):
                pitch = _C4 + token.pitch.abs_value
                if tied and sounds and sounds[-1].pitch == pitch:
                    sounds[-1] = sounds[-1]._replace(length=sounds[-1].length + length)
                else:
                    sounds.append(Sound(now, length, pitch, id(token) in given))
                tied = bool(token.tie)
            now += length
        if now > bars[-1]:
            bars.append(now)
    return sounds, bars


def _parsed(text: str) -> Any:
    return abcnotes.Tune(abc=f"X:1\nT:\n{text or 'K:C'}", strict=False)


def played(melodies: Iterable[Melody]) -> tuple[list[Sound], list[float]]:
    """Tunes one after the other, a whole note of silence between them."""
    sounds: list[Sound] = []
    bars: list[float] = []
    for melody in melodies:
        more, starts = sounds_of(melody, bars[-1] + SECONDS if bars else 0.0)
        sounds += more
        bars += starts
    return sounds, bars


def write_midi(path: Path, sounds: Sequence[Sound]) -> None:
    """One track."""
    file = mido.MidiFile(ticks_per_beat=_BEATS)
    track = mido.MidiTrack()
    file.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=round(SECONDS / 4 * 1e6)))
    track.append(mido.Message("program_change", program=_PROGRAM))
    turns = []
    for sound in sounds:
        if 0 <= sound.pitch < 128:
            begin, end = (_ticks(t) for t in (sound.start, sound.start + sound.length))
            turns += [(begin, 1, sound.pitch), (max(end, begin + 1), 0, sound.pitch)]
    at = 0
    for when, on, pitch in sorted(turns):  # a note ends before the next begins
        kind = "note_on" if on else "note_off"
        track.append(mido.Message(kind, note=pitch, velocity=80 * on, time=when - at))
        at = when
    file.save(path)


def _ticks(seconds: float) -> int:
    return round(seconds / SECONDS * 4 * _BEATS)


def write_wav(path: Path, sounds: Sequence[Sound]) -> None:
    """A plucked string, one channel."""
    end = max((sound.start + sound.length for sound in sounds), default=0.0)
    samples = np.zeros(int((end + 1) * _RATE), np.float32)
    for sound in sounds:
        t = np.arange(int((sound.length + 0.15) * _RATE)) / _RATE
        pitch = 440 * 2 ** ((sound.pitch - _A4) / 12)
        tone = sum(np.sin(2 * np.pi * k * pitch * t) * np.exp(-3 * k * t) / k for k in range(1, 6))
        fades = np.minimum(1, np.minimum(t / 0.005, (t[-1] - t) / 0.05))
        first = int(sound.start * _RATE)
        samples[first : first + len(t)] += (0.25 * tone * fades)[: len(samples) - first]
    data = (samples.clip(-1, 1) * 32767).astype("<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(data)


def spelled(number: int, title: str, text: str) -> str:
    """A tune as an ABC file has it, four bars in a line."""
    head, body = text[: _head(text)], text[_head(text) :].rstrip("\n")
    lines, bars = [""], 0
    for token in tunes.tokens(body):
        lines[-1] += token
        if token in tunes.LINES - {"|:"}:
            bars += 1
            lines[-1] += " "
            if bars % 4 == 0 and token not in ("|1", "|2", ":|2"):
                lines.append("")
    notes = "\n".join(line.strip() for line in lines if line)
    title = " ".join(title.split())
    return f"X:{number}\nT:{title}\n{head}{notes}\n\n"


def draw(path: Path, streams: dict[str, list[Melody]]) -> None:
    """Draws the piano roll of the first streams as PNG: what was given grey, what is new red."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    chosen = list(streams)[:_DRAWN]
    rows = max(len(chosen), 1)
    figure, axes = pyplot.subplots(rows, 1, figsize=(15, 0.7 + 2.1 * rows), squeeze=False)
    for axis, stream in zip(axes.flat, chosen, strict=False):
        _draw_stream(axis, stream, streams[stream])
    if not chosen:
        axes[0, 0].set_axis_off()
    figure.suptitle(
        "What is played, second by second: grey, the seed; red, what the network went on with",
        fontsize=11, x=0.01, ha="left",
    )  # fmt: skip
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _draw_stream(axis: Any, stream: str, melodies: list[Melody]) -> None:
    sounds, bars = played(melodies)
    shown = [sound for sound in sounds if sound.start < _LONG]
    for given, colour in ((True, _SEED), (False, _NEW)):
        own = [sound for sound in shown if sound.given is given]
        for sound in own:
            bar = [(sound.start, max(sound.length - 0.02, 0.02))]
            axis.broken_barh(bar, (sound.pitch - 0.5, 1), color=colour, lw=0)
    axis.vlines([b for b in bars if b < _LONG], 0, 1, transform=axis.get_xaxis_transform(),
                color="#dddddd", lw=0.6, zorder=0)  # fmt: skip
    pitches = [sound.pitch for sound in shown] or [_C4, _A4]
    ticks = range(min(pitches), max(pitches) + 1)
    white = [p for p in ticks if len(_NAMES[p % 12]) == 1 and p % 12 in (2, 7, 9)]
    axis.set_yticks(white, [_NAMES[p % 12] for p in white], fontsize=7)
    axis.set(xlim=(0, _LONG), ylim=(min(pitches) - 1.5, max(pitches) + 1.5))
    axis.tick_params(axis="x", labelsize=7)
    head = " ".join(melodies[0].text.split("\n")[:3]) if melodies else ""
    axis.set_title(f"{stream}  ({head})".replace("$", r"\$"), fontsize=9, loc="left")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
