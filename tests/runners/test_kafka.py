"""Topics in and out by the Python clients, against a real broker."""

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.utils.timestamp import Timestamp
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from pipelines import partitions, sources
from pipelines.kafka import LATEST, KafkaError, ReadTopic, Topic, WriteTopic
from tests.runners.broker import Broker
from tests.runners.harness import Runner

SPLITTABLE = ["FnApiRunner", "Prism", "FlinkStreaming"]
BEGAN = 1_750_000_000_000  # milliseconds

on_each = pytest.mark.parametrize("runner", SPLITTABLE, indirect=True)


@pytest.fixture(autouse=True)
def _sources_go_on() -> Iterator[None]:
    sources.start()
    yield
    sources.start()


def topic_of(broker: Broker, name: str, count: int = 3, **options: Any) -> Topic:
    return Topic(broker.servers, broker.create(name, count), **options)


def write(broker: Broker, topic: str, records: list[tuple[Any, Any, int]]) -> None:
    """Writes (key, value, milliseconds)."""
    producer = Producer({"bootstrap.servers": broker.servers, "log_level": 2})
    for key, value, at in records:
        producer.produce(topic, value, key, timestamp=at)
    assert producer.flush(30) == 0


def read_back(broker: Broker, topic: Topic) -> list[Message]:
    """All records of a topic."""
    config = {"bootstrap.servers": broker.servers, "group.id": "test", "log_level": 2}
    consumer = Consumer({**config, "enable.partition.eof": True})
    whole = partitions.partitions_of(topic)
    consumer.assign([TopicPartition(topic.name, partition.number, 0) for partition in whole])
    records, ended = [], 0
    while ended < len(whole):
        for message in consumer.consume(1000, timeout=0.1):
            if message.error() is None:
                records.append(message)
            else:
                ended += 1
    consumer.close()
    return records


@on_each
def test_records_are_read_once_in_order_at_their_times(runner: Runner, broker: Broker) -> None:
    topic = topic_of(broker, f"in-{runner.name}")
    sent: list[tuple[Any, Any, int]]
    sent = [(f"k{i % 11}".encode(), str(i).encode(), BEGAN + 7 * i) for i in range(3_000)]
    sent += [(None, b"no key", BEGAN), (b"no value", None, BEGAN)]
    write(broker, topic.name, sent)
    collected = runner.collect_windowed(
        lambda p: p | ReadTopic(topic, disorder=60, until_idle=3.0), streaming=True
    )
    found = [(key, value, round(time * 1000)) for (key, value), time, _ in collected]
    assert sorted(found) == sorted((key or b"", value or b"", at) for key, value, at in sent)
    for key in {key for key, _, _ in sent if key}:
        numbers = [int(value) for k, value, _ in found if k == key and value]
        assert numbers == sorted(numbers)


@on_each
def test_records_are_written_with_keys_and_times(runner: Runner, broker: Broker) -> None:
    topic = topic_of(broker, f"out-{runner.name}", 4)
    events = [(f"key {i}".encode(), str(i).encode(), 1_750_000_000 + i / 8) for i in range(200)]

    def build(p: beam.Pipeline) -> Any:
        stamped = (
            p
            | beam.Create(events)
            | beam.Map(
                lambda e: beam.window.TimestampedValue((e[0], e[1]), e[2])
            ).with_output_types(tuple[bytes, bytes])
        )
        return stamped | WriteTopic(topic)

    runner.run(build)
    found = read_back(broker, topic)
    assert sorted((m.key(), m.value(), m.timestamp()[1] / 1000) for m in found) == sorted(events)
    # What kafka.tools' Java client chooses: murmur2 of the key.
    assert {m.partition() for m in found if m.key() == b"key 0"} == {_murmur2(b"key 0") % 4}


