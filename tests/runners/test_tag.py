"""Tag and Classify on every runner: the answers are those of `unroll`, to the bit."""

import random
from collections import defaultdict
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

import beam_rnn as rnn
from tests.runners.harness import TIMERS, Runner
from tests.runners.histories import D, by_step, cut, expected, interleaved, network, streams
from tests.runners.sources import Event, replay


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


@pytest.mark.parametrize("period", [40, 20], ids=["fixed", "overlapping"])
def test_each_window_has_states_of_its_own(runner: Runner, period: int) -> None:
    net = network()
    assert net.labels is not None
    events = interleaved(streams(20, 15, seed=6), seed=6)
    overlapping = beam.window.SlidingWindows(40, period)
    windows_of = beam.window.FixedWindows(40) if period == 40 else overlapping
    collected = runner.collect_windowed(
        lambda p: (
            p
            | replay(cut(events, 6), bounded=not runner.unbounded)
            | beam.Map(lambda event: event).with_output_types(tuple[str, np.ndarray])
            | beam.WindowInto(windows_of)
            | rnn.Tag(net, shards=4)
        ),
        streaming=runner.unbounded,
    )
    windows: dict[Any, list[Event]] = defaultdict(list)
    for event in events:
        last = event[2] // period * period
        for start in np.arange(last, last - 40, -period).tolist():
            windows[start].append(event)
    found: dict[Any, list[Any]] = defaultdict(list)
    for row in collected:
        assert row[2].start <= row[1] < row[2].end
        found[float(row[2].start)].append(row)
    assert {start: by_step(rows) for start, rows in found.items()} == {
        start: expected(net, mine) for start, mine in windows.items()
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
