"""Lines that keep coming: a file told again at its pace, a folder that grows, standard input.

Each is one splittable DoFn whose restriction says how far it has read. It ends by itself, or when
``stop()`` is called in its process: then the rest of the pipeline finishes what was read.
"""

import argparse
import json
import os
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import apache_beam as beam
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import MAX_TIMESTAMP, MIN_TIMESTAMP, Duration, Timestamp

from pipelines.events import FAILED, Event, Failed, Observed, WithFailed, ending, kind_of, parse
from pipelines.tracking import PositionTracker

TEXTS = "JSON lines, or plain text (.txt): a file, a folder that grows, or - for standard input"
"""What ``--input`` may name where ``texts_of`` reads it."""

STANDARD_INPUT = "standard input"  # the stream of what comes there without a name

LINES_AT_ONCE = 2_000
BYTES_AT_ONCE = 1 << 20
GATHER = 0.03  # seconds that a paced source waits for more before it hands on what is due
LOOK_AGAIN = 0.05  # seconds between two looks at a source that had nothing
HAND_BACK = 0.25  # seconds without lines after which the runner gets its turn
RESUME = 0.1  # shorter delays slow Prism's state calls

_stop = threading.Event()


def stop() -> None:
    """Asks every source in this process to end."""
    _stop.set()


def stopped() -> bool:
    """Whether ``stop()`` was called."""
    return _stop.is_set()


def start() -> None:
    """Takes an earlier ``stop`` back."""
    _stop.clear()


class Line(NamedTuple):
    """A line without its line break, and the position after it."""

    file: str
    end: int
    data: bytes


class Lines(Protocol):
    """Where lines come from."""

    def read(self, offsets: dict[str, int], closing: bool) -> tuple[list[Line], bool]:
        """Returns the next lines after ``offsets``, and whether no more will ever come.

        ``closing``: nothing more will come, so a last line without a line break counts. After
        ``stop()`` only what has already left the source is returned.
        """


@dataclass(frozen=True)
class File:
    """The lines of a file that does not change."""

    path: str

    def read(self, offsets: dict[str, int], closing: bool) -> tuple[list[Line], bool]:
        """Reads on; see ``Lines``."""
        if _stop.is_set():
            return [], True
        lines = _read(self.path, offsets.get(self.path, 0), whole=True)
        return lines, not lines


@dataclass(frozen=True)
class Folder:
    """The lines of all files in a folder, of new files and of lines appended to them.

    Hidden files and files that end in ``.tmp`` are left alone. The order is that of the file
    names, then of the lines. A file that became shorter is read again from its start.
    """

    path: str

    def read(self, offsets: dict[str, int], closing: bool) -> tuple[list[Line], bool]:
        """Reads on; see ``Lines``."""
        lines: list[Line] = []
        if _stop.is_set():
            return lines, True
        with os.scandir(self.path) as entries:
            files = sorted(
                (entry.path, entry.stat().st_size)
                for entry in entries
                if entry.is_file() and not entry.name.startswith(".")
                if not entry.name.endswith(".tmp")
            )
        for path, size in files:
            offset = offsets.get(path, 0)
            if size < offset:
                offset = 0
                lines.append(Line(path, 0, b""))
            if size > offset:
                lines += _read(path, offset, whole=closing)
            if len(lines) >= LINES_AT_ONCE:
                break
        return lines, False


@dataclass(frozen=True)
class StandardInput:
    """The lines of standard input, as they come. Only in the process that has it."""

    def read(self, offsets: dict[str, int], closing: bool) -> tuple[list[Line], bool]:
        """Reads on; see ``Lines``."""
        return standard_input().take()


def _read(path: str, offset: int, whole: bool) -> list[Line]:
    """The lines of a file from an offset on; a last one without a break only if ``whole``."""
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(BYTES_AT_ONCE)
        if b"\n" not in data:
            data += file.readline()  # one line longer than a block
        last = not file.read(1)
    cut = data.rfind(b"\n") + 1
    lines = []
    for line in data[:cut].splitlines(keepends=True)[:LINES_AT_ONCE]:
        offset += len(line)
        lines.append(Line(path, offset, line.rstrip(b"\r\n")))
    if whole and last and cut < len(data) and len(lines) < LINES_AT_ONCE:
        lines.append(Line(path, offset + len(data) - cut, data[cut:]))
    return lines


