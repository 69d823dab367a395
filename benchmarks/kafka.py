"""From topic to topic: how many events per second, and how long from a record to its answer.

    python -m benchmarks.kafka --site FnApiRunner

A broker of one node, four partitions, 1,000 streams, an LSTM of 64 units. Throughput: all records
are there before the job; latency: records come at a rate, and the clock runs from before a record
is written until its answer has been read from the other topic.
"""

import argparse
import contextlib
import json
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from confluent_kafka import Consumer, Producer

import beam_rnn as rnn
from benchmarks import words
from benchmarks.plain import model
from pipelines.kafka import ReadTopic, Topic, WriteTopic
from tests.runners.broker import Broker, kafka
from tests.runners.kafka_jobs import SITES, Job, Site

STREAMS = 1_000
PARTITIONS = 4
WARM_UP = 5.0  # seconds of a latency run that do not count


def tag(p: beam.Pipeline, site: Site, read: Topic, written: Topic, path: str) -> Any:
    java: dict[str, Any] = {"java": site.expansion is not None, "expansion_service": site.expansion}
    return (
        p
        | ReadTopic(read, **java)
        | "ByStream" >> beam.MapTuple(_by_stream).with_output_types(tuple[str, bytes])
        | rnn.Tag(path, x=_word)
        | "Encode" >> beam.Map(_encode).with_output_types(tuple[bytes, bytes])
        | WriteTopic(written, **java)
    )


def _by_stream(key: bytes, value: bytes) -> tuple[str, bytes]:
    return key.decode(), value


def _record(number: int) -> tuple[bytes, bytes]:
    """(stream, the clock and a word)."""
    word = number * 7919 % words.VOCABULARY
    return b"stream %d" % (number % STREAMS), struct.pack("<dq", time.time(), word)


def _word(value: bytes) -> int:
    return int(struct.unpack_from("<q", value, 8)[0])


def _encode(answer: tuple[str, rnn.Tagged]) -> tuple[bytes, bytes]:
    """(stream, the clock of its record, step and label)."""
    stream, tagged = answer
    return stream.encode(), tagged.input[:8] + struct.pack("<qq", tagged.step, tagged.label)


def write(topic: Topic, count: int, rate: float | None) -> None:
    """Writes records, at a rate or as fast as it goes."""
    producer = Producer(
        topic.python_config(linger_ms=1 if rate else 50, queue_buffering_max_messages=10_000_000)
    )
    begin = time.monotonic()
    for number in range(count):
        if rate:
            time.sleep(max(0.0, begin + number / rate - time.monotonic()))
        key, value = _record(number)
        producer.produce(topic.name, value, key)
        producer.poll(0)
    producer.flush()


def answers(topic: Topic, count: int) -> Iterator[tuple[float, float]]:
    """(clock of the record, clock of its answer) of so many answers."""
    consumer = Consumer(
        {
            "bootstrap.servers": topic.servers,
            "group.id": f"of {topic.name}",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic.name])
    left = count
    with contextlib.closing(consumer):
        while left:
            first = consumer.poll(1.0)
            messages = [first, *consumer.consume(9_999, timeout=0)] if first else []
            now = time.time()
            for message in messages:
                if message.error() is None:
                    left -= 1
                    yield struct.unpack_from("<d", message.value() or b"")[0], now


def measure(site: Site, broker: Broker, count: int, rate: float | None) -> dict[str, float]:
    name = f"{time.time_ns()}"
    read = Topic(broker.servers, broker.create(f"events-{name}", PARTITIONS))
    written = Topic(broker.servers, broker.create(f"answers-{name}", PARTITIONS))
    path = model(64)
    write(read, 1 if rate else count, None)
    job = Job(site, lambda p: tag(p, site, read, written, path))
    if not rate:
        found = np.array(list(answers(written, count)))
        job.stop()
        # From when a tenth has been answered: a job takes its time to begin.
        first, last = found[count // 10, 1], found[-1, 1]
        return {"events per second": round(count * 0.9 / (last - first))}
    coming = answers(written, 1 + count)
    next(coming)  # the job has begun
    threading.Thread(target=write, args=(read, count, rate)).start()
    found = np.array(list(coming))
    job.stop()
    counts = found[:, 0] > found[0, 0] + WARM_UP
    p50, p99 = np.percentile(1000 * (found[counts, 1] - found[counts, 0]), [50, 99])
    return {"p50 ms": round(p50), "p99 ms": round(p99)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--site", choices=SITES, default="FnApiRunner")
    parser.add_argument("--records", type=int, default=200_000, help="for throughput")
    parser.add_argument("--rates", type=float, nargs="*", default=[100.0, 1000.0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each rate")
    args = parser.parse_args()
    for rate in [None, *args.rates]:
        # A site of its own for each: what an earlier job left behind would be measured as well.
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
            folder = Path(name)
            (folder / "broker").mkdir()
            broker = stack.enter_context(kafka(folder / "broker"))
            site = stack.enter_context(SITES[args.site](folder))
            count = round(rate * (args.seconds + WARM_UP)) if rate else args.records
            row = {"site": args.site, "rate": rate, **measure(site, broker, count, rate)}
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    # The pipeline's functions must be those of a module that has a name, or they are copied.
    from benchmarks import kafka as named

    named.main()
