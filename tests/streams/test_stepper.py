"""The stepper against the reference: any history, any cut, any number of shards."""

import random
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import beam_rnn as rnn
from beam_rnn.errors import StateError
from beam_rnn.streams.answers import Answers
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.pack import Packed, shard_of
from beam_rnn.streams.shard import Shard
from tests.streams.reference import Event, Said, reference
from tests.streams.steppers import labelling

CODEC = Codec(bytes.decode, lambda value: b"%d" % value, int)


def network(seed: int = 0, cells: int = 2) -> rnn.Network:
    draw = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return draw.normal(0, 1, shape).astype(np.float32)

    return rnn.Network(
        [
            rnn.Embedding(weights(10, 3)),
            rnn.LSTM(weights(16, 3), weights(16, 4), weights(16)),
            *([rnn.GRU(weights(9, 4), weights(9, 3), weights(9))] if cells == 2 else []),
            rnn.Dense(weights(3, 3 if cells == 2 else 4), weights(3), "softmax"),
        ]
    )


NET = network()


def packed(events: list[Event]) -> Packed:
    """Events of one shard as they come out of the shuffle."""
    streams = sorted({event.stream for event in events})
    pack = Packed(
        [stream.encode() for stream in streams],
        np.array([streams.index(event.stream) for event in events]),
        np.array([event.time for event in events]),
        np.array([event.end for event in events]),
        np.array([event.x for event in events]),
        None,
        reset=np.array([event.reset for event in events], np.bool_),
        seq=np.array([event.number for event in events], np.int64),
    )
    return Packed.decode(pack.encode(lambda values: b""), lambda data: [])


def rows_of(answers: Answers) -> list[tuple[str, Said]]:
    """Answers as rows, with their streams."""
    labels = answers.what
    columns = (answers.time, labels.label, labels.score, labels.step)
    numbers = zip(*(column.tolist() for column in columns), strict=True)
    inputs = labels.input or [None] * len(answers)
    return [
        (answers.names[stream], Said(time, value, label, score, step))
        for stream, value, (time, label, score, step) in zip(
            answers.stream.tolist(), inputs, numbers, strict=True
        )
    ]


class Job:
    """A job that keeps its logs between bundles, as a runner does."""

    def __init__(self, shards: int, **options: Any) -> None:
        self.logs: dict[int, list[bytes]] = defaultdict(list)
        self.network: Any = NET
        self.shards = shards
        self.options = options
        self.answers: dict[str, list[Said]] = defaultdict(list)

    def stepper(self) -> Any:
        """What a worker makes anew for each bundle."""
        return labelling(self.network, self.shards, CODEC, **self.options)

    def bundle(self, packs: list[list[Event]], watermark: int = -1) -> None:
        """Steps events, settling behind each pack; then timers up to the watermark fire."""
        stepper = self.stepper()
        opened: dict[int, Shard] = {}

        def shard(number: int) -> Shard:
            if number not in opened:
                opened[number] = stepper.shard(number)
                stepper.load(opened[number], self.logs[number])
            return opened[number]

        for pack in packs:
            parts: dict[int, list[Event]] = defaultdict(list)
            for event in pack:
                parts[shard_of(event.stream.encode(), self.shards)].append(event)
            for number, events in parts.items():
                stepper.receive(shard(number), packed(events))
            for answers in stepper.settle():
                self._keep(answers)
        for number in list(self.logs) if watermark >= 0 else ():
            due = stepper.due(shard(number))
            if due is not None and due <= watermark:
                for answers in stepper.close(shard(number), watermark):
                    self._keep(answers)
        self._write(stepper, opened)

    def close(self) -> None:
        """The window closes."""
        stepper = self.stepper()
        opened = {number: stepper.shard(number) for number in self.logs}
        for number, shard in opened.items():
            stepper.load(shard, self.logs[number])
            for answers in stepper.close(shard, None):
                self._keep(answers)
        self._write(stepper, opened)

    def _write(self, stepper: Any, opened: dict[int, Shard]) -> None:
        for number, shard in opened.items():
            clear, blocks = stepper.write(shard)
            log = ([] if clear else self.logs[number]) + blocks
            random.Random(len(log)).shuffle(log)  # a bag has no order
            self.logs[number] = log

    def _keep(self, answers: Answers) -> None:
        assert not answers.bad
        for stream, said in rows_of(answers):
            self.answers[stream].append(said)


