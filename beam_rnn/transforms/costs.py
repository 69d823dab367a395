"""What bundles cost on this machine: so much for each event, stream, wave, shard and step.

The costs are fitted to bundles of many kinds that run on Beam's embedded runner, in seconds of the
processor: what else runs on the machine does not count.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.utils.timestamp import Duration
from numpy.typing import NDArray

from beam_rnn.errors import OptionError
from beam_rnn.nn import Network
from beam_rnn.nn.parameters import Ints
from beam_rnn.streams.order import arrival
from beam_rnn.streams.pack import shard_of
from beam_rnn.transforms.streams import Tag

Floats = NDArray[np.float64]
BESIDE = 33  # bytes of a stream's state beside its floats
SHARDS = 32
_STREAMS = (300, 4000)
_SIZES = (100, 400, 1600, 6400)
_REPEATS = 3
_ROWS = tuple(2**i for i in range(13))


@dataclass(frozen=True)
class Bundle:
    """What of a bundle costs time.

    Attributes:
      counts: how many events each of its streams has.
      shards: how many it touches.
    """

    counts: Ints
    shards: int

    def amounts(self, step: Callable[[Ints], Floats]) -> list[float]:
        """One, events, streams, waves, shards, and the seconds of its steps alone."""
        # Wave t steps the streams with t events or more.
        rows = np.bincount(self.counts)[::-1].cumsum()[::-1][1:]
        return [
            1.0,
            float(self.counts.sum()),
            len(self.counts),
            len(rows),
            self.shards,
            float(step(rows).sum()),
        ]


@dataclass(frozen=True)
class Costs:
    """Seconds of the processor.

    Attributes:
      rows, seconds: what a step of so many rows takes alone.
      each: what a bundle, an event, a stream, a wave and a shard take, and the factor of the steps.
      stream: bytes of the state of one.
    """

    rows: Ints
    seconds: Floats
    each: Floats
    stream: int

    def step(self, rows: Ints) -> Floats:
        """What steps of so many rows take alone; in proportion beyond what was measured."""
        beyond = self.seconds[-1] * np.maximum(rows / self.rows[-1], 1)
        return np.where(rows > self.rows[-1], beyond, np.interp(rows, self.rows, self.seconds))

    def of(self, bundle: Bundle) -> float:
        """What a bundle takes."""
        return float(np.dot(self.each, bundle.amounts(self.step)))


def shares(streams: int, skew: float) -> Floats:
    """Which part of the events each stream has, by a Zipf law; skew 0: all alike."""
    share = np.arange(1, streams + 1, dtype=np.float64) ** -skew
    return share / share.sum()


def chosen(share: Floats, events: int, seed: int) -> Ints:
    """The streams of so many events."""
    draw = np.random.default_rng(seed)
    place = np.searchsorted(np.cumsum(share), draw.random(events))
    return np.minimum(place, len(share) - 1)


def measured(model: Any, network: Any, progress: Callable[[str], None]) -> Costs:
    """What bundles of a network cost here; takes some ten seconds.

    Args:
      model: the network, or its path: what goes with the pipeline.
      network: it.
      progress: told what is measured.

    Raises:
      OptionError: the network does not step.
    """
    if not isinstance(network, Network) or not network.causal:
        raise OptionError("what is simulated is a network that steps, event by event")
    progress("steps")
    stream = 4 * network.state_size + BESIDE
    costs = Costs(np.array(_ROWS), _steps(network), np.zeros(6), stream)
    amounts, took = [], []
    for streams in _STREAMS:
        progress(f"bundles of {streams:,} streams")
        for bundle, seconds in _bundles(model, network, streams):
            amounts.append(bundle.amounts(costs.step))
            took.append(seconds)
    return replace(costs, each=_fitted(np.array(amounts), np.array(took)))


def _steps(network: Network) -> Floats:
    """Seconds of one step of so many rows, for each of ``_ROWS``."""
    found = []
    for rows in _ROWS:
        x, a = _inputs(network, rows), network.initial_state(rows)
        network.step(x, a)
        times: list[float] = []
        end = time.thread_time() + 0.1
        while len(times) < 3 or time.thread_time() < end:
            start = time.thread_time()
            network.step(x, a)
            times.append(time.thread_time() - start)
        found.append(float(np.median(times)))
    return np.array(found)


def _inputs(network: Network, n: int) -> NDArray[Any]:
    inputs, draw = network.inputs, np.random.default_rng(0)
    if inputs.limits is None:
        return draw.normal(size=(n, *inputs.shape)).astype(np.float32)
    most = [limit or 2 for limit in inputs.limits]
    return draw.integers(0, most if inputs.shape else most[0], (n, *inputs.shape))


def _fitted(amounts: Floats, took: Floats) -> Floats:
    """Costs from 0 of which ``amounts @ costs`` is nearest to what was taken, in proportion."""
    used = np.ones(amounts.shape[1], np.bool_)
    while True:
        scaled = amounts[:, used] / took[:, None]
        size = np.abs(scaled).max(axis=0)
        part = np.linalg.lstsq(scaled / size, np.ones(len(took)), rcond=None)[0] / size
        if (part >= 0).all():
            found = np.zeros(len(used))
            found[used] = part
            return found
        used[np.flatnonzero(used)[part.argmin()]] = False


def _bundles(model: Any, network: Network, streams: int) -> Iterator[tuple[Bundle, float]]:
    """Bundles of many kinds, and the seconds that each took: medians."""
    kinds = [shares(streams, 0), shares(streams, 1.2), shares(streams // 10, 0)]
    plans = [chosen(share, size, size) for size in _SIZES for share in kinds]
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(len(plans)), _REPEATS))
    # All streams come first, so that none is new when the clock runs; the last has no end.
    chunks = [np.arange(streams)] * 2 + [plans[i] for i in order] + [plans[0]]
    made = _inputs(network, max(map(len, chunks)))
    x = list(made) if network.inputs.shape else made.tolist()
    marks = _run(model, [list(zip(_keys(chunk), x, strict=False)) for chunk in chunks])
    took = np.diff(marks)[2:]
    for i, plan in enumerate(plans):
        touched, counts = np.unique(plan, return_counts=True)
        shards = {shard_of(key.encode(), SHARDS) for key in _keys(touched)}
        yield Bundle(counts, len(shards)), float(np.median(took[order == i]))


def _keys(streams: Ints) -> list[str]:
    return [f"stream {stream}" for stream in streams.tolist()]


_Chunks = Sequence[Sequence[tuple[str, Any]]]
_chunks: dict[int, Any] = {}  # the runner is in this process: nothing is written or read
_marks: dict[int, list[float]] = {}
_numbers = itertools.count()


def _run(model: Any, chunks: _Chunks) -> list[float]:
    """When, in seconds of the process, each chunk began: one bundle each."""
    number, kind = next(_numbers), type(chunks[0][0][1])
    _chunks[number], _marks[number] = chunks, []
    options = PipelineOptions([], streaming=True)
    gc.collect()
    try:
        with beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
            read = beam.ParDo(_ChunkByChunk()).with_output_types(beam.typehints.KV[str, kind])
            events = pipeline | beam.Create([number]) | read
            events | Tag(model, order=arrival, shards=SHARDS) | beam.Map(_nothing)
        return _marks[number]
    finally:
        del _chunks[number], _marks[number]


def _nothing(answer: Any) -> None:
    """Where answers end."""


class _Positions(RestrictionProvider):
    """Positions are numbers of chunks."""

    def initial_restriction(self, element: int) -> OffsetRange:
        return OffsetRange(0, len(_chunks[element]))

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element: int, restriction: OffsetRange) -> int:
        return int(restriction.size())


class _ChunkByChunk(beam.DoFn):
    """Gives one chunk in each bundle."""

    @beam.DoFn.unbounded_per_element()
    def process(
        self, element: int, tracker: Any = beam.DoFn.RestrictionParam(_Positions())
    ) -> Iterable[tuple[str, Any]]:
        position = tracker.current_restriction().start
        if not tracker.try_claim(position):
            return
        _marks[element].append(time.process_time())
        yield from _chunks[element][position]
        tracker.defer_remainder(Duration(0))
