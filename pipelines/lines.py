"""Lines of text and the translator: pieces of lines in, translations out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

import beam_rnn as rnn
from beam_rnn.features import Pieces
from pipelines.events import FAILED, Event, Failed, as_failed

LONGEST = 100
"""Most pieces of a line."""

ALPHA = 0.6
"""Of the length normalisation."""

_MARK = "\N{LOWER ONE EIGHTH BLOCK}"  # what a word begins with, among pieces of words


class Place(NamedTuple):
    """What an input echoes: its place in its line, from 1, and its piece."""

    place: int
    piece: str


class Line(NamedTuple):
    """A row of the output: a line and its translation.

    ``time`` is in microseconds since 1970, ``step`` how many pieces were read. ``pieces`` and
    ``written`` are those of the line and of the translation, between spaces; ``alignment`` has for
    each that was written "read-written", both counted from 0, where something of the line was read.
    """

    stream: str
    time: int
    step: int
    line: str
    translation: str
    score: float
    pieces: str
    written: str
    alignment: str


def ends_line(event: Event) -> bool:
    """Whether a line ends with the event."""
    return event.end or event.text.endswith("\n")


class PiecesOf:
    """A feature: the pieces of the text of events, numbered in their line."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces

    def feed(self, value: Event, memory: bytes) -> tuple[list[tuple[Place, int]], bytes]:
        """See ``rnn.Feature``; the memory is the number of pieces, then the unfinished word.

        White space begins no line: an end behind it is none of a line.
        """
        if not memory and not value.text.strip():
            return [], memory
        pairs, word = self._pieces.feed(value.text, memory[4:])
        return self._numbered(pairs, memory, word)

    def finish(self, memory: bytes) -> list[tuple[Place, int]]:
        """The pieces of the last word."""
        pairs, _ = self._numbered(self._pieces.finish(memory[4:]), memory, b"")
        return pairs

    def _numbered(self, pairs: Sequence[Any], memory: bytes, word: bytes) -> Any:
        begun = int.from_bytes(memory[:4], "little")
        numbered = [(Place(i, piece), id) for i, (piece, id) in enumerate(pairs, begun + 1)]
        return numbered, (begun + len(pairs)).to_bytes(4, "little") + word


@dataclass(frozen=True)
class Translator:
    """A model that translates lines."""

    model: rnn.EncoderDecoder
    pieces: Pieces

    @classmethod
    def of(cls, path: str) -> "Translator":
        """Reads it.

        Raises:
          rnn.WeightsError: the file cannot be read.
          rnn.ModelError: it holds another kind of model.
        """
        model = rnn.load(path)
        if (
            not isinstance(model, rnn.EncoderDecoder)
            or model.encoder.vocabulary is None
            or model.vocabulary is None
        ):
            raise rnn.ModelError(
                f"{path} is no translator: it needs an encoder and a decoder with vocabularies"
            )
        return cls(model, Pieces(model.encoder.vocabulary))

    @property
    def longest(self) -> int:
        """Most pieces of a line."""
        return min(LONGEST, self.model.longest_source or LONGEST)


class Readable(beam.DoFn):
    """(stream, event) -> the same; Failed on its own output if it has letters that are no pieces.

    Its line goes on without it, and ends with it if it was to.
    """

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces

    def process(self, keyed: tuple[str, Event]) -> Iterator[Any]:
        stream, event = keyed
        unknown = self._pieces.unknown(event.text)
        if unknown:
            reason = f"letters that the model does not read: {unknown[:20]}"
            yield TaggedOutput(FAILED, as_failed(rnn.BadEvent(stream, reason, event)))
            event = event._replace(text="\n" * event.text.endswith("\n"))
        if event.text or event.end:
            yield stream, event


def untranslated(bad: rnn.BadEvent, longest: int) -> Iterator[Failed]:
    """What could not be translated; of a line that is too long the first piece too many."""
    if not isinstance(bad.input, Place):
        yield as_failed(bad)
    elif bad.input.place == longest + 1:
        told = f"piece {bad.input.place} of a line: {bad.input.piece}"
        yield Failed(bad.stream, bad.reason, told)


def as_line(translated: tuple[str, rnn.Translated], time: Any = beam.DoFn.TimestampParam) -> Line:
    """An answer as a row of the output."""
    stream, answer = translated
    pairs = [
        f"{read - 1}-{written}"
        for written, read in enumerate(answer.alignment)
        if read <= answer.steps
    ]
    return Line(
        stream,
        time.micros,
        answer.steps,
        text_of(answer.source),
        text_of(answer.output),
        float(answer.score),
        " ".join(answer.source),
        " ".join(answer.output),
        " ".join(pairs),
    )


def text_of(pieces: Sequence[str]) -> str:
    """Pieces of words, letters, or names of sounds as a text."""
    if any(piece.startswith(_MARK) for piece in pieces):
        return "".join(pieces).replace(_MARK, " ").strip()
    return ("" if all(len(piece) == 1 for piece in pieces) else " ").join(pieces)
