"""Events of streams in Kafka: read from a topic, answers written to one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import TimestampedValue

from pipelines.events import FAILED, Event, Failed, Observed, WithFailed, event, kind_of, parse
from pipelines.job import Refused
from pipelines.kafka import SCHEME, KafkaError, Keyed, ReadTopic, Topic, WriteTopic

ASK = 10.0  # seconds that the brokers have to answer before a job is refused


def is_topic(name: str) -> bool:
    """Whether a name on the command line means a topic."""
    return name.startswith(SCHEME)


def topic_of(url: str) -> Topic:
    """The topic of a URL, which is there.

    Raises:
      Refused: the URL is none, the package is missing, or Kafka does not answer.
    """
    try:
        from pipelines.partitions import partitions_of
    except ImportError:
        raise Refused("Kafka needs confluent-kafka: pip install 'beam-rnn[kafka]'") from None
    try:
        topic = Topic.of(url)
        partitions_of(topic, ASK)
    except KafkaError as error:
        raise Refused(str(error)) from None
    return topic


@dataclass
class ReadEvents(beam.PTransform):
    """Reads events from records: JSON as in files, or the bytes that they are of.

    What a value leaves out is said by its record: the key is the stream, the timestamp the time.
    The topic goes on when the job ends, so no stream is ended but by an event with ``end``.

    Attributes:
      records: reads them.
      field: what the events are of; see ``pipelines.events.parse``.
      raw: whether a value is what the event is of, as it is; a record without one ends its stream.

    Returns:
      PCollection[Event], or of Observed for another field than text, whose ``failed`` is a
      PCollection[Failed].
    """

    records: ReadTopic
    field: str = "text"
    raw: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[Any]:
        """Builds the source."""
        records = begin | "Records" >> self.records
        return records | "Parse" >> WithFailed(_Parse(self.field, self.raw), kind_of(self.field))


class _Parse(beam.DoFn):
    def __init__(self, field: str, raw: bool) -> None:
        self._field = field
        self._raw = raw

    def process(
        self, record: tuple[bytes, bytes], timestamp: Any = beam.DoFn.TimestampParam
    ) -> Iterator[Any]:
        key, value = record
        known = {"stream": key.decode(errors="replace"), "time": timestamp.micros / 1e6}
        if self._raw:
            read = self._observed(known, value)
        else:
            read = parse(value, self._field, **known)
        if isinstance(read, Failed):
            yield TaggedOutput(FAILED, read)
        else:
            yield TimestampedValue(read, read.time)

    def _observed(self, known: dict[str, Any], value: bytes) -> Event | Observed | Failed:
        try:
            return event(known | ({self._field: value} if value else {"end": True}), self._field)
        except ValueError as error:
            return Failed(known["stream"], str(error), f"{len(value)} bytes")


@dataclass
class WriteRows(beam.PTransform):
    """Writes rows of an output as JSON, keyed by their streams.

    After a failure a runner may write rows again: readers tell them by stream and step.

    Attributes:
      records: writes them.
      kind: what they say that they are, where a topic has rows of several kinds.
    """

    records: WriteTopic
    kind: str | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, rows: beam.PCollection[Any]) -> Any:
        """Builds the sink."""
        encoded = rows | "Encode" >> beam.Map(_as_record, self.kind).with_output_types(Keyed)
        return encoded | "Records" >> self.records


def _as_record(row: Any, kind: str | None) -> tuple[bytes, bytes]:
    fields = ({} if kind is None else {"kind": kind}) | row._asdict()
    return row.stream.encode(), json.dumps(fields, ensure_ascii=False).encode()
