"""What is written: tagged words as Parquet, failed inputs as JSON lines.

On a runner inside this process the files grow while the job runs and are complete when it ends.
Elsewhere Beam's own sinks write them, with their guarantees.
"""

import itertools
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.parquetio import WriteToParquet
from apache_beam.transforms.window import FixedWindows

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

ROWS_IN_FILE = 200_000
SECONDS_IN_FILE = 60.0  # what a killed process may lose
WINDOW_SECONDS = 60  # of the files that other runners write of unbounded input


class Word(NamedTuple):
    """A row of the output: one tagged word. ``time`` is in microseconds since 1970."""

    stream: str
    time: int
    step: int
    token: str
    before: str
    label: str
    score: float


_naming = threading.Lock()


def write_part(folder: Path, words: list[Word]) -> Path:
    """Writes words as the folder's next ``part-N.parquet``; it appears when it is complete."""
    with _naming:
        taken = {path.name.partition(".")[0] for path in folder.iterdir()}
        name = next(n for i in itertools.count() if (n := f"part-{i:05}") not in taken)
        unfinished = folder / f"{name}.parquet.tmp"
        unfinished.touch(exist_ok=False)
    columns = [
        pa.array(column, field.type)
        for column, field in zip(zip(*words, strict=True), SCHEMA, strict=True)
    ]
    pq.write_table(pa.table(columns, schema=SCHEMA), unfinished, compression="zstd")
    return unfinished.rename(unfinished.with_suffix(""))


def read_parts(folder: Path) -> Iterator[pa.Table]:
    """The complete parts of a folder, in the order of their names."""
    for path in sorted(folder.glob("*.parquet")):
        yield pq.read_table(path, schema=SCHEMA)


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

    def process(self, failed: Failed) -> None:
        # One write of one line to a file opened for appending: two writers do not mix.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(descriptor, (failed_line(failed) + "\n").encode())
        finally:
            os.close(descriptor)


def failed_line(failed: Failed) -> str:
    """A failed input as JSON."""
    return json.dumps(failed._asdict(), ensure_ascii=False)


def _as_record(word: Word) -> dict[str, Any]:
    return word._asdict()


class WriteWords(beam.PTransform):
    """Writes words below ``folder``: in this process (``local``), or with Beam's Parquet sink."""

    def __init__(self, folder: str, local: bool) -> None:
        super().__init__()
        self._folder = folder
        self._local = local

    def expand(self, words: beam.PCollection[Word]) -> Any:
        """Adds the sink."""
        if self._local:
            return words | "Parts" >> beam.ParDo(_WriteParts(self._folder))
        records = words | "Records" >> beam.Map(_as_record)
        if not words.is_bounded:
            records = records | "Windows" >> beam.WindowInto(FixedWindows(WINDOW_SECONDS))
        prefix = os.path.join(self._folder, "part")
        every = None if words.is_bounded else WINDOW_SECONDS
        return records | "Parquet" >> WriteToParquet(
            prefix, SCHEMA, file_name_suffix=".parquet", triggering_frequency=every
        )


class WriteFailed(beam.PTransform):
    """Writes the failed inputs of several collections to the file, or to files that begin so."""

    def __init__(self, path: str, local: bool) -> None:
        super().__init__()
        self._path = path
        self._local = local

    def expand(self, several: Any) -> Any:
        """Adds the sink to a tuple of PCollection[Failed]."""
        if self._local:
            # Not flattened: FnApiRunner would hold everything back until the input ends.
            for number, failed in enumerate(several):
                failed | f"Append{number}" >> beam.ParDo(_AppendFailed(self._path))
            return several
        failed = several | "Flatten" >> beam.Flatten()
        lines = failed | "Lines" >> beam.Map(failed_line)
        if not failed.is_bounded:
            lines = lines | "Windows" >> beam.WindowInto(FixedWindows(WINDOW_SECONDS))
        every = None if failed.is_bounded else WINDOW_SECONDS
        return lines | "Text" >> beam.io.WriteToText(self._path, triggering_frequency=every)
