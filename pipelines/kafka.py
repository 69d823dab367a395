"""Kafka topics into and out of a pipeline: keyed records, at their times.

Two ways lead there, with the same elements. By default the clients are Python's
(confluent-kafka, the extra `kafka`): nothing else has to run, and latency is low. With
``java=True`` they are those of Beam's own connector, which runners know and run in their Java
workers: the way for Flink clusters and Dataflow.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import apache_beam as beam
from apache_beam import coders
from apache_beam.typehints import Tuple
from apache_beam.utils.timestamp import Timestamp

from pipelines.events import time_of

SCHEME = "kafka://"
EARLIEST, LATEST = "earliest", "latest"
Keyed = Tuple[bytes, bytes]

_log = logging.getLogger(__name__)


class KafkaError(Exception):
    """A topic cannot be read or written; the message is one line."""


@dataclass(frozen=True)
class Topic:
    """A topic, where it is, and from where on it is read.

    Attributes:
      servers: host:port of some of its brokers, separated by commas.
      name: of the topic.
      start: EARLIEST, LATEST, or the Timestamp of the first record that is read.
      settings: of the clients, under Kafka's names (`security.protocol`, ...).
    """

    servers: str
    name: str
    start: str | Timestamp = EARLIEST
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, url: str) -> "Topic":
        """Reads `kafka://host:port[,host:port]/topic[?from=earliest|latest|TIME&SETTING=VALUE]`.

        Raises:
          KafkaError: it is written otherwise.
        """
        parts = urlsplit(url)
        name = parts.path.removeprefix("/")
        if not url.startswith(SCHEME) or not parts.netloc or not name or "/" in name:
            raise KafkaError(f"{url} names no topic: expected {SCHEME}host:port/topic")
        settings = dict(parse_qsl(parts.query, keep_blank_values=True))
        start: str | Timestamp = settings.pop("from", EARLIEST)
        if start not in (EARLIEST, LATEST):
            try:
                start = time_of(start)
            except ValueError as error:
                raise KafkaError(f"from={start} is not earliest or latest, and {error}") from None
        return cls(parts.netloc, name, start, settings)

    def config(self, **more: Any) -> dict[str, Any]:
        """What a client is configured with; ``more`` under Kafka's names, with _ for a dot."""
        named = {key.replace("_", "."): value for key, value in more.items()}
        return {"bootstrap.servers": self.servers, **named, **self.settings}

    def python_config(self, **more: Any) -> dict[str, Any]:
        """As ``config``, for clients of confluent-kafka."""
        # They would log each attempt to connect; that a broker is away is told once.
        return {**self.config(**more), "log_level": 2, "error_cb": self._tell}

    def _tell(self, error: Any) -> None:
        if error.name() == "_ALL_BROKERS_DOWN":
            _log.warning("Kafka at %s does not answer; trying again", self.servers)


@dataclass
class ReadTopic(beam.PTransform):
    """Reads a topic: an unbounded PCollection[tuple[bytes, bytes]] of keys and values.

    Elements have the timestamps of their records. Within a partition they are in the order of
    their offsets. A record without a key or value has b"". How far each partition was read is in
    the runner's checkpoints, beside the state of the pipeline: a job that goes on from one reads on
    where that state stands. No consumer group is used.

    Attributes:
      topic: where, and from when on.
      disorder: seconds by which records of a partition may be earlier than ones before them; the
        watermark stays that far behind the latest. Python clients only.
      idle_after: seconds after which a partition that has been read to its end no longer holds the
        watermark back (it then follows the clock that far behind); None: it always does. Python
        clients only.
      until_idle: a partition ends when it has been read to its end and nothing new has come for
        that many seconds; None: never. Python clients only.
      java: whether Beam's own connector reads.
      expansion_service: host:port of the service that expands it; None: Beam fetches and starts
        one.
    """

    topic: Topic
    disorder: float = 0.0
    idle_after: float | None = 60.0
    until_idle: float | None = None
    java: bool = False
    expansion_service: str | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[tuple[bytes, bytes]]:
        """Builds the source."""
        if self.java:
            records = begin | "Connector" >> self._connector()
            return records | "Filled" >> beam.Map(_filled).with_output_types(Keyed)
        from pipelines.partitions import ReadPartition, partitions_of

        return (
            begin
            | "Start" >> beam.Impulse()
            | "Partitions" >> beam.FlatMap(lambda _, topic: partitions_of(topic), self.topic)
            | "Records"
            >> beam.ParDo(
                ReadPartition(self.disorder, self.idle_after, self.until_idle)
            ).with_output_types(Keyed)
        )

    def _connector(self) -> beam.PTransform:
        from apache_beam.io.kafka import ReadFromKafka

        start = self.topic.start
        at = start.micros // 1000 if isinstance(start, Timestamp) else None
        reset = start if isinstance(start, str) else EARLIEST
        return ReadFromKafka(
            {
                # As patient with a broker that restarts as its writers are.
                **self.topic.config(enable_auto_commit="false", default_api_timeout_ms="300000"),
                "auto.offset.reset": reset,
            },
            [self.topic.name],
            start_read_time=at,
            timestamp_policy=ReadFromKafka.create_time_policy,
            consumer_polling_timeout=1,
            expansion_service=self.expansion_service,
        )


