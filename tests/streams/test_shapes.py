"""Sequences out of sequences: any history in any cut gives what the whole ones give in batch."""

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from beam_rnn.errors import StateError
from beam_rnn.nn import Sampling, Search
from beam_rnn.streams.answers import Answers
from beam_rnn.streams.event import Generated, Tagged, Translated
from beam_rnn.streams.generating import Generating, Ticks
from beam_rnn.streams.pack import Packed
from beam_rnn.streams.shard import Shard
from beam_rnn.streams.stepper import Stepper
from beam_rnn.streams.translating import Translating
from beam_rnn.streams.whole import WholeLabelling
from tests.nn.translators import MODELS
from tests.nn.writers import READER, WRITER, continued
from tests.streams.reference import Event, sequences
from tests.streams.test_stepper import CODEC, HISTORIES, Job, in_time, packed

Timed = tuple[int, Any]


class ShapeJob(Job):
    """A job with another answering; keeps (time, answer) of each stream, failures among them."""

    def __init__(self, shards: int, make: Callable[[], Stepper]) -> None:
        super().__init__(shards)
        self.make = make
        self.told: dict[str, list[Timed]] = defaultdict(list)
        self.failed: dict[str, list[Timed]] = defaultdict(list)

    def stepper(self) -> Stepper:
        return self.make()

    def _keep(self, answers: Answers) -> None:
        for _, time, event in answers.bad:
            self.failed[event.stream].append((time, event.input))
        columns = (answers.stream.tolist(), answers.time.tolist(), answers.what)
        for stream, time, answer in zip(*columns, strict=True):
            self.told[answers.names[stream]].append((time, answer))


def run(job: ShapeJob, events: list[Event], seed: int, timers: bool) -> int:
    """The events in bundles of random sizes; the last watermark."""
    chance = random.Random(seed)
    start, watermark = 0, -1
    while start < len(events):
        packs = []
        for _ in range(chance.randint(1, 3)):
            size = chance.choice([1, 2, 5, 20])
            packs.append(events[start : start + size])
            start += size
        if timers and start < len(events):
            watermark = events[start].time
        job.bundle(packs, watermark)
    return watermark


def expected(
    events: list[Event],
    expire_after: int | None,
    watermark: int,
    longest: int,
    says: Callable[[str, list[Event], int], list[Timed]],
    *,
    all_fail: bool,
) -> tuple[dict[str, list[Timed]], dict[str, list[Timed]]]:
    """Answers and failed events of each stream; ``says`` answers a sequence that ended."""
    streams: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        streams[event.stream].append(event)
    told: dict[str, list[Timed]] = defaultdict(list)
    failed: dict[str, list[Timed]] = defaultdict(list)
    for stream, mine in streams.items():
        for sequence, ended in sequences(mine, expire_after, watermark):
            if len(sequence) > longest:
                failed[stream] += [(e.time, e.x) for e in sequence[0 if all_fail else longest :]]
            elif ended is not None:
                told[stream] += says(stream, sequence, ended)
    return told, failed


OPTIONS: dict[str, Any] = {
    "history": HISTORIES,
    "shards": st.sampled_from([1, 3]),
    "seed": st.integers(0, 1000),
    "expire_after": st.sampled_from([None, 30, 100]),
    "timers": st.booleans(),
    "longest": st.sampled_from([2, 8]),
}


