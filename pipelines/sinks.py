"""What is written: answers as Parquet, failed inputs as JSON lines.

On a runner inside this process, what one writer holds becomes a file when it is enough, or old, or
the job ends. Elsewhere rows are grouped into batches, and a file is named after what it holds: a
batch that is written again, because its bundle was tried again, is the same file.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.typehints import Tuple

from pipelines.events import Failed


def schema_of(row: type) -> pa.Schema:
    """The columns of a NamedTuple; ``time`` is in microseconds since 1970."""
    kinds = {
        str: pa.string(),
        int: pa.int64(),
        float: pa.float32(),
        bool: pa.bool_(),
        list[float]: pa.list_(pa.float32()),
    }
    return pa.schema(
        [
            pa.field(
                name,
                pa.timestamp("us", tz="UTC") if name == "time" else kinds[kind],
                nullable=False,
            )
            for name, kind in get_type_hints(row).items()
        ]
    )


FAILED_FILES = "failed*.jsonl"

ROWS_IN_FILE = 100_000
SECONDS_IN_FILE = 60  # what a killed process may lose
GROUPS = 4  # of streams, each written by one worker at a time


class Word(NamedTuple):
    """A row of the output: one tagged word. ``time`` is in microseconds since 1970."""

    stream: str
    time: int
    step: int
    token: str
    before: str
    label: str
    score: float


SCHEMA = schema_of(Word)

_NUMBERED = re.compile(r"part-\d{5,}\.parquet")
_naming = threading.Lock()


def write_part(folder: Path, rows: list[Any], schema: pa.Schema = SCHEMA) -> Path:
    """Writes rows as the folder's next ``part-N.parquet``; it appears when it is complete."""
    with _naming:
        taken = {path.name.partition(".")[0] for path in folder.iterdir()}
        name = next(n for i in itertools.count() if (n := f"part-{i:05}") not in taken)
        unfinished = folder / f"{name}.parquet.tmp"
        unfinished.touch(exist_ok=False)
    pq.write_table(_table(rows, schema), unfinished, compression="zstd")
    return unfinished.rename(unfinished.with_suffix(""))


