"""Classify on every runner: a sequence is answered when it ends, expires or its window closes."""

import random
from collections import defaultdict
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

import beam_rnn as rnn
from tests.runners.harness import TIMERS, Runner
from tests.runners.histories import D, cut, interleaved, network, streams
from tests.runners.sources import Event, replay


def classified(net: rnn.Network, xs: list[np.ndarray]) -> tuple[Any, ...]:
    """(label, score, steps) of a sequence, by `unroll` of the whole of it."""
    assert net.labels is not None
    pads = [np.zeros(D, np.float32)] * net.lookahead
    y = net.unroll(np.array([*xs, *pads]))[0][-1]
    return net.labels[y.argmax()], float(y.max()), len(xs)


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


@pytest.mark.parametrize("runner", TIMERS, indirect=True)
@pytest.mark.parametrize("lookahead", [0, 1])
def test_timers_among_the_events_of_their_shard(runner: Runner, lookahead: int) -> None:
    """All streams in one shard; while some go on, others expire, so bundles carry both."""
    net = network(lookahead=lookahead)
    chance = random.Random(10)
    events: list[Event] = []
    for key, xs in streams(30, 20, seed=10).items():
        time = float(chance.randrange(600))
        for x in xs:
            events.append((key, x, time))
            time += chance.choice([10, 300, 599, 600, 601, 2000])
    events.sort(key=lambda event: event[2])
    collected = runner.collect_windowed(
        lambda p: (
            p
            | replay(cut(events, 10))
            | beam.Map(lambda event: event).with_output_types(tuple[str, np.ndarray])
            | rnn.Classify(net, expire_after=600, shards=1)
        ),
        streaming=True,
        max_bundle_size=40,
    )
    sessions: dict[str, list[list[Event]]] = defaultdict(list)
    for event in events:
        mine = sessions[event[0]]
        if not mine or event[2] - mine[-1][-1][2] >= 600:
            mine.append([])
        mine[-1].append(event)
    wanted = [
        (key, classified(net, [x for _, x, _ in session]), session[-1][2] + 600)
        for key, mine in sessions.items()
        for session in mine
    ]
    found = [(key, tuple(answer), time) for (key, answer), time, _ in collected]
    assert sorted(found) == sorted(wanted)


def test_a_window_that_closes_classifies(runner: Runner) -> None:
    net = network(lookahead=1)
    events = interleaved(streams(25, 15, seed=13), seed=13)
    collected = runner.collect_windowed(
        lambda p: (
            p
            # Where timers of unbounded input do not wait for the watermark, the input is bounded.
            | replay(cut(events, 13), bounded=not runner.timers)
            | beam.Map(lambda event: event).with_output_types(tuple[str, np.ndarray])
            | beam.WindowInto(beam.window.FixedWindows(50))
            | rnn.Classify(net, shards=4)
        ),
        streaming=runner.timers,
        max_bundle_size=60,
    )
    sequences: dict[tuple[str, float], list[np.ndarray]] = defaultdict(list)
    for key, x, time in events:
        sequences[key, time // 50 * 50].append(x)
    wanted = [(*named, classified(net, xs)) for named, xs in sequences.items()]
    found = [(key, float(window.start), tuple(answer)) for (key, answer), _, window in collected]
    assert sorted(found) == sorted(wanted)
    for _, time, window in collected:
        assert window.start <= time < window.end
