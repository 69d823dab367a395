"""What is written: tagged words as Parquet, failed inputs as JSON lines.

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
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from pipelines.events import Failed

SCHEMA = pa.schema(
    [
        pa.field("stream", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("step", pa.int64(), nullable=False),
        pa.field("token", pa.string(), nullable=False),
        pa.field("before", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
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


_NUMBERED = re.compile(r"part-\d{5,}\.parquet")
_naming = threading.Lock()


def write_part(folder: Path, words: list[Word]) -> Path:
    """Writes words as the folder's next ``part-N.parquet``; it appears when it is complete."""
    with _naming:
        taken = {path.name.partition(".")[0] for path in folder.iterdir()}
        name = next(n for i in itertools.count() if (n := f"part-{i:05}") not in taken)
        unfinished = folder / f"{name}.parquet.tmp"
        unfinished.touch(exist_ok=False)
    pq.write_table(_table(words), unfinished, compression="zstd")
    return unfinished.rename(unfinished.with_suffix(""))


def _table(words: list[Word]) -> pa.Table:
    columns = [
        pa.array(column, field.type)
        for column, field in zip(zip(*words, strict=True), SCHEMA, strict=True)
    ]
    return pa.table(columns, schema=SCHEMA)


def read_parts(folder: Path) -> Iterator[pa.Table]:
    """The complete parts of a folder, each stream in its order."""
    paths = sorted(folder.glob("part-*.parquet"))
    parts = [pq.read_table(path, schema=SCHEMA) for path in paths]
    if parts and not _NUMBERED.fullmatch(paths[-1].name):
        # Many workers wrote them. A stream's words are in one part in order, but which is next?
        yield pa.concat_tables(parts).sort_by([("time", "ascending"), ("step", "ascending")])
    else:
        yield from parts


class _WriteParts(beam.DoFn):
    """Keeps words and writes a part when there are enough, they are old, or the job ends."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def setup(self) -> None:
        self._words: list[Word] = []
        self._since = time.monotonic()

    def process(self, word: Word) -> None:
        if not self._words:
            self._since = time.monotonic()
        self._words.append(word)

    def finish_bundle(self) -> None:
        if len(self._words) >= ROWS_IN_FILE or time.monotonic() - self._since >= SECONDS_IN_FILE:
            self._write()

    def teardown(self) -> None:
        self._write()

    def _write(self) -> None:
        if self._words:
            write_part(Path(self._folder), self._words)
            self._words = []


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
    """(group, batch of lines or words) -> one file, named after its content."""

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


def _parquet(words: list[Word]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(_table(words), sink, compression="zstd")
    return bytes(sink.getvalue())


def _lines(failed: list[Failed]) -> bytes:
    return "".join(failed_line(row) + "\n" for row in failed).encode()


def _group_of_word(word: Word) -> tuple[int, Word]:
    return zlib.crc32(word.stream.encode()) % GROUPS, word


def _group_of_failed(failed: Failed) -> tuple[int, Failed]:
    return 0, failed


class WriteWords(beam.PTransform):
    """Writes words as Parquet files into a folder.

    Args:
      folder: a path that Beam can write, or for ``local`` one of this machine.
      local: whether the pipeline runs in this process, bundle after bundle.
    """

    def __init__(self, folder: str, local: bool) -> None:
        super().__init__()
        self._folder = folder
        self._local = local

    def expand(self, words: beam.PCollection[Word]) -> Any:
        """Adds the sink."""
        if self._local:
            return words | "Parts" >> beam.ParDo(_WriteParts(self._folder))
        prefix = FileSystems.join(self._folder, "part-")
        return (
            words
            | "Group" >> beam.Map(_group_of_word).with_output_types(tuple[int, Word])
            | "Batch" >> _batches()
            | "Write" >> beam.ParDo(_WriteBatches(prefix, ".parquet", _parquet))
        )


class WriteFailed(beam.PTransform):
    """Writes the failed inputs of several collections to the files ``FAILED_FILES`` of a folder.

    Args:
      folder, local: as for ``WriteWords``.
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
