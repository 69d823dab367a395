"""What makes a step fail is cut out of its wave: the others are right, nothing is lost."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import beam_rnn as rnn
from beam_rnn.nn.sequences import Wave
from beam_rnn.streams.answers import Answers
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.pack import Packed
from beam_rnn.streams.shard import Shard
from tests.streams.reference import Event, reference
from tests.streams.steppers import labelling
from tests.streams.test_stepper import CODEC, HISTORIES, NET, Job, in_time, rows_of

POISON = 7


class Raising:
    """A model that raises where it is given POISON; else it is NET."""

    bounded = False

    def __getattr__(self, name: str) -> Any:
        return getattr(NET, name)

    def advance(self, x: np.ndarray, a: np.ndarray, waves: Sequence[Wave]) -> np.ndarray:
        h = NET.advance(x, a, waves)
        if POISON in x:
            raise ValueError("no model for 7")
        return h


class PoisonedJob(Job):
    """A job whose model raises."""

    def __init__(self, shards: int, **options: Any) -> None:
        super().__init__(shards, **options)
        self.network = Raising()
        self.failed: list[tuple[str, int]] = []

    def _keep(self, answers: Answers) -> None:
        for _, time, event in answers.bad:
            assert event.input == POISON
            assert event.reason == "ValueError: no model for 7"
            self.failed.append((event.stream, time))
        for stream, said in rows_of(answers):
            self.answers[stream].append(said)


@given(history=HISTORIES, cut=st.integers(1, 20), lookahead=st.integers(0, 2))
def test_events_at_which_the_model_raises_are_not_stepped(
    history: list[Event], cut: int, lookahead: int
) -> None:
    events = in_time([event._replace(end=False, reset=False) for event in history])
    job = PoisonedJob(2, emit=Emit.of("each"), lookahead=lookahead)
    for start in range(0, len(events), cut):
        job.bundle([events[start : start + cut]])
    good = [event for event in events if event.x != POISON]
    assert job.answers == reference(NET, good, lookahead=lookahead)
    assert sorted(job.failed) == sorted((e.stream, e.time) for e in events if e.x == POISON)


def test_a_sequence_whose_last_event_fails_ends_with_the_one_before() -> None:
    job = PoisonedJob(1, emit=Emit.of("final"))
    events = [
        Event("a", 0, 1, False),
        Event("a", 1, 2, False),
        Event("a", 2, POISON, True),
        Event("a", 3, 3, True),
    ]
    job.bundle([events])
    ended = [events[0], events[1]._replace(end=True), events[3]]
    expected = reference(NET, ended, emit="final")
    assert job.answers == expected
    assert job.failed == [("a", 2)]
    assert not any(job.logs.values())


@pytest.mark.parametrize("cell", [rnn.GRU, rnn.LSTM, rnn.RNN])
def test_inputs_that_overflow_do_not_touch_the_state(cell: Any) -> None:
    draw = np.random.default_rng(0)
    gates = {rnn.GRU: 3, rnn.LSTM: 4, rnn.RNN: 1}[cell]

    def weights(*shape: int) -> np.ndarray:
        return draw.normal(size=shape).astype(np.float32)

    W_x, W_a, b = 3 * weights(gates * 8, 2), weights(gates * 8, 8), weights(gates * 8)
    options = {"activation": "relu"} if cell is rnn.RNN else {}
    net = rnn.Network([cell(W_x, W_a, b, **options), rnn.Dense(weights(3, 8), weights(3))])
    xs = draw.normal(size=(40, 2)).astype(np.float32)
    huge = np.isin(np.arange(40), [5, 17, 30])
    xs[huge] = 3e38
    stream = np.arange(40) % 4
    packed = Packed([b"a", b"b", b"c", b"d"], stream, np.arange(40), np.zeros(40, bool), xs, None)
    stepper = labelling(net, 1, CODEC, emit=Emit.of("each"))
    stepper.receive(Shard(0), packed)
    (answers,) = stepper.settle()
    failed = {time for _, time, _ in answers.bad}
    assert failed == ({5, 17, 30} if cell is rnn.RNN else set())  # gates saturate
    found = defaultdict(list)
    for name, time, label, score in zip(
        answers.stream.tolist(),
        answers.time.tolist(),
        answers.what.label,
        answers.what.score,
        strict=True,
    ):
        found[name].append((time, label, score))
    for number in range(4):
        times = [t for t in range(number, 40, 4) if t not in failed]
        y, _ = net.unroll(xs[times])
        assert found[number] == [
            (t, row.argmax(), row.max()) for t, row in zip(times, y, strict=True)
        ]
