"""The partitions of a Kafka topic as a splittable DoFn: positions are offsets."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import apache_beam as beam
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import MAX_TIMESTAMP, Duration, Timestamp
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka import KafkaError as Code

from pipelines import sources
from pipelines.kafka import EARLIEST, LATEST, KafkaError, Topic
from pipelines.tracking import PositionTracker

RECORDS_AT_ONCE = 5_000
RECORDS_IN_BUNDLE = 50_000
BUSY = 500  # records per second of a topic, from which on
BUSY_RESUME = 0.5  # seconds between two looks keep Prism's state calls fast
LOOK = 0.05  # seconds that one look waits for a record
ONE_ANSWER = 10.0  # seconds that a broker has for one answer,
ANSWERS = 300.0  # for any (as long as a producer waits for it),
UNKNOWN = 5.0  # and for saying that it does not know a topic
RESTS = 60.0  # seconds after which a consumer that nobody takes is closed

T = TypeVar("T")

_HOPELESS = {Code.TOPIC_AUTHORIZATION_FAILED, Code.GROUP_AUTHORIZATION_FAILED, Code.TOPIC_EXCEPTION}


class Partition(NamedTuple):
    """One partition of a topic, which has ``of`` of them."""

    topic: Topic
    number: int
    of: int

    def __str__(self) -> str:
        return f"partition {self.number} of {self.topic.name}"


@dataclass(frozen=True)
class Offset:
    """The offset to read on from; of the end, when reading ended: ``done``."""

    next: int = 0
    done: bool = False


def partitions_of(topic: Topic, seconds: float = ANSWERS) -> list[Partition]:
    """The partitions that the topic has now, asked for so many seconds at most.

    Raises:
      KafkaError: the brokers do not answer, or have no such topic.
    """

    def ask(consumer: Consumer) -> list[Partition]:
        found = consumer.list_topics(topic.name, timeout=ONE_ANSWER).topics[topic.name]
        if found.error is not None:
            raise KafkaException(found.error)
        numbers = sorted(found.partitions)
        return [Partition(topic, number, len(numbers)) for number in numbers]

    return _asked(topic, ask, seconds)


def first_offset(partition: Partition) -> int:
    """The offset from which on the partition is to be read.

    Raises:
      KafkaError: the brokers do not answer.
    """
    topic = partition.topic
    at = TopicPartition(topic.name, partition.number)

    def ask(consumer: Consumer) -> int:
        low, high = _ends(consumer, at)
        if isinstance(topic.start, Timestamp):
            at.offset = topic.start.micros // 1000
            (found,) = consumer.offsets_for_times([at], timeout=ONE_ANSWER)
            return int(found.offset) if found.offset >= 0 else high
        return {EARLIEST: low, LATEST: high}[topic.start]

    return _asked(topic, ask, ANSWERS)


def _ends(consumer: Consumer, at: TopicPartition) -> tuple[int, int]:
    """The first offset of a partition, and the one behind its last."""
    found = consumer.get_watermark_offsets(at, timeout=ONE_ANSWER)
    if found is None:
        raise KafkaException(Code(Code._TIMED_OUT))
    return found


def _asked(topic: Topic, ask: Callable[[Consumer], T], seconds: float) -> T:
    """Asks until there is an answer: a broker that has just started knows little yet."""
    began = time.monotonic()
    while True:
        # A new client each time: one remembers for minutes that a topic was not known.
        consumer = _consumer(topic)
        try:
            return ask(consumer)
        except KafkaException as error:
            code: Code = error.args[0]
            unknown = code.code() == Code.UNKNOWN_TOPIC_OR_PART
            if time.monotonic() - began > (UNKNOWN if unknown else seconds):
                raise KafkaError(f"topic {topic.name} at {topic.servers}: {code.str()}") from None
        finally:
            consumer.close()
        time.sleep(0.2)


def _consumer(topic: Topic) -> Consumer:
    config = topic.python_config(
        group_id="beam-rnn",  # the client wants one; it is not used
        enable_auto_commit=False,
        auto_offset_reset="error",  # never over records that are gone
        queued_max_messages_kbytes=16_384,
        topic_metadata_refresh_interval_ms=10_000,
    )
    return Consumer(config)


class _Reader:
    """A consumer that is at an offset of one partition."""

    def __init__(self, partition: Partition, offset: int) -> None:
        self.partition = partition
        self.next = -1
        self.last_read = time.monotonic()  # or begun
        self.rested = 0.0  # since when nobody has taken it
        self._consumer = _consumer(partition.topic)
        self._looked = (0.0, 0.0)
        self.seek(offset)

    def seek(self, offset: int) -> None:
        """Goes to an offset, if it is not there."""
        if offset != self.next:
            name, number = self.partition.topic.name, self.partition.number
            self._consumer.assign([TopicPartition(name, number, offset)])
            self.next = offset

    def read(self, seconds: float) -> list[Message]:
        """The records that are there, after waiting ``seconds`` for one at most.

        Raises:
          KafkaError: records were removed before they were read, or may not be read.
        """
        first = self._consumer.poll(seconds)
        if first is None:
            return []
        records = [first, *self._consumer.consume(RECORDS_AT_ONCE - 1, timeout=0)]
        good = [record for record in records if self._is_good(record)]
        if good:
            last = good[-1].offset()
            assert last is not None  # only what was not yet written has none
            self.next = last + 1
            self.last_read = time.monotonic()
        return good

    def _is_good(self, record: Message) -> bool:
        error = record.error()
        if error is None:
            return True
        if error.code() == Code._AUTO_OFFSET_RESET:
            raise KafkaError(
                f"{self.partition} has no offset {self.next} any more: its records were removed "
                "before they were read. Begin anew"
            )
        if error.fatal() or error.code() in _HOPELESS:
            raise KafkaError(f"{self.partition}: {error.str()}")
        return False  # a broker that restarts; the client goes on by itself

    def idle(self) -> float:
        """Seconds since records last came."""
        return time.monotonic() - self.last_read

    def read_to_its_end_at(self) -> float | None:
        """A clock time at which the partition had been read to its end; None: no sign of one."""
        asked = time.time()
        if asked - self._looked[0] < 1.0:
            return self._looked[1] or None
        at = TopicPartition(self.partition.topic.name, self.partition.number)
        try:
            _, end = _ends(self._consumer, at)
            (here,) = self._consumer.position([at])
            # Behind the last record of a transaction is a mark, which only position counts.
            all_read = end <= max(here.offset, self.next)
        except KafkaException:
            all_read = False
        self._looked = (asked, asked if all_read else 0.0)
        return self._looked[1] or None

    def close(self) -> None:
        self._consumer.close()


# A bundle of another thread, and of another instance of the DoFn, reads on: the readers, with what
# they have fetched ahead, belong to the process.
_resting: dict[Partition, _Reader] = {}
_lock = threading.Lock()


@contextmanager
def _reader(partition: Partition, offset: int) -> Iterator[_Reader]:
    with _lock:
        reader = _resting.pop(_key(partition), None)
    if reader is None:
        reader = _Reader(partition, offset)
    try:
        reader.seek(offset)
        yield reader
    except BaseException:  # what it has fetched and not handed on would be skipped
        reader.close()
        raise
    _rest(reader)


def _key(partition: Partition) -> Any:
    return partition.topic.servers, partition.topic.name, partition.number


def _rest(reader: _Reader) -> None:
    """Keeps a reader for the next bundle, and closes those that nobody has taken for long."""
    now = reader.rested = time.monotonic()
    with _lock:
        old = [key for key, other in _resting.items() if now - other.rested > RESTS]
        old += [_key(reader.partition)]
        closing = [_resting.pop(key) for key in old if key in _resting]
        _resting[_key(reader.partition)] = reader
    for other in closing:
        other.close()


def _close(keys: set[Any]) -> None:
    with _lock:
        closing = [_resting.pop(key) for key in keys if key in _resting]
    for reader in closing:
        reader.close()


class _Provider(RestrictionProvider):
    def initial_restriction(self, element: Partition) -> Offset:
        return Offset(first_offset(element))

    def create_tracker(self, restriction: Offset) -> PositionTracker:
        return PositionTracker(restriction)

    def restriction_size(self, element: Partition, restriction: Offset) -> int:
        return 1


_TRACKER = beam.DoFn.RestrictionParam(_Provider())
_WATERMARK = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider())


class ReadPartition(beam.DoFn):
    """Partition -> (key, value) of its records, at their times; see ``kafka.ReadTopic``."""

    def __init__(self, disorder: float, idle_after: float | None, until_idle: float | None) -> None:
        self._disorder = Duration.of(disorder)
        self._idle_after = idle_after
        self._until_idle = until_idle

    def setup(self) -> None:
        self._read: set[Any] = set()

    def teardown(self) -> None:
        _close(self._read)

    @beam.DoFn.unbounded_per_element()
    def process(
        self, element: Partition, tracker: Any = _TRACKER, watermark: Any = _WATERMARK
    ) -> Iterator[TimestampedValue]:
        until = time.monotonic() + sources.HAND_BACK
        # Where one worker reads partition after partition, each has its turn within HAND_BACK.
        patience = min(LOOK, sources.HAND_BACK / element.of)
        count = 0
        self._read.add(_key(element))
        with _reader(element, tracker.current_restriction().next) as reader:
            while True:
                stopped = sources.stopped()
                records = [] if stopped else reader.read(patience)
                if records:
                    if not tracker.try_claim(Offset(reader.next)):
                        return
                    stamped = [_stamped(record) for record in records]
                    yield from stamped
                    count += len(records)
                    latest = max(value.timestamp for value in stamped)
                    _advance(watermark, latest - self._disorder)
                elif stopped or self._ends(reader):
                    if tracker.try_claim(Offset(done=True)):
                        watermark.set_watermark(MAX_TIMESTAMP)
                    return
                else:
                    self._follow_the_clock(reader, watermark)
                if len(records) < RECORDS_AT_ONCE and (count or element.of > 1):
                    break
                if count >= RECORDS_IN_BUNDLE or time.monotonic() > until:
                    break
            busy = count * element.of > BUSY * (time.monotonic() - reader.rested)
            tracker.defer_remainder(Duration(BUSY_RESUME if busy else sources.RESUME))

    def _ends(self, reader: _Reader) -> bool:
        if self._until_idle is None or reader.idle() < self._until_idle:
            return False
        return reader.read_to_its_end_at() is not None

    def _follow_the_clock(self, reader: _Reader, watermark: Any) -> None:
        """Where nothing has come for long and nothing is left behind."""
        if self._idle_after is None or reader.idle() < self._idle_after:
            return
        at = reader.read_to_its_end_at()
        if at is not None:
            _advance(watermark, Timestamp(micros=round((at - self._idle_after) * 1e6)))


def _stamped(record: Message) -> TimestampedValue:
    _, milliseconds = record.timestamp()
    time_of_it = Timestamp(micros=1000 * milliseconds)
    return TimestampedValue((record.key() or b"", record.value() or b""), time_of_it)


def _advance(watermark: Any, to: Timestamp) -> None:
    before = watermark.current_watermark()
    if before is None or before < to:
        watermark.set_watermark(to)
