"""Streams from topic to topic while the broker restarts and the job fails: is every answer right?

    python -m tests.runners.kafka_faults --site Prism --restarts 10 --failures 3

Keyed records with numbers, some of them twice and out of order, are written to one topic; a
pipeline tags them by number and writes its answers to another. Meanwhile the broker is stopped or
killed and started again, a DoFn raises, a worker is lost, the job is moved. In the end each
(stream, step) must have been answered as `unroll` of the whole stream answers, to the bit and at
the time of its event.
"""

import argparse
import contextlib
import random
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

import beam_rnn as rnn
from pipelines.kafka import ReadTopic, Topic, WriteTopic
from tests.runners.broker import Broker, kafka
from tests.runners.histories import expected, interleaved, network, streams
from tests.runners.kafka_jobs import PATIENCE, SITES, Fail, Job, Site
from tests.runners.sources import Event

BEGAN = 1_750_000_000  # seconds: the time of the first event
PARTITIONS = 4
Record = tuple[bytes, bytes, int]  # key, value, milliseconds


@dataclass
class Tally:
    """What came of it."""

    wanted: int
    wrong: int = 0
    lost: int = 0
    again: int = 0  # right answers that had been given before
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def right(self) -> bool:
        """Whether every answer is there, and none is wrong."""
        return not self.wrong and not self.lost


def numbered(events: list[Event], seed: int) -> list[Record]:
    """Events as records: each up to 60 places behind its turn, every fourth of them twice."""
    chance = random.Random(seed)
    at: dict[str, int] = {}
    placed = []
    for place, (key, x, seconds) in enumerate(events):
        number = at[key] = at.get(key, -1) + 1
        value = struct.pack("<q", number) + x.tobytes()
        record = key.encode(), value, _milliseconds(seconds)
        for _ in range(chance.choice([1, 1, 1, 2])):
            placed.append((place + chance.randrange(60), record))
    return [record for _, record in sorted(placed, key=lambda each: each[0])]


def _milliseconds(seconds: float) -> int:
    return 1000 * BEGAN + round(1000 * seconds)


def tag(p: beam.Pipeline, net: Any, read: Topic, written: Topic, expansion: str | None) -> Any:
    """The pipeline under test; given an expansion service, Beam's connector reads and writes."""
    java: dict[str, Any] = {"java": expansion is not None, "expansion_service": expansion}
    return (
        p
        | ReadTopic(read, **java)
        | "ByStream"
        >> beam.MapTuple(lambda key, value: (key.decode(), value)).with_output_types(
            tuple[str, bytes]
        )
        | rnn.Tag(net, x=_x, order=rnn.by_sequence(_number))
        | "Fail" >> beam.ParDo(Fail())
        | "Encode" >> beam.Map(_encode).with_output_types(tuple[bytes, bytes])
        | WriteTopic(written, **java)
    )


def _number(value: bytes) -> int:
    return int(struct.unpack_from("<q", value)[0])


def _x(value: bytes) -> Any:
    return np.frombuffer(value, np.float32, offset=8)


def _encode(answer: tuple[str, rnn.Tagged]) -> tuple[bytes, bytes]:
    stream, tagged = answer
    return stream.encode(), struct.pack("<qd", tagged.step, tagged.score) + tagged.label.encode()


def _decoded(value: bytes) -> tuple[int, tuple[str, float]]:
    """(step, (label, score))."""
    step, score = struct.unpack_from("<qd", value)
    return step, (value[16:].decode(), score)


class Answers:
    """Compares what is in a topic with what should be."""

    def __init__(self, topic: Topic, wanted: dict[tuple[str, int], tuple[Any, ...]]) -> None:
        self.tally = Tally(len(wanted))
        self._wanted = wanted
        self._seen: set[tuple[str, int]] = set()
        self._consumer = Consumer(
            {
                "bootstrap.servers": topic.servers,
                "group.id": f"answers of {topic.name}",
                "log_level": 2,
            }
        )
        # Not by subscription: a group can lose its coordinator with the broker, and hear nothing.
        self._consumer.assign(
            [TopicPartition(topic.name, place, OFFSET_BEGINNING) for place in range(PARTITIONS)]
        )

    def read(self, seconds: float) -> None:
        """Reads for a while."""
        for message in self._consumer.consume(10_000, timeout=seconds):
            if message.error() is not None:
                continue  # the broker restarts
            step, answer = _decoded(message.value() or b"")
            which = (message.key() or b"").decode(), step
            if self._wanted.get(which) != (*answer, message.timestamp()[1]):
                self.tally.wrong += 1
            elif which in self._seen:
                self.tally.again += 1
            else:
                self._seen.add(which)
        self.tally.lost = len(self._wanted) - len(self._seen)

    def wait_for_more(self, job: Job) -> None:
        """Reads until there is an answer that was not there before."""
        before, until = len(self._seen), time.monotonic() + PATIENCE
        while len(self._seen) == before:
            if time.monotonic() > until:
                raise RuntimeError(f"no answer within {PATIENCE:g} s")
            self.read(0.2)
            job.check()

    def close(self) -> None:
        """Leaves the topic."""
        self._consumer.close()