@settings(max_examples=60)
@given(
    name=st.sampled_from(list(MODELS)),
    width=st.sampled_from([1, 3]),
    source=st.booleans(),
    **OPTIONS,
)
def test_sources_are_translated_as_in_batch(
    name: str,
    width: int,
    source: bool,
    history: list[Event],
    shards: int,
    seed: int,
    expire_after: int | None,
    timers: bool,
    longest: int,
) -> None:
    model, events = MODELS[name], in_time(history)
    how: dict[str, Any] = {"width": width, "best": min(2, width), "alpha": 0.5}

    def make() -> Stepper:
        answering = Translating(model, CODEC, search=Search(**how), longest=longest, source=source)
        return Stepper(answering, shards, expire_after=expire_after)

    def says(stream: str, sequence: list[Event], ended: int) -> list[Timed]:
        (found,) = model.translate([np.array([event.x for event in sequence])], **how)
        return [
            (
                ended,
                Translated(
                    tokens.tolist(),
                    score,
                    rank,
                    [] if alignment is None else (alignment + 1).tolist(),
                    len(sequence),
                    [event.x for event in sequence] if source else (),
                ),
            )
            for rank, (tokens, score, alignment) in enumerate(found, 1)
        ]

    job = ShapeJob(shards, make)
    watermark = run(job, events, seed, timers)
    told, failed = expected(events, expire_after, watermark, longest, says, all_fail=False)
    assert job.told == told
    assert job.failed == failed


@settings(max_examples=60)
@example(
    history=[Event("a", 0, 0, False)] * 4,
    shards=1,
    seed=299,
    expire_after=None,
    timers=False,
    longest=2,
)
@given(**OPTIONS)
def test_whole_sequences_are_labelled_as_in_batch(
    history: list[Event],
    shards: int,
    seed: int,
    expire_after: int | None,
    timers: bool,
    longest: int,
) -> None:
    events = in_time(history)

    def make() -> Stepper:
        answering = WholeLabelling(READER, CODEC, longest=longest)
        return Stepper(answering, shards, expire_after=expire_after)

    def says(stream: str, sequence: list[Event], ended: int) -> list[Timed]:
        y = READER.unroll(np.array([event.x for event in sequence]))[0]
        assert READER.labels is not None
        return [
            (event.time, Tagged(event.x, READER.labels[row.argmax()], float(row.max()), step))
            for step, (event, row) in enumerate(zip(sequence, y, strict=True), 1)
        ]

    job = ShapeJob(shards, make)
    watermark = run(job, events, seed, timers)
    told, failed = expected(events, expire_after, watermark, longest, says, all_fail=True)
    # The events of a sequence that is too long may still wait, as far as they are kept.
    assert job.told == told
    assert {stream: sorted(events) for stream, events in job.failed.items()} == {
        stream: sorted(events) for stream, events in failed.items()
    }


def generated(
    stream: str, xs: list[int], most: int, how: Sampling, start: int | None, stop: int | None
) -> Generated:
    tokens, score = continued(stream, xs, most, how, start, stop)
    about: Any = pytest.approx(score, rel=1e-5)
    return Generated(tokens, about, len(xs) + len(tokens), len(tokens) < most)


@settings(max_examples=60)
@given(
    start=st.sampled_from([None, 3]),
    stop=st.sampled_from([None, 4]),
    how=st.sampled_from([{}, {"temperature": 0}, {"top_k": 4, "top_p": 0.9}]),
    **OPTIONS,
)
def test_prompts_are_continued_as_each_alone(
    start: int | None,
    stop: int | None,
    how: dict[str, Any],
    history: list[Event],
    shards: int,
    seed: int,
    expire_after: int | None,
    timers: bool,
    longest: int,
) -> None:
    events, sampling = in_time(history), Sampling(**how)

    def make() -> Stepper:
        answering = Generating(
            WRITER, CODEC, sampling=sampling, seed=5, start=start, stop=stop, limit=longest
        )
        return Stepper(answering, shards, expire_after=expire_after)

    def says(stream: str, sequence: list[Event], ended: int) -> list[Timed]:
        xs = [event.x for event in sequence]
        return [(ended, generated(stream, xs, longest, sampling, start, stop))]

    job = ShapeJob(shards, make)
    watermark = run(job, events, seed, timers)
    told, _ = expected(events, expire_after, watermark, 1000, says, all_fail=False)
    assert job.told == told
    assert not job.failed