HISTORIES = st.lists(
    st.builds(
        Event,
        stream=st.sampled_from(["a", "b", "c", "d", "e", "é"]),
        time=st.integers(0, 60),  # here: microseconds since the event before
        x=st.integers(0, 9),
        end=st.sampled_from([False, False, False, True]),
        reset=st.sampled_from([False, False, False, False, True]),
        number=st.just(0),
    ),
    max_size=60,
)


def in_time(history: list[Event]) -> list[Event]:
    time = 0
    events = []
    for event in history:
        time += event.time
        events.append(event._replace(time=time))
    return events


@given(
    history=HISTORIES,
    shards=st.sampled_from([1, 2, 7]),
    seed=st.integers(0, 1000),
    emit=st.sampled_from(["each", "final", "change", rnn.every(1), rnn.every(3)]),
    lookahead=st.integers(0, 3),
    expire_after=st.sampled_from([None, 30, 100]),
    per_sequence=st.booleans(),
    timers=st.booleans(),
)
def test_any_history_in_any_cut_answers_as_the_reference(
    history: list[Event],
    shards: int,
    seed: int,
    emit: str | Emit,
    lookahead: int,
    expire_after: int | None,
    per_sequence: bool,
    timers: bool,
) -> None:
    events = in_time(history)
    options = {
        "lookahead": lookahead,
        "expire_after": expire_after,
        "per_sequence": per_sequence,
    }
    job = Job(shards, emit=Emit.of(emit), **options)
    chance = random.Random(seed)
    start, watermark = 0, -1
    while start < len(events):
        packs = []
        for _ in range(chance.randint(1, 3)):
            size = chance.choice([1, 2, 5, 20])
            packs.append(events[start : start + size])
            start += size
        if timers and expire_after and start < len(events):
            watermark = events[start].time
        job.bundle(packs, watermark)
    assert job.answers == reference(NET, events, emit=emit, watermark=watermark, **options)


@given(history=HISTORIES, lookahead=st.integers(0, 2), per_sequence=st.booleans())
def test_a_closed_window_says_the_rest_and_leaves_no_byte(
    history: list[Event], lookahead: int, per_sequence: bool
) -> None:
    events = in_time(history)
    options = {"lookahead": lookahead, "per_sequence": per_sequence}
    job = Job(3, emit=Emit.of("final"), **options)
    for event in events:
        job.bundle([[event]])
    job.close()
    # As if the last event of each open stream had been the end of its sequence.
    lasts = {event.stream: place for place, event in enumerate(events)}
    ended = [e._replace(end=e.end or lasts[e.stream] == i) for i, e in enumerate(events)]
    assert job.answers == reference(NET, ended, emit="final", **options)
    assert not any(job.logs.values())


def test_ended_streams_leave_no_byte_and_no_row() -> None:
    stepper = labelling(NET, 1, CODEC, emit=Emit.of("final"), per_sequence=True)
    shard = Shard(0)
    for start in range(0, 100_000, 1000):
        events = [Event(f"s{i}", i, i % 10, True) for i in range(start, start + 1000)]
        stepper.receive(shard, packed(events))
        assert sum(len(answers) for answers in stepper.settle()) == 1000
    assert len(stepper.arena.a) <= 1500
    assert stepper.write(shard) == (False, [])


