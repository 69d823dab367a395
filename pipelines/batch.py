"""Texts that are complete: events in a Parquet file, each stream taken as a whole."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import TimestampedValue
from apache_beam.typehints import Tuple

import beam_rnn as rnn
from pipelines.events import Event, Failed, Observed, event
from pipelines.job import Refused
from pipelines.lines import Translator
from pipelines.texts import tagger_of, unroll

Load = Callable[[str], tuple[rnn.Network, Any]]

FAILED = "failed"


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


def read_row_group(group: tuple[str, int, int], field: str = "text") -> Iterator[Any]:
    """The rows of a row group: (stream, (number of the row, event)), or Failed on its output."""
    path, number, first = group
    with FileSystems.open(path, compression_type="uncompressed") as file:
        parquet = pq.ParquetFile(file)
        columns = [
            name for name in ("stream", "time", field, "end") if name in parquet.schema_arrow.names
        ]
        rows = parquet.read_row_group(number, columns=columns).to_pylist()
    for place, row in enumerate(rows, first):
        try:
            read = event({name: value for name, value in row.items() if value is not None}, field)
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
        outputs = groups | "Rows" >> beam.FlatMap(read_row_group, self._field).with_outputs(
            FAILED, main="rows"
        )
        rows = outputs["rows"]
        rows.element_type = Tuple[str, Tuple[int, Event if self._field == "text" else Observed]]
        rows.failed = outputs[FAILED]
        rows.failed.element_type = Failed
        return rows


class _Unroll(beam.DoFn):
    def __init__(self, model: str, load: Load) -> None:
        self._model = model
        self._load = load

    def setup(self) -> None:
        self._network, self._feature = self._load(self._model)

    def process(self, item: tuple[str, Iterable[tuple[int, Any]]]) -> Iterator[Any]:
        stream, events = item
        in_order = [e for _, e in sorted(events, key=lambda pair: (pair[1].time, pair[0]))]
        for time, answer in unroll(self._network, self._feature, in_order):
            yield TimestampedValue((stream, answer), time)


class _Last(_Unroll):
    """The last answer of each sequence alone, as one about the sequence."""

    def process(self, item: tuple[str, Iterable[tuple[int, Any]]]) -> Iterator[Any]:
        before: Any = None
        for now in super().process(item):
            if before is not None and now.value[1].step == 1:
                yield _classified(before)
            before = now
        if before is not None:
            yield _classified(before)


def _classified(tagged: TimestampedValue) -> TimestampedValue:
    stream, answer = tagged.value
    classified = rnn.Classified(answer.label, answer.score, answer.step)
    return TimestampedValue((stream, classified), tagged.timestamp)


class _Write(beam.DoFn):
    """Translates the lines of a stream, as the live job does it."""

    def __init__(self, model: str, load: Callable[[str], Translator], width: int) -> None:
        self._model = model
        self._load = load
        self._width = width

    def setup(self) -> None:
        self._translator = self._load(self._model)

    def process(self, item: tuple[str, Iterable[tuple[int, Event]]]) -> Iterator[Any]:
        stream, events = item
        readable: list[Event] = []
        for _, one in sorted(events, key=lambda pair: (pair[1].time, pair[0])):
            for given in self._translator.readable(one):
                if isinstance(given, TaggedOutput):
                    yield given
                else:
                    readable.append(given)
        for answer in self._translator.answers(readable, self._width):
            if isinstance(answer, TaggedOutput):
                yield answer
            else:
                yield TimestampedValue((stream, answer[1]), answer[0])


class TranslateWhole(beam.PTransform):
    """Translates the lines of each stream, all at once: by time, ties in the order of the file.

    Takes what ``ReadEvents`` returns and gives what ``rnn.Translate`` gives; its ``failed`` are
    Failed.

    Args:
      model: path of the model.
      load: reads it.
      width: how many hypotheses are followed at once.
    """

    def __init__(self, model: str, load: Callable[[str], Translator], width: int) -> None:
        super().__init__()
        self._write = _Write(model, load, width)

    def expand(self, events: beam.PCollection[Any]) -> beam.PCollection[tuple[str, Any]]:
        """Builds the transform."""
        grouped = events | "Streams" >> beam.GroupByKey()
        outputs = grouped | "Write" >> beam.ParDo(self._write).with_outputs(FAILED, main="written")
        written = outputs["written"]
        written.element_type = Tuple[str, Any]
        written.failed = outputs[FAILED]
        written.failed.element_type = Failed
        return written


class TagWhole(beam.PTransform):
    """Tags each stream as a whole: by time, ties in the order of the file.

    Takes what ``ReadEvents`` returns and gives what ``rnn.Tag`` gives.

    Args:
      model: path of the network.
      load: reads it, and makes the feature that feeds it with events.
    """

    def __init__(self, model: str, load: Load = tagger_of) -> None:
        super().__init__()
        self._unroll = _Unroll(model, load)

    def expand(self, events: beam.PCollection[Any]) -> beam.PCollection[tuple[str, Any]]:
        """Groups, and unrolls each stream."""
        return (
            events
            | "Streams" >> beam.GroupByKey()
            | "Unroll" >> beam.ParDo(self._unroll).with_output_types(tuple[str, Any])
        )


class ClassifyWhole(TagWhole):
    """Classifies each stream as a whole: gives what ``rnn.Classify`` gives."""

    def __init__(self, model: str, load: Load = tagger_of) -> None:
        super().__init__(model, load)
        self._unroll = _Last(model, load)
