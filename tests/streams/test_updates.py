"""Model updates against the reference: which model steps which event, in any cut."""

import random
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import beam_rnn as rnn
from beam_rnn.errors import StateError, WeightsError
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.pack import shard_of
from beam_rnn.streams.stepper import Stepper
from beam_rnn.streams.updates import Updating
from tests.streams.reference import Event, Said, answers_of
from tests.streams.steppers import labelling
from tests.streams.test_stepper import CODEC, HISTORIES, Job, in_time, network, packed, rows_of

MODELS = [network(seed) for seed in range(3)]
PATHS = ["", "one", "two"]


class UpdatedJob(Job):
    """A job whose workers, all of them new for each bundle, are told of the present model."""

    def __init__(self, shards: int, policy: str, **options: Any) -> None:
        super().__init__(shards, **options)
        self.policy = policy
        self.present = 0
        self.told: dict[int, int] = defaultdict(int)

    def make(self, path: str) -> Stepper:
        if path not in PATHS:
            raise WeightsError(f"{path}: no such file")
        return labelling(MODELS[PATHS.index(path)], self.shards, CODEC, **self.options)

    def stepper(self) -> Updating:
        updating = Updating(self.make(""), self.make, self.policy)

        def loading(shard: Any, log: list[bytes]) -> bool:
            tagged = load(shard, log)
            if self.told[shard.id] != self.present:  # each shard is told once
                self.told[shard.id] = self.present
                assert updating.update(shard, PATHS[self.present]) is None
            return tagged

        load, updating.load = updating.load, loading
        return updating


def kept(sequence: list[tuple[Event, int]]) -> list[Said]:
    """The answers of a sequence whose state goes on under the model of each event."""
    a = MODELS[0].initial_state(1)
    said = []
    for step, (event, model) in enumerate(sequence, 1):
        y, a = MODELS[model].step(np.array([event.x]), a)
        label = int(y[0].argmax())
        said.append(Said(event.time, event.x, label, float(y[0, label]), step))
    return said