def write_text(path: Path, text: str) -> None:
    """Writes a file, in UTF-8; a reader never sees half of it."""
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def _table(rows: list[Any], schema: pa.Schema) -> pa.Table:
    columns = [
        pa.array(column, field.type)
        for column, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    return pa.table(columns, schema=schema)


def read_parts(folder: Path, schema: pa.Schema = SCHEMA) -> Iterator[pa.Table]:
    """The complete parts of a folder, each stream in its order."""
    paths = sorted(folder.glob("part-*.parquet"))
    parts = [pq.read_table(path, schema=schema) for path in paths]
    if parts and not _NUMBERED.fullmatch(paths[-1].name):
        # Many workers wrote them. A stream's rows are in one part in order, but which is next?
        yield pa.concat_tables(parts).sort_by([("time", "ascending"), ("step", "ascending")])
    else:
        yield from parts


def read_rows(folder: Path, row: type) -> Iterator[Any]:
    """The rows of a folder as NamedTuples, each stream's in its order."""
    for part in read_parts(folder, schema_of(row)):
        yield from rows_of(part, row)


def rows_of(part: pa.Table, row: type) -> Iterator[Any]:
    """The rows of a table as NamedTuples; times are microseconds since 1970, as they were."""
    columns = [
        (part.column(name).cast(pa.int64()) if name == "time" else part.column(name)).to_pylist()
        for name in part.column_names
    ]
    return itertools.starmap(row, zip(*columns, strict=True))


class _WriteParts(beam.DoFn):
    """Keeps rows and writes a part when there are enough, they are old, or the job ends."""

    def __init__(self, folder: str, schema: pa.Schema) -> None:
        self._folder = folder
        self._schema = schema

    def setup(self) -> None:
        self._rows: list[Any] = []
        self._since = time.monotonic()

    def process(self, row: Any) -> None:
        if not self._rows:
            self._since = time.monotonic()
        self._rows.append(row)

    def finish_bundle(self) -> None:
        if len(self._rows) >= ROWS_IN_FILE or time.monotonic() - self._since >= SECONDS_IN_FILE:
            self._write()

    def teardown(self) -> None:
        self._write()

    def _write(self) -> None:
        if self._rows:
            write_part(Path(self._folder), self._rows, self._schema)
            self._rows = []


class _AppendFailed(beam.DoFn):
    """Appends each failed input to a file at once."""

    def __init__(self, path: str) -> None:
        self._path = path

    def setup(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file = os.open(self._path, flags, 0o666)

    def process(self, failed: Failed) -> None:
        # One write of one line to a file opened for appending: two writers do not mix.
        os.write(self._file, (failed_line(failed) + "\n").encode())

    def teardown(self) -> None:
        os.close(self._file)


def failed_line(failed: Failed) -> str:
    """A failed input as JSON."""
    return json.dumps(failed._asdict(), ensure_ascii=False)


class _WriteBatches(beam.DoFn):
    """(group, batch of rows) -> one file, named after its content."""

    def __init__(self, prefix: str, suffix: str, encode: Callable[[list[Any]], bytes]) -> None:
        self._prefix = prefix
        self._suffix = suffix
        self._encode = encode

    def process(self, grouped: tuple[int, Iterable[Any]]) -> None:
        data = self._encode(list(grouped[1]))
        name = f"{self._prefix}{hashlib.sha256(data).hexdigest()[:16]}{self._suffix}"
        folder = FileSystems.split(name)[0]
        if not FileSystems.exists(folder):
            with contextlib.suppress(BeamIOError):  # another worker was faster
                FileSystems.mkdirs(folder)
        with FileSystems.create(f"{name}.tmp", compression_type="uncompressed") as file:
            file.write(data)
        FileSystems.rename([f"{name}.tmp"], [name])


def _parquet(schema: pa.Schema, rows: list[Any]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(_table(rows, schema), sink, compression="zstd")
    return bytes(sink.getvalue())


def _lines(failed: list[Failed]) -> bytes:
    return "".join(failed_line(row) + "\n" for row in failed).encode()


def _group_of_row(row: Any) -> tuple[int, Any]:
    return zlib.crc32(row.stream.encode()) % GROUPS, row


def _group_of_failed(failed: Failed) -> tuple[int, Failed]:
    return 0, failed


class WriteRows(beam.PTransform):
    """Writes rows as Parquet files into a folder.

    Args:
      row: a NamedTuple with ``stream``; see ``schema_of``.
      folder: a path that Beam can write, or for ``local`` one of this machine.
      local: whether the pipeline runs in this process, bundle after bundle.
    """

    def __init__(self, row: type, folder: str, local: bool) -> None:
        super().__init__()
        self._row = row
        self._folder = folder
        self._local = local

    def expand(self, rows: beam.PCollection[Any]) -> Any:
        """Adds the sink."""
        schema = schema_of(self._row)
        if self._local:
            return rows | "Parts" >> beam.ParDo(_WriteParts(self._folder, schema))
        prefix = FileSystems.join(self._folder, "part-")
        grouped = Tuple[int, self._row]  # type: ignore[name-defined]
        return (
            rows
            | "Group" >> beam.Map(_group_of_row).with_output_types(grouped)
            | "Batch" >> _batches()
            | "Write" >> beam.ParDo(_WriteBatches(prefix, ".parquet", partial(_parquet, schema)))
        )


class WriteFailed(beam.PTransform):
    """Writes the failed inputs of several collections to the files ``FAILED_FILES`` of a folder.

    Args:
      folder, local: as for ``WriteRows``.
    """

    def __init__(self, folder: str, local: bool) -> None:
        super().__init__()
        self._folder = folder
        self._local = local

    def expand(self, several: Any) -> Any:
        """Adds the sink to a tuple of PCollection[Failed]."""
        if self._local:
            # Not flattened: FnApiRunner would hold everything back until the input ends.
            path = os.path.join(self._folder, "failed.jsonl")
            for number, failed in enumerate(several):
                failed | f"Append{number}" >> beam.ParDo(_AppendFailed(path))
            return several
        prefix = FileSystems.join(self._folder, "failed-")
        return (
            several
            | "Flatten" >> beam.Flatten()
            | "Group" >> beam.Map(_group_of_failed).with_output_types(tuple[int, Failed])
            | "Batch" >> _batches()
            | "Write" >> beam.ParDo(_WriteBatches(prefix, ".jsonl", _lines))
        )


def _batches() -> beam.PTransform:
    # By count and clock, not by event time: no row is too late to be written.
    return beam.GroupIntoBatches(ROWS_IN_FILE, max_buffering_duration_secs=SECONDS_IN_FILE)