class _Reader:
    """Reads a descriptor in a thread, so that a silent input blocks nobody."""

    def __init__(self, descriptor: int, size: int = 0) -> None:
        self.plain: bool | None = None  # whether it is text, as its first line shows
        self._size = size
        self._lines: queue.Queue[bytes | None] = queue.Queue(maxsize=5 * LINES_AT_ONCE)
        self._descriptor = descriptor
        self._count = 0
        self._ended = False
        threading.Thread(target=self._run, name="standard input", daemon=True).start()

    def _run(self) -> None:
        rest = b""
        # Raw reads: a thread inside sys.stdin would hold its lock when the interpreter ends.
        while not _stop.is_set() and (block := os.read(self._descriptor, 1 << 16)):
            lines, rest = self._cut(rest + block)
            for line in lines:
                self._lines.put(line)
        if rest:
            self._lines.put(rest)
        self._lines.put(None)

    def _cut(self, data: bytes) -> tuple[list[bytes], bytes]:
        """The complete lines, and the rest."""
        if self._size:
            whole = len(data) // self._size * self._size
            return [data[i : i + self._size] for i in range(0, whole, self._size)], data[whole:]
        *lines, rest = data.split(b"\n")
        return [line.rstrip(b"\r") for line in lines], rest

    def take(self) -> tuple[list[Line], bool]:
        """The lines that have come, and whether the input has ended."""
        lines: list[Line] = []
        while not self._ended and len(lines) < LINES_AT_ONCE:
            try:
                line = self._lines.get_nowait()
            except queue.Empty:
                break
            if line is None:
                self._ended = True
            else:
                self._count += 1
                lines.append(Line("-", self._count, line))
                if self.plain is None and line.strip():
                    self.plain = not line.lstrip().startswith(b"{")
        return lines, self._ended and not lines


_reader: _Reader | None = None


def standard_input(size: int = 0) -> _Reader:
    """The reader of standard input: of its lines, or of pieces of so many bytes."""
    global _reader
    if _reader is None:
        _reader = _Reader(0, size)
    return _reader


@dataclass(frozen=True)
class Position:
    """How far a source has read: the restriction of its DoFn."""

    offsets: dict[str, int] = field(default_factory=dict)
    latest: Timestamp = MIN_TIMESTAMP  # of the times read so far
    origin: tuple[float, Timestamp] | None = None  # the clock and the time of the first event
    last_read: float = 0.0  # the clock when lines last came, or reading began
    done: bool = False


class _Provider(RestrictionProvider):
    def initial_restriction(self, element: Any) -> Position:
        return Position(last_read=time.time())

    def create_tracker(self, restriction: Position) -> PositionTracker:
        return PositionTracker(restriction)

    def restriction_size(self, element: Any, restriction: Position) -> int:
        return 1


_TRACKER = beam.DoFn.RestrictionParam(_Provider())
_WATERMARK = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider())


