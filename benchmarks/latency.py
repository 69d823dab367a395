"""Latency at a given rate: from when an event is due to when its answer is there."""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.coders import BytesCoder
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

import beam_rnn as rnn
from benchmarks.measure import Results, Row, against
from benchmarks.plain import model
from benchmarks.streams import started
from tests.runners import harness
from tests.runners.services import ServiceError

FIGURE = "latency"
PEER = "DoFn that reads and writes its state alone"
_due: list[float] = []  # when each event is due, as time.perf_counter()
_seen: list[tuple[float, int]] = []  # when an answer came, and to which event


class _Positions(RestrictionProvider):
    """Positions are numbers of events."""

    def initial_restriction(self, element: int) -> OffsetRange:
        return OffsetRange(0, element)

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element: int, restriction: OffsetRange) -> int:
        return int(restriction.size())


class Paced(beam.DoFn):
    """Gives, in each bundle, all events that are due, waiting for one at least."""

    def __init__(self, per_second: float, streams: int) -> None:
        self.per_second = per_second
        self.streams = streams

    @beam.DoFn.unbounded_per_element()
    def process(
        self, element: int, tracker: Any = beam.DoFn.RestrictionParam(_Positions())
    ) -> Iterable[tuple[str, int]]:
        position = tracker.current_restriction().start
        if not _due:
            begin = time.perf_counter() + 0.05
            _due.extend(begin + i / self.per_second for i in range(element))
        time.sleep(max(0.0, _due[min(position, element - 1)] - time.perf_counter()))
        while position < element and _due[position] <= time.perf_counter():
            if not tracker.try_claim(position):
                return
            yield f"stream {position % self.streams}", position
            position += 1
        tracker.defer_remainder()


class Answered(beam.DoFn):
    """Notes when which event was answered; its place is its word."""

    def process(self, element: tuple[str, Any]) -> Iterator[None]:
        _, answer = element
        word = answer.input if isinstance(answer, rnn.Tagged) else answer[0]
        _seen.append((time.perf_counter(), word))
        yield from ()


class Keeping(beam.DoFn):
    """Reads its state and writes it again, as many bytes as the network's; it computes nothing."""

    STATE = ReadModifyWriteStateSpec("a", BytesCoder())

    def __init__(self, size: int) -> None:
        self.first = bytes(size)

    def process(
        self, element: tuple[str, int], state: Any = beam.DoFn.StateParam(STATE)
    ) -> Iterator[tuple[str, tuple[int]]]:
        stream, word = element
        state.write(state.read() or self.first)
        yield stream, (word,)


def run(
    rounds: int,
    seconds: float = 4,
    names: tuple[str, ...] = ("FnApiRunner", "FlinkStreaming"),
    rate: int = 1000,
    H: int = 64,
) -> Results:
    """Medians over the rounds of the latencies p50 and p99; the first second is not counted."""
    results = Results()
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            what = f"{name}, {rate:,} events/s over 1,000 streams, H={H}"
            try:
                with started(name, Path(temporary)) as runner:
                    results.rows += _on(runner, what, rounds, rate, seconds, H)
            except ServiceError as error:
                absent = f"the runner is absent: {str(error).splitlines()[0]}"
                results.rows.append(Row(FIGURE, what, "ms", note=absent))
    return results


def _on(
    runner: harness.Runner, what: str, rounds: int, rate: int, seconds: float, H: int
) -> list[Row]:
    path = model(H)
    ways: dict[str, Callable[[], Any]] = {
        "Tag": lambda: rnn.Tag(path, order=rnn.arrival),
        "state alone": lambda: beam.ParDo(Keeping(8 * H)),
    }
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way in list(ways)[:: 1 if turn % 2 == 0 else -1]:
            found[way].append(_percentiles(runner, ways[way], rate, seconds))
    rows = []
    for column, percentile in enumerate(("p50", "p99")):
        mine, theirs = ([pair[column] for pair in found[way]] for way in ways)
        row = Row(FIGURE, f"{what}, {percentile}", "ms", peer=PEER, target=1 / 1.3)
        rows.append(against(row, mine, theirs, more_is_better=False))
    return rows


def _percentiles(
    runner: harness.Runner, way: Callable[[], Any], rate: int, seconds: float
) -> tuple[float, float]:
    _due.clear()
    _seen.clear()
    count = min(int(rate * seconds), 10_000)  # each event its own word

    def build(p: beam.Pipeline) -> None:
        events = p | beam.Create([count]) | beam.ParDo(Paced(rate, 1000))
        events = events | beam.Map(_same).with_output_types(tuple[str, int])
        _ = events | "Step" >> way() | beam.ParDo(Answered())

    runner.run(build, streaming=True)
    if len(_seen) != count:
        raise RuntimeError(f"{len(_seen)} answers, expected {count}")
    skipped = min(rate, count // 4)
    waits = [1000 * (when - _due[place]) for when, place in _seen if place >= skipped]
    p50, p99 = np.percentile(waits, [50, 99])
    return float(p50), float(p99)


def _same(event: tuple[str, int]) -> tuple[str, int]:
    return event
