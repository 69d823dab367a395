"""Numbered events against the reference: any disorder, duplicates, gaps, cuts and timers."""

import itertools
import random
from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import beam_rnn as rnn
from beam_rnn.streams.answers import Answers
from beam_rnn.streams.emit import Emit
from tests.streams.reference import Event, Numbered, answers_of
from tests.streams.test_stepper import NET, Job, rows_of


class NumberedJob(Job):
    """A job that also keeps what leaves on the other outputs."""

    def __init__(self, shards: int, **options: Any) -> None:
        super().__init__(shards, **options)
        self.failed: dict[str, list[int]] = defaultdict(list)
        self.late: dict[str, list[int]] = defaultdict(list)
        self.duplicates = self.gaps = 0

    def _keep(self, answers: Answers) -> None:
        for stream, said in rows_of(answers):
            self.answers[stream].append(said)
        for _, time, event in answers.bad:
            if event.input is not None:  # else it is the report of a gap
                self.failed[event.stream].append(time)
        for _, time, event in answers.late:
            self.late[event.stream].append(time)
        self.duplicates += answers.duplicates
        self.gaps += answers.gaps


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Numbered events as they arrive: some lost, some twice, out of order."""
    arriving: list[tuple[float, Event]] = []
    time = 0
    numbers: dict[str, int] = defaultdict(int)
    for place in range(draw(st.integers(0, 40))):
        stream = draw(st.sampled_from(["a", "b", "c"]))
        time += draw(st.integers(0, 30))
        event = Event(
            stream,
            time,
            draw(st.integers(0, 9)),
            draw(st.sampled_from([False, False, False, True])),
            draw(st.sampled_from([False, False, False, False, True])),
            numbers[stream],
        )
        numbers[stream] += 1
        for copy in range(draw(st.sampled_from([0, 1, 1, 1, 1, 1, 2]))):
            x = (event.x + copy) % 10  # the first that comes is the one that counts
            arriving.append((place + draw(st.integers(0, 8)), event._replace(x=x)))
    return [event for _, event in sorted(arriving, key=lambda pair: pair[0])]


@given(
    history=histories(),
    shards=st.sampled_from([1, 3]),
    seed=st.integers(0, 1000),
    emit=st.sampled_from(["each", "final", rnn.every(3)]),
    lookahead=st.integers(0, 1),
    expire_after=st.sampled_from([None, 200]),
    max_wait=st.sampled_from([10, 60]),
    on_gap=st.sampled_from(["wait", "skip", "fail"]),
    closes=st.booleans(),
)
def test_numbered_events_are_stepped_once_and_in_their_order(
    history: list[Event],
    shards: int,
    seed: int,
    emit: str | Emit,
    lookahead: int,
    expire_after: int | None,
    max_wait: int,
    on_gap: str,
    closes: bool,
) -> None:
    order = rnn.by_sequence(int, max_wait=max_wait / 1e6, on_gap=on_gap)
    job = NumberedJob(
        shards,
        emit=Emit.of(emit),
        lookahead=lookahead,
        expire_after=expire_after,
        numbers=order.numbers,
    )
    models: dict[str, Numbered] = defaultdict(lambda: Numbered(max_wait, on_gap, expire_after))
    chance = random.Random(seed)
    start, watermark = 0, -1
    while start < len(history):
        packs = []
        for _ in range(chance.randint(1, 3)):
            size = chance.choice([1, 2, 5, 20])
            packs.append(history[start : start + size])
            start += size
        if chance.random() < 0.5:
            watermark = max(watermark, packs[0][0].time + chance.randrange(40))
        job.bundle(packs, watermark)
        for event in itertools.chain.from_iterable(packs):
            models[event.stream].event(event)
        for model in models.values() if watermark >= 0 else ():
            model.watermark(watermark)
    if closes:
        job.close()
        for model in models.values():
            model.watermark(None)
    found = {
        stream: [*model.sequences, *([(model.current, None)] if model.current else [])]
        for stream, model in models.items()
    }
    expected = answers_of(NET, found, emit=emit, lookahead=lookahead)
    assert {stream: said for stream, said in job.answers.items() if said} == expected
    for stream, model in models.items():
        assert sorted(job.failed[stream]) == sorted(event.time for event in model.failed)
        assert sorted(job.late[stream]) == sorted(event.time for event in model.late)
    assert job.duplicates == sum(model.duplicates for model in models.values())
    assert job.gaps == sum(model.gaps for model in models.values())
    if closes:
        assert not any(job.logs.values())


def test_events_of_a_stream_that_failed_keep_it_from_expiring() -> None:
    numbers = rnn.by_sequence(int, max_wait=60e-6, on_gap="fail").numbers
    job = NumberedJob(1, emit=Emit.of("each"), expire_after=200, numbers=numbers)
    job.bundle([[Event("a", 0, 1, False, False, 1)]], 60)
    job.bundle([[Event("a", 150, 1, False, False, 2)]], 300)  # not idle since 0, but since 150
    job.bundle([[Event("a", 320, 2, False, True, 5)]])
    assert (job.failed["a"], [said.time for said in job.answers["a"]]) == ([0, 150], [320])


def test_what_the_buffer_cannot_hold_is_told() -> None:
    order = rnn.by_sequence(int, buffer=2)
    job = NumberedJob(1, emit=Emit.of("each"), numbers=order.numbers)
    events = [Event("a", n, n, False, False, n) for n in range(6)]
    job.bundle([events[1:]])  # 1 and 2 are held back; 3, 4 and 5 are too many
    assert job.failed == {"a": [3, 4, 5]}
    job.bundle([events[:1]])
    assert [said.step for said in job.answers["a"]] == [1, 2, 3]


def test_held_events_are_written_once() -> None:
    order = rnn.by_sequence(int)
    job = NumberedJob(1, emit=Emit.of("each"), numbers=order.numbers)
    sizes = []
    for n in range(1, 40):
        job.bundle([[Event("a", n, n % 10, False, False, n)]])
        sizes.append(sum(map(len, job.logs[0])))
    assert max(after - before for before, after in itertools.pairwise(sizes)) < 400
    job.bundle([[Event("a", 0, 0, False, False, 0)]])
    assert len(job.answers["a"]) == 40


def test_events_that_left_are_not_held_back_again() -> None:
    """Held events were written, then left as failed: their numbers may be next one day."""
    order = rnn.by_sequence(int, max_wait=10 / 1e6, on_gap="fail", buffer=3)
    job = NumberedJob(1, emit=Emit.of("each"), numbers=order.numbers)
    job.bundle([[Event("a", 0, 0, False, False, n) for n in (0, 2, 4, 5)]])
    job.bundle([[Event("a", 0, 0, False, False, 3)]])  # one too many: 5 leaves
    assert len(job.failed["a"]) == 1
    job.bundle([[Event("b", 0, 0, False, False, 0)]], watermark=20)  # the gap is fatal: 2, 3 and 4
    assert len(job.failed["a"]) == 4
    job.bundle([[Event("a", 30, 0, False, True, 1)]])
    job.bundle([[Event("a", 30, 0, False, False, 6)]])
    assert [(said.time, said.step) for said in job.answers["a"]] == [(0, 1), (30, 1)]
