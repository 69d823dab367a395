"""A transform over words of many streams, on a runner: events per second."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apache_beam as beam

from benchmarks import words
from tests.runners import harness, services
from tests.runners.sources import replay

PART = 1000  # events that the source makes of one element

Transform = Callable[[], Any]


def rate(
    runner: harness.Runner,
    transform: Transform,
    count: int,
    bundle: int | None = None,
    **options: Any,
) -> float:
    """Events per second from the first event to the last answer; start-up is not in it.

    Args:
      transform: makes what is applied to the PCollection of (stream, word).
      count: the number of events, chosen before by ``words.use``.
      bundle: None: bounded input, in one bundle where the runner does so; else unbounded, in
        bundles of so many events.
    """
    words.clear()

    def build(p: beam.Pipeline) -> Any:
        size = bundle or PART
        parts = [(i, min(i + size, count)) for i in range(0, count, size)]
        if bundle:
            read = p | replay([[("", part, 0.0)] for part in parts]) | beam.Values()
        else:
            read = p | beam.Create(parts)
        read = read | beam.FlatMap(words.events).with_output_types(tuple[str, int])
        return read | "Step" >> transform() | beam.ParDo(words.Seen())

    runner.run(build, streaming=runner.name == "FlinkStreaming", **options)
    return count / words.seconds(count)


@contextmanager
def started(name: str, folder: Path) -> Iterator[harness.Runner]:
    """A runner of tests.runners.harness; services write their logs into ``folder``."""
    if name in harness.LOCAL:
        yield harness.LOCAL[name]()
    elif name == "Prism":
        with services.prism(folder) as (service, port):
            yield harness.portable(name, service, port)
    else:
        options = harness.STREAMING if name == "FlinkStreaming" else harness.FLINK
        with services.flink(folder) as (service, port):
            yield harness.portable(name, service, port, **options)


def run_parts(
    runner: harness.Runner, transform: Transform, parts: Sequence[tuple[int, int]], **options: Any
) -> None:
    """Runs a transform over parts of the events, unbounded, and marks when its answers came."""
    words.clear()
    kind = type(words.columns(0, 1)[1][0])

    def build(p: beam.Pipeline) -> Any:
        read = p | replay([[("", part, 0.0)] for part in parts]) | beam.Values()
        read = read | beam.FlatMap(words.events).with_output_types(tuple[str, kind])
        return read | "Step" >> transform() | beam.ParDo(words.Seen())

    runner.run(build, streaming=True, **options)
    words.seconds(parts[-1][1])  # or an answer is missing


def rate_once_created(
    runner: harness.Runner,
    transform: Transform,
    streams: int,
    count: int,
    bundle: int,
    skew: float = 0.0,
    inputs: Sequence[Any] | None = None,
) -> float:
    """Events per second over ``count`` events of streams that all exist already; unbounded."""
    words.use(count, streams, skew, inputs=inputs)
    words.create_all_first()
    cuts = range(0, streams + count, bundle)
    parts = [(i, min(i + bundle, streams + count)) for i in cuts]
    before = -(-streams // bundle)  # parts that create
    run_parts(runner, transform, parts)
    return (streams + count - parts[before][0]) / (max(words.last) - words.first[before])
