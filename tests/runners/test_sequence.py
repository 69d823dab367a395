"""Numbered events on every runner: disorder, duplicates and gaps do not show in the answers."""

import random
from collections import defaultdict
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

import beam_rnn as rnn
from tests.runners.harness import Runner
from tests.runners.histories import by_step, cut, expected, interleaved, network, streams
from tests.runners.sources import Event, replay


def numbered(events: list[Event], start: int = 0) -> list[tuple[Any, Any, float]]:
    """Events whose values are (number, x, whether the sequence begins anew)."""
    at: dict[str, int] = defaultdict(lambda: start)
    result = []
    for key, x, time in events:
        result.append((key, (at[key], x, False), time))
        at[key] += 1
    return result


def disordered(events: list[Event], seed: int) -> list[Event]:
    """Each event up to 60 places later than its turn, some of them twice."""
    chance = random.Random(seed)
    twice = [event for event in events for _ in range(chance.choice([1, 1, 1, 2]))]
    places = {id(event): place for place, event in enumerate(events)}
    return sorted(twice, key=lambda event: places[id(event)] + chance.randrange(60))


def tagged(p: beam.Pipeline, source: Any, net: rnn.Network, **options: Any) -> Any:
    """(kind, element) of all outputs."""
    answers = (
        p
        | source
        | beam.Map(lambda event: event).with_output_types(
            tuple[str, beam.typehints.Tuple[int, np.ndarray, bool]]
        )
        | rnn.Tag(net, x=lambda value: value[1], **options)
    )
    outputs = {"good": answers, "failed": answers.failed, "late": answers.late}
    return [
        output | kind >> beam.Map(lambda element, kind=kind: (kind, element))
        for kind, output in outputs.items()
    ] | beam.Flatten()


def of_kind(collected: list[Any], kind: str) -> list[Any]:
    return [(value, time, window) for (k, value), time, window in collected if k == kind]


@pytest.mark.parametrize("shards", [1, 32])
def test_disorder_and_duplicates_do_not_show(runner: Runner, shards: int) -> None:
    net = network(lookahead=0)
    events = interleaved(streams(60, 20, seed=4), seed=4)
    arriving = disordered(numbered(events, start=5), seed=4)
    order = rnn.by_sequence(lambda value: value[0], start=5)
    collected = runner.collect_windowed(
        lambda p: tagged(
            p,
            replay(cut(arriving, 4), bounded=not runner.unbounded),
            net,
            order=order,
            shards=shards,
        ),
        streaming=runner.unbounded,
        max_bundle_size=150,
    )
    assert by_step(of_kind(collected, "good")) == expected(net, events)
    assert len(collected) == len(events)


@pytest.mark.parametrize("on_gap", ["wait", "skip", "fail"])
def test_gaps_are_given_up_and_told(runner: Runner, on_gap: str) -> None:
    """The third event of every other stream never comes."""
    net = network(lookahead=0)
    events = interleaved(streams(30, 12, seed=6), seed=6)
    lost = {
        (key, value[0])
        for key, value, _ in numbered(events)
        if value[0] == 2 and int(key.split()[1]) % 2
    }
    arriving = [e for e in numbered(events) if (e[0], e[1][0]) not in lost]
    behind = [e for e in arriving if (e[0], 2) in lost and e[1][0] > 2]
    order = rnn.by_sequence(lambda value: value[0], max_wait=20, on_gap=on_gap)
    collected = runner.collect_windowed(
        lambda p: tagged(
            p,
            # Where timers of unbounded input do not wait for the watermark, the input is bounded.
            replay(cut(disordered(arriving, 6), 6), bounded=not runner.timers),
            net,
            order=order,
            shards=3,
        ),
        streaming=runner.timers,
        max_bundle_size=100,
    )
    failed = [event for event, _, _ in of_kind(collected, "failed")]
    gaps = {event.stream for event in failed if event.input is None}
    assert gaps == {key for key, _, _ in behind}
    assert {event.reason for event in failed if event.input is None} <= {"gap: number 2"}
    kept = [(key, value[1], time) for key, value, time in arriving]
    if on_gap != "skip":
        unstepped = {(key, time) for key, _, time in behind}
        kept = [event for event in kept if (event[0], event[2]) not in unstepped]
        told = {(event.stream, event.input[0]) for event in failed if event.input is not None}
        assert told == {(key, value[0]) for key, value, _ in behind}
    assert by_step(of_kind(collected, "good")) == expected(net, kept)


def test_a_reset_event_begins_anew(runner: Runner) -> None:
    net = network(lookahead=0)
    chance = random.Random(8)
    events = interleaved(streams(30, 15, seed=8), seed=8)
    resets = [chance.random() < 0.2 for _ in events]
    arriving = [
        (key, (number, x, reset), time)
        for (key, (number, x, _), time), reset in zip(numbered(events), resets, strict=True)
    ]
    collected = runner.collect_windowed(
        lambda p: tagged(
            p,
            replay(cut(arriving, 8), bounded=not runner.unbounded),
            net,
            reset=lambda value: value[2],
        ),
        streaming=runner.unbounded,
    )
    turn: dict[str, int] = defaultdict(int)
    parts = []
    for (key, x, time), reset in zip(events, resets, strict=True):
        turn[key] += reset
        parts.append((f"{key}/{turn[key]}", x, time))
    wanted = [answer for answers in expected(net, parts).values() for answer in answers]
    found = [
        answer for answers in by_step(of_kind(collected, "good")).values() for answer in answers
    ]
    assert sorted(found, key=lambda answer: answer[3]) == sorted(wanted, key=lambda a: a[3])
