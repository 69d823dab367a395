"""Rows kept from bundle to bundle, by several workers, some of whose bundles fail."""

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_rnn.streams.emit import Emit
from beam_rnn.streams.pack import shard_of
from beam_rnn.transforms import shards
from beam_rnn.transforms.shards import Cells, OpenShards
from tests.streams.reference import Event, Said, reference
from tests.streams.steppers import labelling
from tests.streams.test_stepper import CODEC, HISTORIES, NET, in_time, packed, rows_of

SHARDS = 2


class Window:
    """The only window."""

    def max_timestamp(self) -> Any:
        return self

    micros = 1 << 60


WINDOW = Window()


class State:
    """What a runner keeps: it takes the writes of a bundle at its commit only."""

    def __init__(self) -> None:
        self.logs: dict[int, list[bytes]] = defaultdict(list)
        self.tags: dict[int, list[bytes]] = defaultdict(list)
        self.log_reads = 0

    def cells(self, number: int, writes: list[Any]) -> Cells:
        return Cells(_Log(self, number, writes), _Bag(self.tags[number], writes))


class _Bag:
    def __init__(self, kept: list[bytes], writes: list[Any]) -> None:
        self.kept, self.writes = kept, writes

    def read(self) -> Iterator[bytes]:
        return iter(list(self.kept))

    def clear(self) -> None:
        self.writes.append(self.kept.clear)

    def add(self, data: bytes) -> None:
        self.writes.append(lambda: self.kept.append(data))


class _Log(_Bag):
    def __init__(self, state: State, number: int, writes: list[Any]) -> None:
        super().__init__(state.logs[number], writes)
        self.state = state

    def read(self) -> Iterator[bytes]:
        self.state.log_reads += 1
        return super().read()


class Worker:
    """A worker that may fail in a bundle, and go on with the same Step or die."""

    def __init__(self) -> None:
        self.stepper = labelling(NET, SHARDS, CODEC, emit=Emit.of("each"), lookahead=1)
        self.shards = OpenShards(self.stepper)

    def bundle(self, state: State, events: list[Event], fails: str) -> list[tuple[str, Said]]:
        """Steps a bundle and commits it, or raises at the place that ``fails`` names."""
        self.shards.begin()
        writes: list[Any] = []
        parts: dict[int, list[Event]] = defaultdict(list)
        for event in events:
            parts[shard_of(event.stream.encode(), SHARDS)].append(event)
        said = []
        for number, mine in parts.items():
            shard = self.shards.open(number, WINDOW, state.cells(number, writes))
            self.stepper.receive(shard, packed(mine))
        for answers in self.stepper.settle():
            said += rows_of(answers)
        if fails == "stepped":
            raise RuntimeError(fails)
        for _ in self.shards.write():
            if fails == "writing":
                raise RuntimeError(fails)
        if fails == "commit":
            raise RuntimeError(fails)
        for write in writes:
            write()
        return said


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_TAGGED_FROM", 500)
    monkeypatch.setattr(shards, "_UNTAGGED_BELOW", 250)
    monkeypatch.setattr(shards, "_KEPT", 4000)


@given(history=HISTORIES, seed=st.integers(0, 10_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_worker_uses_rows_that_are_not_the_state(history: list[Event], seed: int) -> None:
    events = in_time(history)
    chance = random.Random(seed)
    state = State()
    workers = [Worker() for _ in range(3)]
    answers: dict[str, list[Said]] = defaultdict(list)
    start = 0
    while start < len(events):
        size = chance.choice([1, 3, 8])
        while True:  # a bundle is retried until it commits
            number = chance.randrange(3)
            fails = chance.choice(["", "", "", "stepped", "writing", "commit"])
            try:
                said = workers[number].bundle(state, events[start : start + size], fails)
                break
            except RuntimeError:
                if chance.random() < 0.5:
                    workers[number] = Worker()
        for stream, answer in said:
            answers[stream].append(answer)
        start += size
    assert answers == reference(NET, events, lookahead=1)


def test_a_large_shard_is_read_once_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_KEPT", 1 << 20)
    state, worker = State(), Worker()
    many = [f"s{i}" for i in range(40)]
    for turn in range(10):
        worker.bundle(state, [Event(stream, turn, turn, False) for stream in many], "")
    assert len(state.tags) == SHARDS
    for number, tags in state.tags.items():  # one for each block: they do not grow for ever
        assert 1 <= len(tags) <= len(state.logs[number])
    reads = state.log_reads
    worker.bundle(state, [Event("s0", 20, 1, False)], "")
    assert state.log_reads == reads
    other = Worker()
    other.bundle(state, [Event("s0", 21, 1, False)], "")
    assert state.log_reads == reads + 1
    worker.bundle(state, [Event("s0", 22, 1, False)], "")  # its rows are old now
    assert state.log_reads == reads + 2
    for stream in many:
        worker.bundle(state, [Event(stream, 30, 1, True)], "")
    assert not any(state.logs.values())
    assert not any(state.tags.values())