class TickJob(ShapeJob):
    """Values go through the feature: an x of 8 or 9 is a tick only."""

    def bundle(self, packs: list[list[Event]], watermark: int = -1) -> None:
        stepper = self.stepper()
        shard = Shard(0)
        stepper.load(shard, self.logs[0])
        for pack in packs:
            streams = sorted({event.stream for event in pack})
            stepper.receive(
                shard,
                Packed(
                    [stream.encode() for stream in streams],
                    np.array([streams.index(event.stream) for event in pack], np.int64),
                    np.array([event.time for event in pack], np.int64),
                    np.array([event.end for event in pack], np.bool_),
                    None,
                    [event.x for event in pack],
                ),
            )
            for answers in stepper.settle():
                self._keep(answers)
        self._write(stepper, {0: shard})


def inputs_of(value: int) -> list[int]:
    return [] if value > 7 else [value]


def more_of(value: int) -> int:
    return {9: 3, 8: 1, 7: 2}.get(value, 0)


@settings(max_examples=80)
@given(
    history=HISTORIES,
    seed=st.integers(0, 1000),
    start=st.sampled_from([None, 3]),
    stop=st.sampled_from([None, 4]),
)
def test_ticks_go_on_where_the_stream_was(
    history: list[Event], seed: int, start: int | None, stop: int | None
) -> None:
    events = [event._replace(reset=False) for event in in_time(history)]

    def make() -> Stepper:
        answering = Generating(WRITER, CODEC, sampling=Sampling(), seed=5, start=start, stop=stop)
        return Stepper(answering, 1, feature=Ticks(inputs_of, more_of))

    job = TickJob(1, make)
    run(job, events, seed, timers=False)
    told: dict[str, list[Timed]] = defaultdict(list)
    failed: dict[str, list[Timed]] = defaultdict(list)
    read: dict[str, list[int]] = defaultdict(list)
    for event in events:
        xs = read[event.stream]
        xs += inputs_of(event.x)
        more = more_of(event.x)
        empty = not xs and start is None
        if more and empty:
            failed[event.stream].append((event.time, event.x))
        elif more:
            answer = generated(event.stream, xs, more, Sampling(), start, stop)
            told[event.stream].append((event.time, answer))
            xs += answer.output
            if answer.stopped:
                xs.clear()
        if event.end:
            xs.clear()
    assert job.told == told
    assert job.failed == failed


def attending() -> Translating:
    return Translating(MODELS["Luong"], CODEC, search=Search(), longest=100)


def whole() -> WholeLabelling:
    return WholeLabelling(READER, CODEC, longest=100)


@pytest.mark.parametrize("make", [attending, whole])
@given(data=st.data())
def test_broken_state_is_refused(make: Callable[[], Any], data: st.DataObject) -> None:
    """What waits is cut short or of another length."""
    job = ShapeJob(1, lambda: Stepper(make(), 1))
    job.bundle([[Event("a", 0, 1, False), Event("a", 1, 2, False)]])
    stepper = Stepper(make(), 1)
    shard = Shard(0)
    stepper.load(shard, job.logs[0])
    (row,) = shard.rows.values()
    waits = stepper.arena.pending[row]
    assert isinstance(waits, bytes)
    cut = data.draw(st.integers(0, len(waits) - 1))
    stepper.arena.pending[row] = waits[:cut]
    with pytest.raises(StateError):
        list(stepper.close(shard, None))


@pytest.mark.parametrize("make", [attending, whole])
def test_ended_streams_leave_no_byte_and_no_row(make: Callable[[], Any]) -> None:
    stepper = Stepper(make(), 1)
    shard = Shard(0)
    for start in range(0, 2000, 200):
        events = [Event(f"s{i}", i, i % 9, False) for i in range(start, start + 200)]
        stepper.receive(shard, packed(events))
        assert sum(len(answers) for answers in stepper.settle()) == 0
        stepper.receive(shard, packed([event._replace(end=True) for event in events]))
        assert sum(len(answers) for answers in stepper.settle()) >= 200
    assert len(stepper.arena.a) <= 300
    assert not stepper.arena.pending
    assert stepper.write(shard) == (False, [])
