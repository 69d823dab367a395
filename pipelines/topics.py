"""Events of streams in Kafka: read from a topic, tagged words written to one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import TimestampedValue

from pipelines.events import Event, Failed, parse
from pipelines.job import Refused
from pipelines.kafka import SCHEME, KafkaError, Keyed, ReadTopic, Topic, WriteTopic
from pipelines.sinks import Word

FAILED = "failed"
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
    """Reads events from records: JSON as in files.

    What a value leaves out is said by its record: the key is the stream, the timestamp the time.
    The topic goes on when the job ends, so no stream is ended but by an event with ``end``.

    Attributes:
      records: reads them.

    Returns:
      PCollection[Event], whose ``failed`` is a PCollection[Failed].
    """

    records: ReadTopic

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[Event]:
        """Builds the source."""
        parsed = (
            begin
            | "Records" >> self.records
            | "Parse" >> beam.ParDo(_Parse()).with_outputs(FAILED, main="events")
        )
        events = parsed["events"]
        events.element_type = Event
        events.failed = parsed[FAILED]
        events.failed.element_type = Failed
        return events


class _Parse(beam.DoFn):
    def process(
        self, record: tuple[bytes, bytes], timestamp: Any = beam.DoFn.TimestampParam
    ) -> Iterator[Any]:
        key, value = record
        event = parse(value, stream=key.decode(errors="replace"), time=timestamp.micros / 1e6)
        if isinstance(event, Failed):
            yield TaggedOutput(FAILED, event)
        else:
            yield TimestampedValue(event, event.time)


@dataclass
class WriteWords(beam.PTransform):
    """Writes words as JSON, keyed by their streams.

    After a failure a runner may write words again: readers tell them by stream and step.

    Attributes:
      records: writes them.
    """

    records: WriteTopic

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, words: beam.PCollection[Word]) -> Any:
        """Builds the sink."""
        return (
            words
            | "Encode" >> beam.Map(_as_record).with_output_types(Keyed)
            | "Records" >> self.records
        )


def _as_record(word: Word) -> tuple[bytes, bytes]:
    return word.stream.encode(), json.dumps(word._asdict(), ensure_ascii=False).encode()