def _murmur2(data: bytes) -> int:
    """The hash of org.apache.kafka.common.utils.Utils, its sign dropped."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF


def test_reading_begins_where_it_is_asked_to(broker: Broker) -> None:
    name = topic_of(broker, "begin", 1).name
    write(broker, name, [(b"k", str(i).encode(), BEGAN + 1000 * i) for i in range(10)])

    def first(**options: Any) -> int:
        (partition,) = partitions.partitions_of(Topic(broker.servers, name, **options))
        return partitions.first_offset(partition)

    seconds = BEGAN // 1000
    assert first() == 0
    assert first(start=LATEST) == 10
    assert first(start=Timestamp(seconds + 4)) == 4
    assert first(start=Timestamp(micros=BEGAN * 1000 + 4_000_001)) == 4  # Kafka's milliseconds
    assert first(start=Timestamp(seconds + 100)) == 10


def test_records_that_are_gone_are_not_passed_over(broker: Broker) -> None:
    topic = topic_of(broker, "gone", 1)
    write(broker, topic.name, [(b"k", str(i).encode(), BEGAN) for i in range(10)])
    reader = partitions._Reader(partitions.partitions_of(topic)[0], 3)
    assert reader.read(10)[0].offset() == 3
    admin = AdminClient({"bootstrap.servers": broker.servers})
    for done in admin.delete_records([TopicPartition(topic.name, 0, 8)]).values():
        done.result(timeout=10)
    reader.seek(5)
    with pytest.raises(KafkaError, match=r"partition 0 of gone has no offset 5 any more"):
        list(iter(lambda: len(reader.read(1.0)), None))
    reader.close()


def test_what_cannot_be_read_is_told(broker: Broker) -> None:
    with pytest.raises(KafkaError, match=r"topic nowhere at localhost:\d+: .*[Uu]nknown topic"):
        partitions.partitions_of(Topic(broker.servers, "nowhere"))


@pytest.mark.parametrize("runner", ["Prism"], indirect=True)
def test_a_partition_without_records_holds_nothing_back(runner: Runner, broker: Broker) -> None:
    """Windows close by the records of one partition; the other two are empty."""
    topic = topic_of(broker, "idle")
    now = int(time.time() * 1000)
    write(broker, topic.name, [(b"k", b"%d" % i, now - 60_000 + 100 * i) for i in range(100)])
    closed.clear()

    def build(p: beam.Pipeline) -> Any:
        return (
            p
            | ReadTopic(topic, idle_after=1.0)
            | beam.WindowInto(beam.window.FixedWindows(5))
            | beam.combiners.Count.PerKey()
            | beam.Map(_closed)
        )

    too_late = threading.Timer(180.0, sources.stop)
    too_late.start()
    runner.run(build, streaming=True)
    assert too_late.is_alive()
    too_late.cancel()
    assert sum(closed) == 100


closed: list[int] = []


def _closed(counted: tuple[bytes, int]) -> None:
    closed.append(counted[1])
    if sum(closed) == 100:
        sources.stop()


def test_a_reader_waits_for_a_broker_that_restarts(broker: Broker) -> None:
    topic = topic_of(broker, "patience", 1)
    write(broker, topic.name, [(b"k", str(i).encode(), BEGAN) for i in range(10)])
    reader = partitions._Reader(partitions.partitions_of(topic)[0], 0)
    assert reader.read(10)
    broker.restart(kill=True)
    write(broker, topic.name, [(b"k", b"more", BEGAN)])
    until = time.monotonic() + 120
    found: list[Message] = []
    while not found and time.monotonic() < until:
        found = reader.read(0.5)
    assert [record.value() for record in found] == [b"more"]
    assert reader.next == 11
    reader.close()


def test_the_example_of_the_page_runs(broker: Broker) -> None:
    broker.create("measured", 2)
    broker.create("answered", 2)
    events = [(b"ab"[i % 2 :][:1], b"%d 0.5" % (i // 2), BEGAN + i) for i in range(20)]
    write(broker, "measured", [*reversed(events), *events[:4]])
    page = Path(__file__).parents[2] / "docs" / "kafka.md"
    (code,) = re.findall(r"^```python broker\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    code = code.replace("localhost:9092", broker.servers)
    exec(compile(code, str(page), "exec"), {"__name__": "__main__"})
    found = read_back(broker, Topic(broker.servers, "answered"))
    steps = [(m.key(), int((m.value() or b"").split()[0]), m.timestamp()[1]) for m in found]
    assert sorted(steps) == sorted((key, 1 + int(v.split()[0]), at) for key, v, at in events)
