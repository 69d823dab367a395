"""The harness itself: results, failures, state, timers and options, on every runner."""

from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import VarIntCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from tests.runners import harness
from tests.runners.harness import Runner
from tests.runners.sources import replay


class RunningSum(beam.DoFn):
    """Sums per key; cells read in `process` are written in `finish_bundle`."""

    TOTAL = BagStateSpec("total", VarIntCoder())

    def start_bundle(self) -> None:
        self._cells: dict[str, Any] = {}
        self._totals: dict[str, int] = {}
        self._times: dict[str, Timestamp] = {}

    def process(
        self,
        event: tuple[str, int],
        timestamp: Any = beam.DoFn.TimestampParam,
        total: Any = beam.DoFn.StateParam(TOTAL),
    ) -> None:
        key, value = event
        if key not in self._cells:
            self._cells[key] = total
            self._totals[key] = sum(total.read())
        self._totals[key] += value
        self._times[key] = timestamp

    def finish_bundle(self) -> Iterable[WindowedValue]:
        for key, cell in self._cells.items():
            cell.clear()
            cell.add(self._totals[key])
            answer = (key, self._totals[key])
            yield WindowedValue(answer, self._times[key], [GlobalWindow()])


class Expire(beam.DoFn):
    """Counts a key's events, and tells the count a while after the last one."""

    COUNT = BagStateSpec("count", VarIntCoder())
    IDLE = TimerSpec("idle", TimeDomain.WATERMARK)

    def process(
        self,
        event: tuple[str, int],
        timestamp: Any = beam.DoFn.TimestampParam,
        count: Any = beam.DoFn.StateParam(COUNT),
        idle: Any = beam.DoFn.TimerParam(IDLE),
    ) -> None:
        count.add(1)
        idle.set(timestamp + 5)

    @on_timer(IDLE)
    def expire(
        self, key: Any = beam.DoFn.KeyParam, count: Any = beam.DoFn.StateParam(COUNT)
    ) -> Iterable[tuple[str, int]]:
        total = sum(count.read())
        count.clear()
        yield key, total


def _fail(value: int) -> int:
    if value == 3:
        raise ValueError("three is refused")
    return value


def _events(chunks: int, keys: int = 3) -> list[list[tuple[str, int, float]]]:
    return [
        [(f"k{key}", 10 * chunk + key, float(chunk)) for key in range(keys)]
        for chunk in range(chunks)
    ]


def test_collect_gives_all_elements_with_times(runner: Runner) -> None:
    chunks = _events(5)
    rows = runner.collect_windowed(
        lambda pipeline: pipeline | replay(chunks, bounded=not runner.unbounded)
    )
    expected = [((k, v), t, GlobalWindow()) for chunk in chunks for k, v, t in chunk]
    assert sorted(rows, key=str) == sorted(expected, key=str)


def test_run_raises_what_a_step_raised(runner: Runner) -> None:
    with pytest.raises(Exception, match="three is refused"):
        runner.run(lambda pipeline: pipeline | beam.Create([1, 2, 3]) | beam.Map(_fail))


def test_state_written_in_finish_bundle_is_there_in_the_next(runner: Runner) -> None:
    chunks = _events(6)
    sums = runner.collect(
        lambda pipeline: (
            pipeline | replay(chunks, bounded=not runner.unbounded) | beam.ParDo(RunningSum())
        ),
        max_bundle_size=4,
    )
    last = {key: max(total for k, total in sums if k == key) for key, _ in sums}
    assert last == {"k0": 150, "k1": 156, "k2": 162}
    bundles_of_one_key = len(sums) / len(last)
    assert bundles_of_one_key > 1 if runner.unbounded else bundles_of_one_key == 1


@pytest.mark.parametrize("runner", harness.TIMERS, indirect=True)
def test_event_time_timers_wait_for_the_watermark(runner: Runner) -> None:
    # Two sessions of "a", 10 s apart; "b" goes on all the time.
    times = {"a": [0, 1, 2, 12, 13], "b": list(range(20))}
    chunks = [[(key, 1, t) for key in times if t in times[key]] for t in range(20)]
    # On Flink the watermark waits for the end of a bundle, and so does every timer before it.
    rows = runner.collect_windowed(
        lambda pipeline: pipeline | replay(chunks) | beam.ParDo(Expire()), max_bundle_size=1
    )
    assert sorted(row[0] for row in rows) == [("a", 2), ("a", 3), ("b", 20)]
    assert sorted(row[1] for row in rows) == [7.0, 18.0, 24.0]


@pytest.mark.parametrize("runner", harness.FLINK_UNBOUNDED[1:], indirect=True)
def test_checkpoints_lose_nothing(runner: Runner) -> None:
    chunks = _events(200)
    sums = runner.collect(
        lambda pipeline: pipeline | replay(chunks) | beam.ParDo(RunningSum()),
        max_bundle_size=50,
        checkpointing_interval=100,
    )
    total = {key: sum(v for c in chunks for k, v, _ in c if k == key) for key in ("k0", "k1", "k2")}
    assert {key: max(t for k, t in sums if k == key) for key in total} == total
