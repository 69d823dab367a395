"""Tag and Classify on every runner: the answers are those of `unroll`, to the bit."""

import random
from collections import defaultdict
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

import beam_rnn as rnn
from tests.runners.harness import TIMERS, Runner
from tests.runners.sources import Event, replay

D, C = 6, 5


def network(**options: Any) -> rnn.Network:
    """An LSTM under a GRU, all of it random."""
    draw = np.random.default_rng(1)

    def weights(*shape: int) -> np.ndarray:
        return draw.normal(0, 0.4, shape).astype(np.float32)

    return rnn.Network(
        [
            rnn.LSTM(weights(96, D), weights(96, 24), weights(96)),
            rnn.GRU(weights(60, 24), weights(60, 20), weights(60), weights(20)),
            rnn.Dense(weights(C, 20), weights(C), "softmax"),
        ],
        labels=[f"class {i}" for i in range(C)],
        **options,
    )


def streams(number: int, longest: int, seed: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return {
        f"stream {i}": draw.normal(size=(int(draw.integers(1, longest + 1)), D)).astype(np.float32)
        for i in range(number)
    }


def interleaved(sequences: dict[str, np.ndarray], seed: int) -> list[Event]:
    """All events, each stream in its order, at times that ascend."""
    chance = random.Random(seed)
    waiting = [key for key, xs in sequences.items() for _ in xs]
    chance.shuffle(waiting)
    at: dict[str, int] = defaultdict(int)
    events = []
    for time, key in enumerate(waiting):
        events.append((key, sequences[key][at[key]], float(time)))
        at[key] += 1
    return events


def cut(events: list[Event], seed: int) -> list[list[Event]]:
    """Events in chunks of random lengths from 1."""
    chance = random.Random(seed)
    chunks = []
    while events:
        size = chance.choice([1, 3, 20, 100, 400])
        chunks.append(events[:size])
        events = events[size:]
    return chunks


def expected(
    net: rnn.Network, events: list[Event], lookahead: int = 0
) -> dict[str, list[tuple[Any, ...]]]:
    """What each stream answers, by `unroll` of the whole of it: (label, score, step, time)."""
    assert net.labels is not None
    by_stream = defaultdict(list)
    for key, x, time in events:
        by_stream[key].append((x, time))
    answers = {}
    for key, sequence in by_stream.items():
        xs = np.array([x for x, _ in sequence] + [np.zeros(D, np.float32)] * lookahead)
        ys = net.unroll(xs)[0][lookahead:]
        answers[key] = [
            (net.labels[y.argmax()], float(y.max()), step, time)
            for step, (y, (_, time)) in enumerate(zip(ys, sequence, strict=True), 1)
        ]
    return answers


def by_step(collected: list[Any]) -> dict[str, list[tuple[Any, ...]]]:
    found = defaultdict(list)
    for (key, answer), time, _ in collected:
        found[key].append((answer.label, answer.score, answer.step, time))
    return {key: sorted(answers, key=lambda answer: answer[2]) for key, answers in found.items()}


@pytest.mark.parametrize("shards", [1, 7, 32])
def test_tag_of_interleaved_streams_is_unroll_to_the_bit(runner: Runner, shards: int) -> None:
    net = network()
    events = interleaved(streams(200, 30, seed=shards), seed=shards)
    chunks = cut(events, seed=shards)
    collected = runner.collect_windowed(
        lambda p: (
            p
            | replay(chunks, bounded=not runner.unbounded)
            | beam.Map(lambda event: event).with_output_types(tuple[str, np.ndarray])
            | rnn.Tag(net, shards=shards)
        ),
        max_bundle_size=random.Random(shards).choice([37, 200, 1000]),
        streaming=runner.unbounded,
    )
    assert by_step(collected) == expected(net, events)


def test_the_echo_is_the_input(runner: Runner) -> None:
    sequences = streams(20, 10, seed=5)
    collected = runner.collect(
        lambda p: (
            p
            | replay(cut(interleaved(sequences, 5), 5), bounded=not runner.unbounded)
            | beam.Map(lambda event: event).with_output_types(tuple[str, np.ndarray])
            | rnn.Tag(network(), lookahead=0)
        ),
        streaming=runner.unbounded,
    )
    assert len(collected) == sum(map(len, sequences.values()))
    for key, answer in collected:
        assert np.array_equal(answer.input, sequences[key][answer.step - 1])


def test_bounded_input_is_stepped_in_event_time(runner: Runner) -> None:
    net = network(lookahead=2)
    events = interleaved(streams(50, 20, seed=9), seed=9)
    shuffled = random.Random(9).sample(events, len(events))
    collected = runner.collect_windowed(
        lambda p: (
            p
            | replay(cut(shuffled, 9), bounded=True)
            | beam.Map(lambda event: event).with_output_types(tuple[str, np.ndarray])
            | rnn.Tag(net)
        )
    )
    assert by_step(collected) == expected(net, events, lookahead=2)


def test_an_end_begins_anew_and_classifies(runner: Runner) -> None:
    """Five sequences on each key, one behind the other, each of which ends by itself."""
    net = network(lookahead=1)
    assert net.labels is not None
    draw = np.random.default_rng(3)
    sequences = {
        f"key {k}": [
            draw.normal(size=(int(draw.integers(1, 6)), D)).astype(np.float32) for _ in range(5)
        ]
        for k in range(30)
    }
    events, time = [], 0
    for turn in range(30):
        for key, parts in sequences.items():
            flat = [(x, i == len(part) - 1) for part in parts for i, x in enumerate(part)]
            if turn < len(flat):
                events.append((key, flat[turn], float(time)))
                time += 1
    collected = runner.collect(
        lambda p: (
            p
            | replay(cut(events, 3), bounded=not runner.unbounded)
            | beam.Map(lambda event: event).with_output_types(
                tuple[str, beam.typehints.Tuple[np.ndarray, bool]]
            )
            | rnn.Classify(net, x=lambda value: value[0], end=lambda value: value[1], shards=7)
        ),
        streaming=runner.unbounded,
    )
    wanted = []
    for key, parts in sequences.items():
        for part in parts:
            y = net.unroll(np.concatenate([part, np.zeros((1, D), np.float32)]))[0][-1]
            wanted.append((key, net.labels[y.argmax()], float(y.max()), len(part)))
    assert sorted((key, *answer) for key, answer in collected) == sorted(wanted)


def test_bad_events_leave_and_the_others_go_on(runner: Runner) -> None:
    net = network()
    events = interleaved(streams(20, 10, seed=2), seed=2)
    bad = [
        (key, np.full(D, np.nan, np.float32) if i % 2 else np.zeros(D + 1, np.float32), time)
        for i, (key, _, time) in enumerate(events)
        if i % 5 == 0
    ]
    mixed = sorted(events + bad, key=lambda event: event[2])

    def build(p: beam.Pipeline) -> Any:
        tagged = (
            p
            | replay(cut(mixed, 2), bounded=not runner.unbounded)
            | beam.Map(lambda event: event).with_output_types(tuple[str, np.ndarray])
            | rnn.Tag(net)
        )
        good = tagged | "Good" >> beam.Map(lambda answer: ("good", answer))
        failed = tagged.failed | "Bad" >> beam.Map(lambda event: ("bad", event))
        return (good, failed) | beam.Flatten()

    collected = runner.collect_windowed(build, streaming=runner.unbounded)
    good = [(value, time, window) for (kind, value), time, window in collected if kind == "good"]
    failed = [(value, time) for (kind, value), time, _ in collected if kind == "bad"]
    assert by_step(good) == expected(net, events)
    assert sorted((event.stream, time) for event, time in failed) == sorted(
        (key, time) for key, _, time in bad
    )
    assert {event.reason for event, _ in failed} == {
        "InputError: x has NaN or infinite values",
        f"InputError: x has shape ({D + 1},), expected ({D},)",
    }


@pytest.mark.parametrize("runner", TIMERS, indirect=True)
def test_idle_streams_expire(runner: Runner) -> None:
    """Two sessions on each stream, an hour apart; the second ends by its timer alone."""
    net = network()
    assert net.labels is not None
    sequences = streams(40, 6, seed=8)
    first = interleaved(sequences, seed=8)
    second = [(key, x, time + 7200) for key, x, time in first]
    beat = [
        ("beat", np.zeros(D, np.float32), 20_000.0),
        ("beat", np.zeros(D, np.float32), 30_000.0),
    ]
    collected = runner.collect_windowed(
        lambda p: (
            p
            | replay([*cut(first, 8), *cut(second, 8), beat[:1], beat[1:]])
            | beam.Map(lambda event: event).with_output_types(tuple[str, np.ndarray])
            | rnn.Classify(net, expire_after=3600, shards=3)
        ),
        streaming=True,
    )
    lasts = {key: time for key, _, time in first}
    wanted = []
    for key, xs in sequences.items():
        y = net.unroll(xs)[0][-1]
        answer = (net.labels[y.argmax()], float(y.max()), len(xs))
        wanted += [(key, answer, lasts[key] + wait) for wait in (3600.0, 10_800.0)]
    found = [(key, tuple(answer), time) for (key, answer), time, _ in collected if key != "beat"]
    assert sorted(found) == sorted(wanted)


def test_each_window_has_states_of_its_own(runner: Runner) -> None:
    net = network()
    assert net.labels is not None
    events = interleaved(streams(20, 15, seed=6), seed=6)
    collected = runner.collect_windowed(
        lambda p: (
            p
            | replay(cut(events, 6), bounded=not runner.unbounded)
            | beam.Map(lambda event: event).with_output_types(tuple[str, np.ndarray])
            | beam.WindowInto(beam.window.FixedWindows(40))
            | rnn.Tag(net, shards=4)
        ),
        streaming=runner.unbounded,
    )
    windows: dict[Any, list[Event]] = defaultdict(list)
    for event in events:
        windows[event[2] // 40].append(event)
    found: dict[Any, list[Any]] = defaultdict(list)
    for row in collected:
        assert row[2].start <= row[1] < row[2].end
        found[float(row[2].start) // 40].append(row)
    assert {number: by_step(rows) for number, rows in found.items()} == {
        number: expected(net, mine) for number, mine in windows.items()
    }


@pytest.mark.parametrize("runner", TIMERS, indirect=True)
@pytest.mark.parametrize("lateness", [0, 40])
def test_unbounded_events_are_stepped_in_event_time(runner: Runner, lateness: int) -> None:
    """Each event comes up to 40 s after its time; what is later than allowed is late."""
    net = network(lookahead=1)
    events = interleaved(streams(40, 20, seed=11), seed=11)
    chance = random.Random(11)
    came = sorted(events, key=lambda event: event[2] + chance.randrange(40))
    chunks = cut(came, 11)
    marks: list[float] = []
    mark = 0.0
    for chunk in chunks:  # the watermark lags as much as events do, or it does not
        mark = max(mark, chunk[-1][2] - (0 if lateness else 80))
        marks.append(max(mark, marks[-1] + 0.001) if marks else mark)

    def build(p: beam.Pipeline) -> Any:
        tagged = (
            p
            | replay(chunks, watermarks=marks if lateness else None)
            | beam.Map(lambda event: event).with_output_types(tuple[str, np.ndarray])
            | rnn.Tag(net, order=rnn.by_event_time(lateness), shards=5)
        )
        late = tagged.late | beam.Map(lambda event: ("late", event))
        return (tagged | beam.Map(lambda answer: ("in time", answer)), late) | beam.Flatten()

    collected = runner.collect_windowed(build, streaming=True, max_bundle_size=60)
    answers = [(answer, *rest) for (kind, answer), *rest in collected if kind == "in time"]
    assert not [answer for (kind, answer), *_ in collected if kind == "late"]
    assert by_step(answers) == expected(net, events, lookahead=1)


@pytest.mark.parametrize("runner", TIMERS, indirect=True)
def test_late_events_leave_on_their_own_output(runner: Runner) -> None:
    net = network()
    events = interleaved(streams(10, 20, seed=12), seed=12)
    by_stream = defaultdict(list)
    for event in events:
        by_stream[event[0]].append(event)
    held = {key: mine[len(mine) // 2] for key, mine in by_stream.items() if len(mine) > 2}
    on_time = [event for event in events if event is not held.get(event[0])]
    last = on_time[-1][2]  # after it, the watermark is ahead of the events held back

    def build(p: beam.Pipeline) -> Any:
        tagged = (
            p
            | replay([on_time, list(held.values())], watermarks=[last + 100, last + 200])
            | beam.Map(lambda event: event).with_output_types(tuple[str, np.ndarray])
            | rnn.Tag(net, order=rnn.by_event_time(), shards=3)
        )
        late = tagged.late | beam.Map(lambda event: ("late", event))
        return (tagged | beam.Map(lambda answer: ("in time", answer)), late) | beam.Flatten()

    collected = runner.collect_windowed(build, streaming=True)
    answers = [(answer, *rest) for (kind, answer), *rest in collected if kind == "in time"]
    late = {(event.stream, time) for (kind, event), time, _ in collected if kind == "late"}
    assert by_step(answers) == expected(net, [e for e in events if (e[0], e[2]) not in late])
    behind = {(key, event[2]) for key, event in held.items()}
    # Flink fires no timer before its bundle ends, so that there all are still in time.
    assert late == (set() if runner.flink else behind)
