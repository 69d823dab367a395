"""Few and many shards, keys and events per bundle, on every runner: the same bits."""

from typing import Any

import apache_beam as beam
import numpy as np
import pytest

import beam_rnn as rnn
from beam_rnn.streams.pack import shard_of
from beam_rnn.transforms import shards as open_shards
from tests.runners.harness import Runner
from tests.runners.histories import D, by_step, cut, expected, interleaved, network, streams
from tests.runners.sources import Event, replay


def tagged(
    runner: Runner, net: rnn.Network, chunks: list[list[Event]], shards: int = 32, **options: Any
) -> list[Any]:
    """All answers, with their times and windows."""
    return runner.collect_windowed(
        lambda p: (
            p
            | replay(chunks, bounded=not runner.unbounded)
            | beam.Map(lambda event: event).with_output_types(tuple[str, np.ndarray])
            | rnn.Tag(net, shards=shards)
        ),
        streaming=runner.unbounded,
        **options,
    )


@pytest.mark.parametrize(("shards", "number"), [(1, 200), (128, 60), (1 << 20, 60)])
def test_any_number_of_shards_gives_the_same_bits(runner: Runner, shards: int, number: int) -> None:
    """Many shards are dear, so they have fewer streams; the last has one for each stream.

    What all other tests have is between the first two: 3, 5, 7, 32.
    """
    net = network()
    events = interleaved(streams(number, 30, seed=7), seed=7)
    if shards > 1000:
        assert len({shard_of(key.encode(), shards) for key, _, _ in events}) == number
    collected = tagged(runner, net, cut(events, seed=7), shards, max_bundle_size=200)
    assert by_step(collected) == expected(net, events)


def test_rows_that_are_kept_from_bundle_to_bundle(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of shards with large logs are: workers are threads of this process here."""
    monkeypatch.setattr(open_shards, "_TAGGED_FROM", 1)
    monkeypatch.setattr(open_shards, "_UNTAGGED_BELOW", 0)
    net = network()
    events = interleaved(streams(60, 30, seed=8), seed=8)
    collected = tagged(runner, net, cut(events, seed=8), 3, max_bundle_size=100)
    assert by_step(collected) == expected(net, events)


def test_ten_thousand_keys(runner: Runner) -> None:
    """Two events of each; the first bundle makes all streams, the second changes them."""
    net = network()
    draw = np.random.default_rng(14)
    keys, turns = 10_000, 2
    xs = draw.normal(size=(turns, keys, D)).astype(np.float32)
    events = [
        (f"stream {key}", xs[turn, key], float(turn * keys + key))
        for turn in range(turns)
        for key in draw.permutation(keys).tolist()
    ]
    if not runner.unbounded:
        events.sort(key=lambda event: event[2])
    chunks = [events[turn * keys : (turn + 1) * keys] for turn in range(turns)]
    collected = tagged(runner, net, chunks, max_bundle_size=keys, max_bundle_time_mills=5000)
    ys = net.unroll(xs.swapaxes(0, 1))[0]
    assert net.labels is not None
    wanted = {
        (f"stream {key}", turn + 1, net.labels[ys[key, turn].argmax()], float(ys[key, turn].max()))
        for turn in range(turns)
        for key in range(keys)
    }
    found = [(key, answer.step, answer.label, answer.score) for (key, answer), *_ in collected]
    assert len(found) == len(wanted)
    assert set(found) == wanted


@pytest.mark.parametrize(("size", "count"), [(1, 100), (30, 600), (10_000, 12_000)])
def test_bundles_of_any_size(runner: Runner, size: int, count: int) -> None:
    net = network()
    events = interleaved(streams(40, 2 * count // 40, seed=size), seed=size)
    chunks = [events[start : start + size] for start in range(0, len(events), size)]
    collected = tagged(runner, net, chunks, max_bundle_size=size, max_bundle_time_mills=5000)
    assert by_step(collected) == expected(net, events)
