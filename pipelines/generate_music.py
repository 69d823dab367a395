"""Melodies without end: from a seed tune or from nothing, some notes more at each tick.

    python -m beam_rnn generate-music [--input PATH] [--output FOLDER] [options of Beam]

Reads an ABC file, whose tunes are the seeds of one stream each, or JSON lines with `stream`,
`time`, `text` and perhaps `end` from a file, a growing folder, standard input or Kafka: a text is
a tune in ABC with which the stream begins anew, or empty, which is a tick. After each the next
tokens of the stream are drawn; when a tune ends, the next begins. Writes drawn/*.parquet,
seeds/*.parquet, tunes.abc, melody-*.mid, roll.png, with --wav melody-*.wav, index.html and
failed.jsonl.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np

import beam_rnn as rnn
from beam_rnn.features import tunes
from beam_rnn.features.tunes import Abc
from beam_rnn.report import Piece, Section
from pipelines import seeds, sinks, sources
from pipelines.application import Application, Rows, View
from pipelines.events import Event
from pipelines.job import Refused, is_here
from pipelines.pages import Look
from pipelines.places import MODELS, SAMPLES
from pipelines.scores import Melody
from pipelines.texts import is_last

DRAWN, SEEDS = "drawn", "seeds"
TUNES, PICTURE = "tunes.abc", "roll.png"
MIDI, WAV = "melody-{:02}.mid", "melody-{:02}.wav"
END = "\n"  # the token that ends a tune; the next begins behind it
FILES = 12  # streams that get a file of their own
TEMPERATURE = 0.7


class Drawn(NamedTuple):
    """A row of the output: what was drawn at a tick.

    ``time`` is in microseconds since 1970, ``step`` the place of the last token since the stream
    began, ``score`` the logarithm of the probability of all, ``ends`` how many tunes ended.
    """

    stream: str
    time: int
    step: int
    tokens: int
    abc: str
    score: float
    ends: int


class Seed(NamedTuple):
    """A row of the output: a seed as it was read, and its number of tokens, as Drawn has them."""

    stream: str
    time: int
    step: int
    abc: str


class Seeded:
    """Event -> the ids of its seed, or None for a tick."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._abc = Abc(vocabulary)

    def __call__(self, event: Event) -> list[int] | None:
        """Raises rnn.InputError where the text is no tune."""
        return self._abc.ids(seed_of(event.text)) if event.text.strip() else None


def seed_of(text: str) -> str:
    """A tune in plain ABC that may go on.

    Raises:
      rnn.InputError: the text is no tune.
    """
    found = tunes.split(text)
    if len(found) != 1:
        many = f"{len(found)} tunes" if found else "no tune (it has no field K:)"
        raise rnn.InputError(f"expected a tune in ABC, or an empty text for a tick, got {many}")
    return tunes.plain(found[0], ended=False)


def composer_of(path: str) -> tuple[rnn.Network, Seeded]:
    """A network that writes tunes, and what feeds it with events.

    Raises:
      rnn.WeightsError: the file cannot be read.
      rnn.ModelError: it holds another kind of network.
    """
    network = rnn.load(path)
    known = network.vocabulary
    if known is None or network.input_shape != () or END not in known or "|" not in known:
        raise rnn.ModelError(f"{path} writes no tunes: its vocabulary has no bar line, or no end")
    return network, Seeded(known)


def allowed_of(network: rnn.Network) -> list[int]:
    """The ids that may be drawn: whole tokens, not the characters that stand for rare ones."""
    return [i for i, token in enumerate(network.vocabulary or ()) if tunes.is_token(token)]


@dataclass(frozen=True)
class _More:
    """Event -> how many tokens are drawn after it."""

    tokens: int

    def __call__(self, event: Event) -> int:
        return 0 if event.end else self.tokens


def _lines(given: argparse.Namespace) -> sources.Lines:
    if _is_abc(given):
        return seeds.Seeds(given.input, given.free, given.ticks)
    return sources.lines_of(given.input)


def _answer(events: Any, given: argparse.Namespace) -> Rows:
    network, seeded = composer_of(given.model)
    drawn = events | "Generate" >> rnn.Generate(
        given.model,
        x=seeded,
        more=_More(given.more),
        reset=_is_seed,
        end=is_last,
        expire_after=given.expire_after,
        start=0,
        allowed=allowed_of(network),
        temperature=given.temperature,
        top_p=given.top_p,
        seed=given.seed,
    )
    return {
        DRAWN: drawn | "Drawn" >> beam.Map(_as_drawn).with_output_types(Drawn),
        SEEDS: events | "Seeds" >> beam.FlatMap(_as_seed, seeded).with_output_types(Seed),
    }, [drawn.failed]


def _is_seed(event: Event) -> bool:
    return bool(event.text.strip())


def _as_drawn(generated: tuple[str, Any], time: Any = beam.DoFn.TimestampParam) -> Drawn:
    stream, answer = generated
    tokens = answer.output
    return Drawn(
        stream,
        time.micros,
        answer.step,
        len(tokens),
        "".join(tokens),
        answer.score,
        tokens.count(END),
    )


