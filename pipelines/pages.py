"""The page of a run: how the results of an application look, live and when all is written."""

import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from beam_rnn.report import Chart, Failure, Kind, Page, Picture, Piece, Section, Span
from pipelines import sinks
from pipelines.events import Failed
from pipelines.record import Record

PAGE = "index.html"

# What a page shows at most: a browser has to lay it out, and this process to hold it.
STREAMS = 400  # the first ones
ROWS_OF_A_STREAM = 3_000  # the last ones
FAILURES = 200  # the first ones
PICTURE_BYTES = 4 << 20
MOST_NAMED = 12


def lines(stream: str, rows: Sequence[Any]) -> Section:
    """The rows of a stream as they are: a line of its fields for each."""
    told = (
        ", ".join(
            f"{value:.3g}" if isinstance(value, float) else str(value)
            for name, value in row._asdict().items()
            if name not in ("stream", "time")
        )
        for row in rows
    )
    return Section(stream, [Piece("\n".join(told))], f"{len(rows):,} rows")


@dataclass(frozen=True)
class Look:
    """How the results of an application look.

    Attributes:
      title: of its page.
      lead: a sentence below the title.
      kinds: the classes of what is marked.
      section: given a stream and its last rows in their order, what is shown of it.
      rows: what a row is called, in the plural.
      frequent: whether what is marked most is listed.
    """

    title: str
    lead: str = ""
    kinds: Sequence[Kind] = ()
    section: Callable[[str, Sequence[Any]], Section] = lines
    rows: str = "rows"
    frequent: bool = False


@dataclass
class Shown:
    """The last rows of streams, as many as a page can show, and how many there are.

    Any thread may add to it.
    """

    most_streams: int = STREAMS
    most_rows: int = ROWS_OF_A_STREAM
    rows: dict[str, deque[Any]] = field(default_factory=dict)
    streams: set[str] = field(default_factory=set)
    count: int = 0
    cut: bool = False
    failures: list[Failure] = field(default_factory=list)
    failed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, row: Any) -> None:
        """Adds a row of the output."""
        with self._lock:
            self.count += 1
            self._add(row.stream, [row])

    def fail(self, failed: Failed) -> None:
        """Adds an input that could not be used."""
        with self._lock:
            self.failed += 1
            if len(self.failures) < FAILURES:
                self.failures.append(Failure(failed.stream, failed.reason, failed.input[:300]))

    def read(self, parts: Iterable[pa.Table], row: type) -> None:
        """Adds tables of rows, in the order in which they were written."""
        for part in parts:
            self.count += len(part)
            names = part.column("stream").combine_chunks()
            for stream in pc.unique(names).to_pylist():
                if self._is_kept(stream):
                    own = part.filter(pc.equal(names, stream))
                    self.cut |= len(own) > self.most_rows
                    last = own.slice(max(len(own) - self.most_rows, 0))
                    self._add(stream, list(sinks.rows_of(last, row)))

    def read_failed(self, folder: Path) -> None:
        """Adds the failed inputs that were written into a folder."""
        for path in sorted(folder.glob(sinks.FAILED_FILES)):
            with path.open(encoding="utf-8") as written:
                for line in written:
                    self.fail(Failed(**json.loads(line)))

    def _is_kept(self, stream: str) -> bool:
        self.streams.add(stream)
        kept = stream in self.rows or len(self.rows) < self.most_streams
        self.cut |= not kept
        return kept

    def _add(self, stream: str, rows: Sequence[Any]) -> None:
        if self._is_kept(stream):
            own = self.rows.setdefault(stream, deque(maxlen=self.most_rows))
            self.cut |= len(own) + len(rows) > self.most_rows
            own.extend(rows)

    def taken(self) -> "tuple[dict[str, list[Any]], list[Failure]]":
        """The rows and failures as they are now, streams by name."""
        with self._lock:
            rows = {stream: list(self.rows[stream]) for stream in sorted(self.rows)}
            return rows, list(self.failures)


def page_of(
    look: Look,
    shown: Shown,
    record: Record | None = None,
    pictures: Sequence[Picture] = (),
    about: Sequence[tuple[str, str]] = (),
) -> Page:
    """What the page of a run shows.

    Args:
      look: of the application.
      shown: what it answered, and what failed.
      record: what it counted over time, or None where nobody did.
      pictures: those that it made.
      about: (what, how it was) of the run.
    """
    rows, failures = shown.taken()
    sections = [look.section(stream, own) for stream, own in rows.items()]
    named = {kind.key: Counter(_texts(sections, kind.key)) for kind in look.kinds}
    lead = look.lead
    if shown.cut:
        lead += (
            f" Shown are {len(rows):,} of {len(shown.streams):,} streams and the last {look.rows}"
            " of each; the Parquet files have all."
        )
    streams = "stream" if len(shown.streams) == 1 else "streams"
    figures = [(f"{len(shown.streams):,}", streams), (f"{shown.count:,}", look.rows)]
    figures += [(f"{named[kind.key].total():,}", kind.name) for kind in look.kinds]
    figures.append((f"{shown.failed:,}", "inputs failed"))
    if record is not None and record.total("events"):
        rate = record.total("events") / max(record.seconds, 0.01)
        figures += [(f"{record.seconds:,.1f}", "seconds"), (f"{rate:,.0f}", "events a second")]
    return Page(
        look.title,
        look.kinds,
        sections,
        lead.strip(),
        figures,
        [(key, counter.most_common(MOST_NAMED)) for key, counter in named.items()]
        if look.frequent
        else [],
        charts_of(record) if record is not None else [],
        pictures,
        failures,
        about,
    )


def _texts(sections: Iterable[Section], kind: str) -> Iterator[str]:
    for section in sections:
        for piece in section.pieces:
            if piece.kind == kind:
                yield " ".join(piece.text.split())


def charts_of(record: Record) -> list[Chart]:
    """Throughput, wave sizes, lateness and failures over time."""
    steps = [step for step in record.steps() if step[1] > step[0]]

    def spans(value: Callable[[dict[str, int], float], float]) -> list[Span]:
        return [Span(begin, end, value(added, end - begin)) for begin, end, added in steps]

    def rate(name: str) -> list[Span]:
        return spans(lambda added, seconds: added.get(name, 0) / seconds)

    def size(added: dict[str, int], seconds: float) -> float:
        return added["stepped"] / added["waves"] if added.get("waves") else 0.0

    def disorder(added: dict[str, int], seconds: float) -> float:
        return sum(added.get(name, 0) for name in _DISORDER)

    seconds, waves = max(record.seconds, 0.01), record.total("waves")
    mean = record.total("stepped") / waves if waves else 0
    order = ", ".join(f"{record.total(name):,} {name}" for name in _DISORDER)
    return [
        Chart("Events a second", rate("events"), f"{record.total('events') / seconds:,.0f} mean"),
        Chart("Streams a wave", spans(size), f"{mean:,.1f} mean, {waves:,} waves", 1),
        Chart("Late or out of order", spans(disorder), order, 2),
        Chart(
            "Failed inputs",
            spans(lambda added, _: added.get("failed", 0)),
            f"{record.total('failed'):,} in the transforms",
            4,
        ),
    ]


_DISORDER = ("late", "duplicates", "gaps")


def pictures_in(folder: Path, files: Iterable[str], shows: str) -> list[Picture]:
    """The PNG files that match, unless they are too large for a page."""
    paths = [path for name in files for path in sorted(folder.glob(name))]
    return [
        Picture(path.read_bytes(), shows)
        for path in paths
        if path.suffix == ".png" and path.stat().st_size <= PICTURE_BYTES
    ]
