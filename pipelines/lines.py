"""Lines of text and the translator: pieces of lines in, translations out, live or all at once."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.timestamp import Timestamp

import beam_rnn as rnn
from beam_rnn.features import Pieces
from pipelines.events import Event, Failed

FAILED = "failed"
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
        """See ``rnn.Feature``; the memory is the number of pieces, then the unfinished word."""
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

    def readable(self, event: Event) -> Iterator[Any]:
        """The event, or Failed on its output if it has letters that the model does not read.

        The line goes on without it, and ends with it if it was to.
        """
        unknown = self.pieces.unknown(event.text)
        if unknown:
            reason = f"letters that the model does not read: {unknown[:20]}"
            yield TaggedOutput(FAILED, Failed(event.stream, reason, _json(event)))
            event = event._replace(text="\n" * event.text.endswith("\n"))
        if event.text or event.end:
            yield event

    def answers(
        self, events: Iterable[Event], width: int
    ) -> Iterator[tuple[Timestamp, rnn.Translated] | TaggedOutput]:
        """The translations of the lines of one stream, as the live job gives them.

        Args:
          events: of one stream, in order; the last one ends a line.
          width: how many hypotheses are followed at once.
        """
        feature, lines = PiecesOf(self.pieces), []
        line: list[tuple[Place, int]] = []
        memory, last = b"", None
        for event in events:
            last = event
            pairs, memory = feature.feed(event, memory)
            line += pairs
            if ends_line(event):
                lines.append((event, line + feature.finish(memory)))
                line, memory, last = [], b"", None
        if last is not None:
            lines.append((last, line + feature.finish(memory)))
        good = []
        for event, line in lines:
            if len(line) > self.longest:
                bad = rnn.BadEvent(event.stream, self.too_long, line[self.longest][0])
                yield from self.failed(bad)
            elif line:
                good.append((event, line))
            else:
                yield from self.failed(rnn.BadEvent(event.stream, _EMPTY, event))
        ids = [[id for _, id in line] for _, line in good]
        found = self.model.translate(ids, width=width, alpha=ALPHA) if ids else []
        known = self.model.vocabulary
        assert known is not None
        for (event, line), (best, *_) in zip(good, found, strict=True):
            output = [known[id] for id in best.tokens.tolist()]
            alignment = [] if best.alignment is None else (best.alignment + 1).tolist()
            source = [place.piece for place, _ in line]
            answer = rnn.Translated(output, best.score, 1, alignment, len(line), source)
            yield event.time, answer

    @property
    def too_long(self) -> str:
        """What is said of a line that is too long."""
        return f"InputError: a source of more than {self.longest} inputs: it gets no answer"

    def failed(self, bad: rnn.BadEvent) -> Iterator[Any]:
        """What could not be translated, as Failed on its output; an empty line is nothing.

        Of a line that is too long the first piece that is too many is named.
        """
        value = bad.input
        if isinstance(value, Event):
            if value.text.strip():
                yield TaggedOutput(FAILED, Failed(str(bad.stream), bad.reason, _json(value)))
        elif not isinstance(value, tuple):
            yield TaggedOutput(FAILED, Failed(str(bad.stream), bad.reason, str(value)))
        elif value[0] == self.longest + 1:
            told = f"piece {value[0]} of a line: {value[1]}"
            yield TaggedOutput(FAILED, Failed(str(bad.stream), bad.reason, told))

    def line(self, stream: str, time: int, answer: rnn.Translated) -> Line:
        """An answer as a row of the output."""
        pairs = [
            f"{read - 1}-{written}"
            for written, read in enumerate(answer.alignment)
            if read <= answer.steps
        ]
        return Line(
            stream,
            time,
            answer.steps,
            text_of(answer.source),
            text_of(answer.output),
            float(answer.score),
            " ".join(answer.source),
            " ".join(answer.output),
            " ".join(pairs),
        )


_EMPTY = "InputError: an empty source: expected at least one input"


def text_of(pieces: Sequence[str]) -> str:
    """Pieces of words, letters, or names of sounds as a text."""
    if any(piece.startswith(_MARK) for piece in pieces):
        return "".join(pieces).replace(_MARK, " ").strip()
    return ("" if all(len(piece) == 1 for piece in pieces) else " ").join(pieces)


def _json(event: Event) -> str:
    fields = {"stream": event.stream, "time": event.time.to_rfc3339(), "text": event.text}
    return json.dumps(fields, ensure_ascii=False)