def _as_seed(item: tuple[str, Event], seeded: Seeded) -> list[Seed]:
    stream, event = item
    try:
        read = seeded(event)
        time = event.time.micros
        return [Seed(stream, time, len(read), seed_of(event.text))] if read else []
    except rnn.InputError:  # Generate reports it
        return []


def melodies_of(drawn: Sequence[Drawn], given: Sequence[Seed]) -> list[Melody]:
    """The tunes of one stream, from its rows in their order; the last may be cut."""
    pieces: list[Melody] = []
    waiting = list(given)
    step = 0
    for row in drawn:
        begins = row.step != step + row.tokens
        while waiting and waiting[0].time <= row.time:
            seed = waiting.pop(0)
            pieces.append(Melody(seed.abc, len(seed.abc)))
            begins = False
        if begins or not pieces:
            pieces.append(Melody(""))
        pieces[-1] = pieces[-1]._replace(text=pieces[-1].text + row.abc)
        step = row.step
    return [
        Melody(text, 0 if place else piece.given)
        for piece in pieces
        for place, text in enumerate(tunes.parted(piece.text))
    ]


def _finish(given: argparse.Namespace, output: Path) -> list[str]:
    from pipelines import scores

    drawn, seeded = _by_stream(output / DRAWN, Drawn), _by_stream(output / SEEDS, Seed)
    streams: dict[str, list[Melody]] = {}
    for stream in sorted(drawn):
        whole = [
            melody._replace(text=tunes.closed(melody.text))
            for melody in melodies_of(drawn[stream], seeded.get(stream, []))
        ]
        if melodies := [melody for melody in whole if melody.text]:
            streams[stream] = melodies
    number, spelled = 0, []
    for stream, melodies in streams.items():
        for place, melody in enumerate(melodies, 1):
            number += 1
            spelled.append(scores.spelled(number, f"{stream}, {place}", melody.text))
    sinks.write_text(output / TUNES, "".join(spelled))
    for place, melodies in enumerate(list(streams.values())[:FILES], 1):
        sounds, _ = scores.played(melodies)
        scores.write_midi(output / MIDI.format(place), sounds)
        if given.wav:
            scores.write_wav(output / WAV.format(place), sounds)
    scores.draw(output / PICTURE, streams)
    rows = [row for own in drawn.values() for row in own]
    characters = sum(len(row.abc) for row in rows)
    bits = -sum(row.score for row in rows) / np.log(2) / max(characters, 1)
    return [
        f"{len(drawn):,} streams, {number:,} tunes, of which {sum(row.ends for row in rows):,}"
        f" ended, {sum(row.tokens for row in rows):,} tokens, {bits:.3f} bits a character"
    ]


def _by_stream(folder: Path, row: type) -> dict[str, list[Any]]:
    rows: dict[str, list[Any]] = {}
    for one in sinks.read_rows(folder, row):
        rows.setdefault(one.stream, []).append(one)
    return rows


def _tell(row: Any) -> str | None:
    if isinstance(row, Drawn):
        return f"{row.stream}  {row.abc.replace(END, ' ')}"
    return None


def _section(stream: str, rows: Sequence[Drawn]) -> Section:
    """What a page shows of a stream: what was drawn, as ABC."""
    text = "".join(row.abc for row in rows)
    ended = sum(row.ends for row in rows)
    return Section(stream, [Piece(text)], f"{ended:,} tunes ended")


LOOK = Look(
    title="Melodies without end",
    lead="Written note by note by a recurrent network, in ABC notation.",
    section=_section,
    rows="ticks",
)


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--more", type=int, default=64, metavar="N", help="tokens drawn at each tick")
    add("--ticks", type=int, default=8, metavar="N", help="of an ABC file; 0: until Ctrl-C")
    add("--free", type=int, default=2, metavar="N", help="streams that begin with nothing")
    add("--temperature", type=float, default=TEMPERATURE, help="0: always the likeliest token")
    add("--top-p", type=float, metavar="P", help="draw from the likeliest tokens alone")
    add("--seed", type=int, default=0, metavar="N", help="another number, other tunes")
    add("--wav", action="store_true", help="write sound, too")


def _is_abc(given: argparse.Namespace) -> bool:
    here = is_here(given.input) and not given.batch
    return here and Path(given.input).suffix.lower() == ".abc"


def _check(given: argparse.Namespace) -> None:
    for name, least in (("more", 1), ("ticks", 0), ("free", 0)):
        if getattr(given, name) < least:
            raise Refused(f"--{name} is {getattr(given, name)}: give a number from {least}")
    if _is_abc(given):
        seeds.read(given.input)


APPLICATION = Application(
    name="generate-music",
    summary="Go on with tunes, or begin new ones, without end.",
    inputs="an ABC file of seeds, or JSON lines: a file, a folder that grows, or -",
    sample=SAMPLES / "seeds.abc",
    model=MODELS / "generate_music.safetensors",
    rows={DRAWN: Drawn, SEEDS: Seed},
    answer=_answer,
    lines=_lines,
    needs=[("matplotlib", "Matplotlib"), ("mido", "mido"), ("abcnotes", "abcnotes")],
    check=_check,
    options=_options,
    finish=_finish,
    files=(TUNES, PICTURE, "melody-*.mid", "melody-*.wav"),
    view=View(_tell),
    look=LOOK,
)

main = APPLICATION.main
