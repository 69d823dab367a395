"""Streams that are complete: the events of a Parquet file, in their order."""

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import TimestampedValue

from pipelines.events import FAILED, Failed, WithFailed, ending, event, kind_of
from pipelines.job import Refused


def row_groups(path: str, field: str = "text") -> list[tuple[str, int, int]]:
    """(path, row group, number of its first row) of each row group.

    ``field``: what the events are of; see ``pipelines.events.parse``.

    Raises:
      Refused: the file cannot be read, is not Parquet, or lacks a column.
    """
    try:
        with FileSystems.open(path, compression_type="uncompressed") as file:
            metadata = pq.ParquetFile(file)
            names = metadata.schema_arrow.names
            sizes = [
                metadata.metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)
            ]
    except (OSError, pa.ArrowException, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise Refused(f"the input {path} is not a Parquet file ({reason}): name one") from None
    columns = ("stream", "time", field)
    for name in columns:
        if name not in names:
            raise Refused(
                f"the input {path} has no column {name}: it needs {', '.join(columns)}, and has"
                f" {', '.join(names)}"
            )
    firsts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [(path, i, first) for i, first in enumerate(firsts)]


class _ReadRowGroup(beam.DoFn):
    """A row group -> its rows: (stream, (number of the row, event)), or Failed on its output."""

    def __init__(self, field: str) -> None:
        self._field = field

    def process(self, group: tuple[str, int, int]) -> Iterator[Any]:
        path, number, first = group
        with FileSystems.open(path, compression_type="uncompressed") as file:
            parquet = pq.ParquetFile(file)
            known = parquet.schema_arrow.names
            columns = [name for name in ("stream", "time", self._field, "end") if name in known]
            rows = parquet.read_row_group(number, columns=columns).to_pylist()
        for place, row in enumerate(rows, first):
            given = {name: value for name, value in row.items() if value is not None}
            try:
                read = event(given, self._field)
            except ValueError as error:
                stream = row["stream"] if isinstance(row["stream"], str) else ""
                yield TaggedOutput(FAILED, Failed(stream, str(error), repr(row)))
            else:
                yield read.stream, (place, read)


class ReadEvents(beam.PTransform):
    """Reads a Parquet file with ``stream``, ``time``, ``text`` and perhaps ``end``.

    Returns:
      PCollection[tuple[str, tuple[int, Event]]], or of Observed for another field than text, whose
      ``failed`` is a PCollection[Failed].
    """

    def __init__(self, path: str, field: str = "text") -> None:
        super().__init__()
        self._groups = row_groups(path, field)
        self._field = field

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[Any]:
        """Builds the source."""
        groups = begin | "RowGroups" >> beam.Create(self._groups)
        kind = tuple[str, tuple[int, kind_of(self._field)]]  # type: ignore[misc]
        return groups | "Rows" >> WithFailed(_ReadRowGroup(self._field), kind)


class InOrder(beam.PTransform):
    """The events of a file as they would come live: by time, ties in the order of the file.

    Takes what ``ReadEvents`` returns. A stream that stops without an ``end`` gets one, as a live
    source gives it when nothing more can come.
    """

    def expand(self, rows: beam.PCollection[Any]) -> beam.PCollection[Any]:
        """Groups, and sorts each stream; PCollection[tuple[str, Event]] or of Observed."""
        kind = rows.element_type.tuple_types[1].tuple_types[1]
        streams = rows | "Streams" >> beam.GroupByKey()
        return streams | "Sorted" >> beam.FlatMap(_in_order).with_output_types(tuple[str, kind])


def _in_order(item: tuple[str, Iterable[tuple[int, Any]]]) -> Iterator[TimestampedValue]:
    stream, rows = item
    events = [one for _, one in sorted(rows, key=lambda row: (row[1].time, row[0]))]
    if not events[-1].end:
        events.append(ending(events[-1]))
    for one in events:
        yield TimestampedValue((stream, one), one.time)