def _filled(record: tuple[bytes | None, bytes | None]) -> tuple[bytes, bytes]:
    key, value = record
    return key or b"", value or b""


@dataclass
class WriteTopic(beam.PTransform):
    """Writes PCollection[tuple[bytes, bytes]] of keys and values to a topic, at their timestamps.

    A bundle is done when its records are acknowledged by all replicas in sync. One that is tried
    again writes its records again: a consumer sees each at least once, duplicates alike to the
    bit. Records of a key go to the partition that Java's producers would choose.

    Attributes:
      topic: where to.
      java: whether Beam's own connector writes (2.73 or later).
      expansion_service: as for ``ReadTopic``.
    """

    topic: Topic
    java: bool = False
    expansion_service: str | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, records: beam.PCollection[tuple[bytes, bytes]]) -> Any:
        """Builds the sink."""
        if not self.java:
            return records | "Records" >> beam.ParDo(_Write(self.topic))
        from apache_beam.io.kafka import WriteToKafka

        stamped = records | "Stamped" >> beam.Map(_stamped).with_output_types(_Stamped)
        return stamped | "Connector" >> WriteToKafka(
            self.topic.config(acks="all", enable_idempotence="true"),
            self.topic.name,
            with_headers=True,  # the form that takes times
            expansion_service=self.expansion_service,
        )


class _Stamped(NamedTuple):
    """A record as Beam's connector takes it, its time in milliseconds."""

    key: bytes
    value: bytes
    timestamp: int


coders.registry.register_coder(_Stamped, coders.RowCoder)


def _stamped(record: tuple[bytes, bytes], timestamp: Any = beam.DoFn.TimestampParam) -> _Stamped:
    return _Stamped(*record, _milliseconds(timestamp))


def _milliseconds(timestamp: Timestamp) -> int:
    return int(timestamp.micros // 1000)


class _Write(beam.DoFn):
    def __init__(self, topic: Topic) -> None:
        self._topic = topic

    def setup(self) -> None:
        from confluent_kafka import Producer

        self._producer = Producer(
            self._topic.python_config(
                enable_idempotence=True,  # and acks=all
                linger_ms=2,
                partitioner="murmur2_random",  # Java's
            ),
        )

    def start_bundle(self) -> None:
        self._errors: list[Any] = []

    def process(
        self, record: tuple[bytes, bytes], timestamp: Any = beam.DoFn.TimestampParam
    ) -> None:
        key, value = record
        milliseconds = max(0, _milliseconds(timestamp))  # 0: now
        while True:
            try:
                self._producer.produce(
                    self._topic.name,
                    value,
                    key,
                    timestamp=milliseconds,
                    on_delivery=self._delivered,
                )
                break
            except BufferError:  # the client's queue is full
                self._producer.poll(0.1)
        self._producer.poll(0)

    def finish_bundle(self) -> None:
        self._producer.flush()
        if self._errors:
            count, first = len(self._errors), self._errors[0].str()
            raise KafkaError(f"{count} records for {self._topic.name} were not written: {first}")

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._errors.append(error)