def run(
    site: Site,
    broker: Broker,
    events: list[Event],
    faults: Sequence[str],
    *,
    seed: int = 0,
) -> Tally:
    """Tags events from topic to topic; between equal parts of them, a fault.

    Args:
      site: where the job runs.
      broker: of the topics.
      events: of `histories`, with their times in seconds.
      faults: each "stop" or "kill" (the broker), "fail" (the job), or one of the site.
      seed: of the disorder.
    """
    net = network(lookahead=0)
    name = f"{site.runner.name}-{time.time_ns()}"
    read = Topic(broker.servers, broker.create(f"events-{name}", PARTITIONS))
    written = Topic(broker.servers, broker.create(f"answers-{name}", PARTITIONS))
    wanted = {
        (key, step): (label, score, _milliseconds(seconds))
        for key, answers in expected(net, events).items()
        for label, score, step, seconds in answers
    }
    began = time.monotonic()
    job = Job(site, lambda p: tag(p, net, read, written, site.expansion))
    with contextlib.closing(Answers(written, wanted)) as answers:
        _disturb(job, broker, read, numbered(events, seed), faults, answers)
        until = time.monotonic() + PATIENCE
        while answers.tally.lost and time.monotonic() < until:
            answers.read(0.2)
            job.check()
        job.stop()
        answers.read(1.0)
    tally = answers.tally
    tally.faults, tally.seconds = Counter(faults), time.monotonic() - began
    return tally


def _disturb(
    job: Job,
    broker: Broker,
    topic: Topic,
    records: list[Record],
    faults: Sequence[str],
    answers: Answers,
) -> None:
    """Writes the records, with the faults among them."""
    chance = random.Random(len(records))
    producer = Producer(
        topic.python_config(enable_idempotence=True, queue_buffering_max_messages=10_000_000)
    )
    size = -(-len(records) // (len(faults) + 1))
    for number, fault in enumerate([*faults, None]):
        part = records[number * size :][:size]
        if fault == "fail":
            job.fail(chance.randint(1, len(part) // 2))
        for key, value, at in part:
            producer.produce(topic.name, value, key, timestamp=at)
            producer.poll(0)
        if fault in ("stop", "kill"):
            broker.restart(kill=fault == "kill")
        elif fault and fault != "fail":
            answers.wait_for_more(job)
            job.site.faults[fault](job)
        job.wait_for_failure()
        job.check()
        answers.read(0.2)
    if producer.flush(PATIENCE):
        raise RuntimeError("the producer could not write its records")


def some_events(number: int, longest: int, seed: int) -> list[Event]:
    """Events of streams, a millisecond apart."""
    events = interleaved(streams(number, longest, seed), seed)
    return [(key, x, time / 1000) for key, x, time in events]


def main() -> int:
    """Runs as the command line says; 1 if an answer is lost or wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--site", choices=SITES, default="Prism")
    parser.add_argument("--restarts", type=int, default=10, help="of the broker; every other: -9")
    parser.add_argument("--failures", type=int, default=0, help="of a DoFn")
    parser.add_argument("--workers", type=int, default=0, help="TaskManagers killed, on Flink")
    parser.add_argument("--savepoints", type=int, default=0, help="stops and resumptions, on Flink")
    parser.add_argument("--streams", type=int, default=400)
    parser.add_argument("--longest", type=int, default=200, help="events of a stream at most")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    faults = ["kill", "stop"] * args.restarts
    faults = faults[: args.restarts] + ["fail"] * args.failures
    faults += ["worker"] * args.workers + ["savepoint"] * args.savepoints
    random.Random(args.seed).shuffle(faults)
    events = some_events(args.streams, args.longest, args.seed)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "broker").mkdir()
        broker = stack.enter_context(kafka(folder / "broker"))
        site = stack.enter_context(SITES[args.site](folder))
        tally = run(site, broker, events, faults, seed=args.seed)
    told = ", ".join(f"{count} x {fault}" for fault, count in sorted(tally.faults.items()))
    print(
        f"{args.site}: {tally.wanted} answers in {tally.seconds:.0f} s; faults: {told or 'none'}; "
        f"{tally.lost} lost, {tally.wrong} wrong, {tally.again} given again, all of these alike"
    )
    return 0 if tally.right else 1


if __name__ == "__main__":
    # The pipeline's functions must be those of a module that has a name, or they are copied.
    from tests.runners import kafka_faults

    raise SystemExit(kafka_faults.main())
