"""The record of a run: its samples, and how they are thinned."""

from pipelines import record
from pipelines.record import Record


class Clock:
    now = 0.0
    events = 7  # of an earlier job

    def tick(self, seconds: float, events: int) -> None:
        self.now += seconds
        self.events += events

    def read(self) -> dict[str, int]:
        return {"events": self.events}


def recorded(clock: Clock) -> Record:
    return Record(clock.read, lambda: clock.now)


def test_what_was_counted_before_does_not_count() -> None:
    clock = Clock()
    record = recorded(clock)
    for events in (10, 0, 5):
        clock.tick(0.5, events)
        record.sample()
    assert list(record.steps()) == [
        (0.0, 0.5, {"events": 10}),
        (0.5, 1.0, {"events": 0}),
        (1.0, 1.5, {"events": 5}),
    ]
    assert (record.total("events"), record.total("nothing"), record.seconds) == (15, 0, 1.5)


def test_a_long_run_is_told_by_few_samples_that_lose_nothing() -> None:
    clock = Clock()
    long = recorded(clock)
    for _ in range(5_000):
        clock.tick(0.25, 3)
        long.sample()
    steps = list(long.steps())
    assert len(steps) <= record.POINTS
    assert sum(added["events"] for *_, added in steps) == 15_000
    assert (steps[0][0], steps[-1][1]) == (0, 1_250)


def test_a_job_that_runs_elsewhere_counts_from_nothing() -> None:
    clock = Clock()
    far = recorded(clock)
    far.follow(lambda: {"events": 4})
    far.sample()
    assert far.total("events") == 4


def test_it_samples_while_it_runs_and_at_the_end() -> None:
    clock = Clock()
    live = recorded(clock)
    with live.running():
        clock.tick(1, 2)
    assert live.total("events") == 2
