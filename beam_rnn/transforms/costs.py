"""What bundles cost on this machine: so much for each event, stream, shard, and what is read.

Waves are timed by themselves, in runs as bundles have them. The other costs are fitted to bundles
of many kinds that run on Beam's embedded runner, in seconds of the processor, less their waves.
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
from beam_rnn.nn.stepping import Wave
from beam_rnn.streams.order import arrival
from beam_rnn.streams.pack import shard_of
from beam_rnn.streams.shard import BLOCK, outgrown
from beam_rnn.transforms.shards import tagged_from
from beam_rnn.transforms.streams import Tag

Floats = NDArray[np.float64]
BESIDE = 33  # bytes of a stream's state beside its floats
_SIZES = (100, 200, 400, 1600, 6400)
_REPEATS = 3
_TOUCHES = 3  # how often each stream comes before the clock runs: as the logs of shards fill up
_RUN = 1024  # rows of the waves that are timed together
_ROWS = tuple(2**i for i in range(10))
_QUIET = 0.7  # the part of the bundles that is trusted: what other work slows down is left out


@dataclass(frozen=True)
class Bundle:
    """What of a bundle costs time.

    Attributes:
      counts: how many events each of its streams has.
      logs: (4,) the shards whose log is read, those whose rows are kept, and the blocks and rows
        that are read.
    """

    counts: Ints
    logs: Floats

    @property
    def waves(self) -> Ints:
        """The rows of each wave: wave t steps the streams with t events or more."""
        rows: Ints = np.bincount(self.counts)[::-1].cumsum()[::-1][1:]
        return rows

    @property
    def amounts(self) -> Floats:
        """One, events, streams, and ``logs``: (7,)."""
        return np.array([1, self.counts.sum(), len(self.counts), *self.logs], np.float64)


@dataclass(frozen=True)
class Costs:
    """Seconds of the processor.

    Attributes:
      rows, seconds: what a wave of so many rows takes.
      each: (7,) what each of a bundle's ``amounts`` takes beside its waves.
      stream: bytes of the state of one.
    """

    rows: Ints
    seconds: Floats
    each: Floats
    stream: int

    def wave(self, rows: Ints) -> Floats:
        """What waves of so many rows take; in proportion beyond what was measured."""
        beyond = self.seconds[-1] * np.maximum(rows / self.rows[-1], 1)
        return np.where(rows > self.rows[-1], beyond, np.interp(rows, self.rows, self.seconds))

    def of(self, bundle: Bundle) -> float:
        """What a bundle takes."""
        return float(np.dot(self.each, bundle.amounts) + self.wave(bundle.waves).sum())


class Logs:
    """What the logs of n shards hold; see ``Shard.write`` and ``OpenShards``.

    Args:
      live: (n,) the streams of each shard.
      stream: bytes of the state of one.
    """

    def __init__(self, live: Ints, stream: int) -> None:
        self.live = live
        self.stream = stream
        self.blocks = self.rows = np.zeros(len(live))
        self.kept = np.zeros(len(live), np.bool_)

    def bundle(self, changed: NDArray[Any]) -> Floats:
        """Writes a bundle that changes so many rows of each shard (n,); 0: it does not come there.

        Returns:
          (4, n) what it read of each: the ``logs`` of a Bundle, as their sum.
        """
        comes, before = changed > 0, self.kept
        read = comes & ~before
        found = np.array([read, comes & before, read * self.blocks, read * self.rows], np.float64)
        least = np.where(before, tagged_from(True), tagged_from(False))
        self.kept = np.where(comes, self.rows * self.stream >= least, before)
        logged = self.rows + changed + BLOCK * (self.blocks + 1)
        anew = comes & (outgrown(logged, self.live) | (self.kept != before))
        self.rows = np.where(anew, self.live, self.rows + changed)
        self.blocks = np.where(anew, 1, self.blocks + comes)
        return found


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
    progress("waves")
    stream = 4 * network.state_size + BESIDE
    costs = Costs(np.array(_ROWS), _waves(network), np.zeros(7), stream)
    # Logs of few streams, logs that are read, and logs so long that the rows are kept.
    long = tagged_from(False) // stream
    bundles: list[Bundle] = []
    took: list[float] = []
    for shards, live in ((32, 10), (8, long // 4), (8, long)):
        streams = shards * max(live, 10)
        progress(f"bundles of {streams:,} streams")
        for bundle, seconds in _bundles(model, network, streams, shards):
            bundles.append(bundle)
            took.append(seconds)
    amounts = np.array([bundle.amounts for bundle in bundles])
    return replace(
        costs, each=_fitted(amounts, np.array(took), np.array(list(map(costs.of, bundles))))
    )


def _waves(network: Network) -> Floats:
    """Seconds of one wave of so many rows, for each of ``_ROWS``."""
    found = []
    for rows in _ROWS:
        waves = [Wave(np.arange(0, 2 * rows, 2), rows)] * (_RUN // rows)
        x, a = random_inputs(network, _RUN), network.initial_state(2 * rows)
        network.head(network.advance(x, a, waves))
        times: list[float] = []
        end = time.thread_time() + 0.1
        while len(times) < 3 or time.thread_time() < end:
            start = time.thread_time()
            network.head(network.advance(x, a, waves))
            times.append(time.thread_time() - start)
        found.append(min(times) / len(waves))
    return np.array(found)


def random_inputs(network: Network, n: int) -> NDArray[Any]:
    """What n events of a network may be: (n, ...)."""
    inputs, draw = network.inputs, np.random.default_rng(0)
    if inputs.limits is None:
        return draw.normal(size=(n, *inputs.shape)).astype(np.float32)
    most = [limit or 2 for limit in inputs.limits]
    return draw.integers(0, most if inputs.shape else most[0], (n, *inputs.shape))


def _fitted(amounts: Floats, took: Floats, known: Floats) -> Floats:
    """Costs from 0 of which ``amounts @ costs + known`` is nearest to what was taken."""
    quiet = np.ones(len(took), np.bool_)
    for _ in range(5):
        scale = took[quiet, None]  # what is off is off in proportion
        found = _least(amounts[quiet] / scale, 1 - (known / took)[quiet])
        slower = took / (amounts @ found + known)
        quiet = slower <= np.quantile(slower, _QUIET)
    return found


def _least(A: Floats, b: Floats) -> Floats:
    """Least squares of ``A @ x = b`` with x from 0."""
    x, used = np.zeros(A.shape[1]), np.asarray(A.any(axis=0))
    while True:
        size = np.abs(A[:, used]).max(axis=0)
        part = np.linalg.lstsq(A[:, used] / size, b, rcond=None)[0] / size
        if (part >= 0).all():
            x[used] = part
            return x
        used[np.flatnonzero(used)[(part * size).argmin()]] = False


def _bundles(
    model: Any, network: Network, streams: int, shards: int
) -> Iterator[tuple[Bundle, float]]:
    """Bundles of many kinds, and the seconds that each took."""
    kinds = [shares(streams, 0), shares(streams, 1.2), shares(streams // 10, 0)]
    plans = [chosen(share, size, size) for size in _SIZES for share in kinds]
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(len(plans)), _REPEATS))
    # All streams come first, so that none is new when the clock runs; the last has no end.
    chunks = [np.arange(streams)] * _TOUCHES + [plans[i] for i in order] + [plans[0]]
    made = random_inputs(network, max(map(len, chunks)))
    x = list(made) if network.inputs.shape else made.tolist()
    marks = _run(model, [list(zip(_keys(chunk), x, strict=False)) for chunk in chunks], shards)
    homes = np.array([shard_of(key.encode(), shards) for key in _keys(np.arange(streams))])
    logs = Logs(np.bincount(homes, minlength=shards), 4 * network.state_size + BESIDE)
    for place, (chunk, seconds) in enumerate(zip(chunks, np.diff(marks), strict=False)):
        touched, counts = np.unique(chunk, return_counts=True)
        read = logs.bundle(np.bincount(homes[touched], minlength=shards))
        if place >= _TOUCHES:
            yield Bundle(counts, read.sum(axis=1)), float(seconds)


def _keys(streams: Ints) -> list[str]:
    return [f"stream {stream}" for stream in streams.tolist()]


_Chunks = Sequence[Sequence[tuple[str, Any]]]
_chunks: dict[int, Any] = {}  # the runner is in this process: nothing is written or read
_marks: dict[int, list[float]] = {}
_numbers = itertools.count()


def _run(model: Any, chunks: _Chunks, shards: int) -> list[float]:
    """When, in seconds of the process, each chunk began: one bundle each."""
    number, kind = next(_numbers), type(chunks[0][0][1])
    _chunks[number], _marks[number] = chunks, []
    options = PipelineOptions([], streaming=True)
    gc.collect()
    try:
        with beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
            read = beam.ParDo(_ChunkByChunk()).with_output_types(beam.typehints.KV[str, kind])
            events = pipeline | beam.Create([number]) | read
            events | Tag(model, order=arrival, shards=shards) | beam.ParDo(_Nowhere())
        return _marks[number]
    finally:
        del _chunks[number], _marks[number]


class _Nowhere(beam.DoFn):
    """Where answers end."""

    def process(self, element: Any) -> None:
        """Gives nothing on, so that next to nothing of it is among the costs."""


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