class _ReadEvents(beam.DoFn):
    """Impulse -> Event, in the order of the lines; Failed on its own output."""

    def __init__(
        self, lines: Lines, speed: float | None, until_idle: float | None, field: str
    ) -> None:
        self._lines = lines
        self._field = field
        self._speed = speed
        self._until_idle = until_idle

    def setup(self) -> None:
        # What would end each stream that goes on. Not part of the restriction, as it may be large:
        # where a source moves between workers, the runner ends the streams.
        self._open: dict[str, Event | Observed] = {}

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        element: bytes,
        tracker: Any = _TRACKER,
        watermark: Any = _WATERMARK,
    ) -> Iterator[Any]:
        at: Position = tracker.current_restriction()
        began = time.time()
        while True:
            closing = _stop.is_set() or self._idle(at)
            lines, ended = self._lines.read(at.offsets, closing)
            outputs, position, wait = self._due(lines, at)
            if position is not at:
                if tracker.try_claim(position):
                    yield from outputs
                    watermark.set_watermark(position.latest)
                    tracker.defer_remainder(Duration(RESUME))
                return
            if not lines and (ended or closing):
                if tracker.try_claim(Position(done=True)):
                    yield from self._ends()
                    watermark.set_watermark(MAX_TIMESTAMP)
                return
            if time.time() - began > HAND_BACK:
                tracker.defer_remainder(Duration(RESUME))
                return
            _stop.wait(wait)

    def _idle(self, at: Position) -> bool:
        return self._until_idle is not None and time.time() - at.last_read > self._until_idle

    def _due(self, lines: list[Line], at: Position) -> tuple[list[Any], Position, float]:
        """What is due of the lines, the position after it, and how long to wait if nothing is."""
        if not lines:
            return [], at, LOOK_AGAIN
        now = time.time()
        offsets, latest, origin = dict(at.offsets), at.latest, at.origin
        outputs: list[Any] = []
        for line in lines:
            event = parse(line.data, self._field)
            if isinstance(event, Failed):
                if line.data.strip():  # an empty line is nothing
                    failed = TimestampedValue(event, latest)
                    outputs.append(TaggedOutput(FAILED, failed))
                offsets[line.file] = line.end
                continue
            if self._speed:
                origin = origin or (now, event.time)
                due = origin[0] + float(event.time - origin[1]) / self._speed
                if due > now:
                    if offsets == at.offsets:
                        return [], at, min(due - now + GATHER, HAND_BACK)
                    break
            latest = max(latest, event.time)
            if event.end:
                self._open.pop(event.stream, None)
            else:
                self._open[event.stream] = ending(event)
            outputs.append(TimestampedValue(event, event.time))
            offsets[line.file] = line.end
        return outputs, Position(offsets, latest, origin, now), LOOK_AGAIN

    def _ends(self) -> Iterator[TimestampedValue]:
        """When nothing more can come, every text has ended: words that wait get their answers."""
        for end in self._open.values():
            yield TimestampedValue(end, end.time)
        self._open.clear()


@dataclass
class ReadEvents(beam.PTransform):
    """Reads JSON lines as a live, unbounded source.

    Attributes:
      lines: a ``File``, ``Folder`` or ``StandardInput``.
      speed: how many times faster than their times the events come, or None: as fast as it goes.
      until_idle: ends after that many seconds without new lines; None: never.
      field: what the events are of; see ``pipelines.events.parse``.

    Returns:
      PCollection[Event], or of Observed for another field than text, whose ``failed`` is a
      PCollection[Failed].
    """

    lines: Lines
    speed: float | None = None
    until_idle: float | None = None
    field: str = "text"

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[Any]:
        """Builds the source."""
        read = _ReadEvents(self.lines, self.speed, self.until_idle, self.field)
        start = begin | "Start" >> beam.Impulse()
        return start | "Lines" >> WithFailed(read, kind_of(self.field))


@dataclass(frozen=True)
class Texts:
    """Plain text among other lines: each line of it is an event, at the time when it is read.

    Files that end in ``.txt`` are plain text, and standard input is if its first line is no JSON
    object. A file is a stream of its name.

    Attributes:
      lines: where lines come from.
    """

    lines: Lines

    def read(self, offsets: dict[str, int], closing: bool) -> tuple[list[Line], bool]:
        """Reads on; see ``Lines``."""
        lines, ended = self.lines.read(offsets, closing)
        return [_as_event(line) if _is_plain(line.file) else line for line in lines], ended


def _is_plain(file: str) -> bool:
    return bool(standard_input().plain) if file == "-" else file.lower().endswith(".txt")


def _as_event(line: Line) -> Line:
    try:
        text = line.data.decode("utf-8-sig") + "\n"
    except UnicodeDecodeError:
        return line  # which is no JSON either: told as it is
    stream = STANDARD_INPUT if line.file == "-" else Path(line.file).name
    event = {"stream": stream, "time": time.time(), "text": text}
    return line._replace(data=json.dumps(event).encode())


def lines_of(name: str) -> Lines:
    """The source that a name on the command line means: ``-``, a folder or a file."""
    if name == "-":
        return StandardInput()
    return Folder(name) if Path(name).is_dir() else File(name)


def texts_of(given: argparse.Namespace) -> Lines:
    """As ``lines_of``, for the texts that ``--input`` names."""
    return Texts(lines_of(given.input))