@given(
    times=st.lists(st.integers(0, 10_000), min_size=1, max_size=30),
    patience=st.sampled_from([0, 1, 100, 5_000]),
)
def test_streams_that_expire_are_let_go_together(times: list[int], patience: int) -> None:
    """A timer comes soon after each has expired, and seldom: not once for every stream."""
    options: Any = {"expire_after": 1_600, "patience": patience}
    stepper = labelling(NET, 1, CODEC, emit=Emit.of("each"), **options)
    shard = Shard(0)
    stepper.receive(shard, packed([Event(f"s{i}", time, 1, False) for i, time in enumerate(times)]))
    list(stepper.settle())
    fired = []
    while (due := stepper.due(shard)) is not None:
        first = min(stepper.arena.last[row] for row in shard.rows.values()) + 1_600
        assert first <= due <= first + patience
        list(stepper.close(shard, due))
        fired.append(due)
    assert not shard.rows
    assert len(fired) <= len(set(times))
    assert np.diff(fired).min(initial=patience) >= patience


def test_a_log_is_written_anew_before_it_grows() -> None:
    job = Job(1, emit=Emit.of("each"))
    sizes = []
    for turn in range(60):
        job.bundle([[Event(f"s{i}", turn, i % 10, False) for i in range(100)]])
        sizes.append(sum(map(len, job.logs[0])))
    row = sizes[0] / 100
    assert max(sizes) <= row * (2 * 100 + 64 + 100)


def test_the_state_of_another_number_of_shards_is_refused() -> None:
    job = Job(4, emit=Emit.of("each"))
    job.bundle([[Event("a", 0, 1, False)]])
    ((number, log),) = job.logs.items()
    stepper = labelling(NET, 5, CODEC, emit=Emit.of("each"))
    with pytest.raises(StateError, match=r"state of 4 shards, but shards=5.*set shards=4"):
        stepper.load(Shard(number), log)


def test_the_state_of_another_model_is_refused() -> None:
    job = Job(1, emit=Emit.of("each"))
    job.bundle([[Event("a", 0, 1, False)]])
    other = labelling(network(seed=1), 1, CODEC, emit=Emit.of("each"))
    with pytest.raises(StateError, match=r"shard 0: state of model \w{16}, but the model is"):
        other.load(Shard(0), job.logs[0])


@pytest.mark.parametrize("lookahead", [0, 1])
def test_the_state_of_another_lookahead_is_refused(lookahead: int) -> None:
    """Else an event would get the answer of another."""
    job = Job(1, emit=Emit.of("final"), lookahead=2)
    job.bundle([[Event("a", 0, 1, False), Event("a", 1, 2, False)]])
    other = labelling(NET, 1, CODEC, emit=Emit.of("final"), lookahead=lookahead)
    shard = Shard(0)
    other.load(shard, job.logs[0])
    with pytest.raises(StateError, match=r"stream 'a': 2 events wait .* expected 1: its state"):
        list(other.close(shard, None))


def test_values_that_travel_as_x_are_echoed_beside_others() -> None:
    """Whether a pack carries its values depends on their types."""
    stepper = labelling(NET, 1, CODEC, emit=Emit.of("each"))
    shard = Shard(0)
    for place, inputs in enumerate((None, ["two", "three"], None)):
        pack = packed([Event("a", 0, 2 * place, False), Event("b", 0, 2 * place + 1, False)])
        pack.inputs = inputs
        stepper.receive(shard, pack)
    (said,) = stepper.settle()
    assert [answer.input for _, answer in rows_of(said)] == [0, "two", 4, 1, "three", 5]


@pytest.mark.parametrize("x", [[10], [[1.0]], [-1]], ids=str)
def test_events_packed_for_another_model_are_refused(x: list[Any]) -> None:
    pack = packed([Event("a", 0, 1, False)])
    pack.x = np.array(x)
    with pytest.raises(StateError, match="events that are not of this model: x has"):
        labelling(NET, 1, CODEC, emit=Emit.of("each")).receive(Shard(0), pack)


@given(cut=st.data())
def test_broken_state_is_refused(cut: st.DataObject) -> None:
    job = Job(1, emit=Emit.of("each"), lookahead=1)
    job.bundle([[Event("a", 0, 1, False), Event("b", 0, 2, False)]])
    (block,) = job.logs[0]
    stepper = labelling(NET, 1, CODEC, emit=Emit.of("each"), lookahead=1)
    broken = block[: cut.draw(st.integers(0, len(block) - 1))]
    with pytest.raises(StateError):
        stepper.load(Shard(0), [broken])