@given(
    history=HISTORIES,
    shards=st.sampled_from([1, 3]),
    seed=st.integers(0, 1000),
    policy=st.sampled_from(["drain", "reset", "keep"]),
    emit=st.sampled_from(["each", "final"]),
    lookahead=st.integers(0, 1),
)
def test_each_sequence_is_stepped_by_the_models_that_the_policy_says(
    history: list[Event], shards: int, seed: int, policy: str, emit: str, lookahead: int
) -> None:
    events = in_time(history)
    if policy == "keep":
        emit, lookahead = "each", 0
    job = UpdatedJob(shards, policy, emit=Emit.of(emit), lookahead=lookahead)
    chance = random.Random(seed)
    told: list[tuple[Event, int]] = []
    start = 0
    while start < len(events):
        job.present = chance.choice([job.present, job.present, 0 if start == 0 else 1, 2])
        size = chance.choice([1, 2, 5, 20])
        part = events[start : start + size]
        job.bundle([part[: size // 2], part[size // 2 :]])
        told += [(event, job.present) for event in part]
        start += size

    sequences: dict[str, list[tuple[list[tuple[Event, int]], int | None]]] = defaultdict(list)
    current: dict[str, list[tuple[Event, int]]] = defaultdict(list)

    def end(stream: str, time: int | None) -> None:
        if current[stream]:
            sequences[stream].append((current[stream], time))
        current[stream] = []

    latest: dict[int, int] = {}  # the model of each shard
    for event, model in told:
        shard = shard_of(event.stream.encode(), shards)
        if policy == "reset" and latest.get(shard, model) != model:
            for stream, mine in current.items():  # a shard is updated as a whole
                if mine and shard_of(stream.encode(), shards) == shard:
                    end(stream, mine[-1][0].time)
        latest[shard] = model
        if event.reset:
            end(event.stream, event.time)
        current[event.stream].append((event, model))
        if event.end:
            end(event.stream, event.time)
    for stream in list(current):
        end(stream, None)
    expected: dict[str, list[Said]] = {}
    for stream, found in sequences.items():
        said: list[Said] = []
        for sequence, time in found:
            if policy == "keep":
                said += kept(sequence)
                continue
            alone = {stream: [([event for event, _ in sequence], time)]}
            net = MODELS[sequence[0][1]]
            said += answers_of(net, alone, emit=emit, lookahead=lookahead)[stream]
        if said:
            expected[stream] = said
    assert {stream: said for stream, said in job.answers.items() if said} == expected


def numbered_job(policy: str) -> UpdatedJob:
    order = rnn.by_sequence(int)
    return UpdatedJob(2, policy, emit=Emit.of("each"), numbers=order.numbers)


@pytest.mark.parametrize("policy", ["drain", "reset", "keep"])
def test_numbers_go_on_under_another_model(policy: str) -> None:
    """Held events and the next number move with their stream."""
    job = numbered_job(policy)
    events = [Event("a", n, n % 10, n == 3, False, n) for n in range(8)]
    job.bundle([[events[0], events[2]]])  # 2 is held back
    job.present = 1
    job.bundle([[events[2], events[1]]])  # a duplicate, and what fills the gap
    job.bundle([[events[3]]])
    job.bundle([[events[5]]])
    job.present = 2
    job.bundle([[events[4], events[6], events[7]]])
    steps = [(said.time, said.step) for said in job.answers["a"]]
    later = [(4, 1), (5, 2), (6, 3), (7, 4)]
    first = (
        [(0, 1), (1, 1), (2, 2), (3, 3)] if policy == "reset" else [(n, n + 1) for n in range(4)]
    )
    assert steps == first + later


def test_a_refused_model_leaves_the_old_one() -> None:
    job = UpdatedJob(1, "keep", emit=Emit.of("each"))
    updating = job.stepper()
    shard = updating.shard(0)
    assert "no such file" in (updating.update(shard, "missing") or "")
    assert updating.update(shard, "missing") is None  # told once
    assert not shard.parts
    other = Updating(
        job.make(""),
        lambda path: labelling(network(0, cells=1), 1, CODEC, **job.options),
        "keep",
    )
    assert "its states are [('LSTM', 8)]" in (other.update(other.shard(0), "smaller") or "")


def test_state_of_a_model_that_is_gone_is_refused() -> None:
    job = UpdatedJob(1, "drain", emit=Emit.of("each"))
    job.present = 1
    job.bundle([[Event("a", 0, 1, False)]])
    made = job.make

    def gone(path: str) -> Stepper:
        return made("two" if path == "one" else path)

    updating = Updating(made(""), gone, "drain")
    with pytest.raises(StateError, match="at one there is model"):
        updating.load(updating.shard(0), job.logs[0])


def test_an_old_model_is_freed_when_its_last_stream_has_ended() -> None:
    job = UpdatedJob(1, "drain", emit=Emit.of("each"))
    updating = job.stepper()
    shard = updating.shard(0)
    assert updating.update(shard, "one") is None

    def bundle(event: Event) -> None:
        updating.receive(shard, packed([event]))
        list(updating.settle())
        updating.write(shard)

    bundle(Event("a", 0, 1, False))
    assert updating.update(shard, "two") is None
    for time in range(1, 300):
        bundle(Event("b", time, 1, False))
    assert MODELS[1].fingerprint in updating._steppers
    bundle(Event("a", 300, 1, True))
    for time in range(301, 500):
        bundle(Event("b", time, 1, False))
    assert MODELS[1].fingerprint not in updating._steppers


def test_an_update_of_a_shard_without_streams_is_remembered() -> None:
    job = UpdatedJob(1, "drain", emit=Emit.of("each"))
    worker = job.stepper()
    shard = worker.shard(0)
    worker.load(shard, [])
    worker.update(shard, "one")
    _, log = worker.write(shard)
    later = Updating(job.make(""), job.make, "drain")
    shard = later.shard(0)
    later.load(shard, log)
    later.receive(shard, packed([Event("a", 0, 1, False)]))
    (answers,) = later.settle()
    alone = {"a": [([Event("a", 0, 1, False)], None)]}
    assert [said for _, said in rows_of(answers)] == answers_of(MODELS[1], alone)["a"]
