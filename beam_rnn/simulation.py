"""How many workers, how much state and what latency a job will have, from costs measured here."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from beam_rnn.errors import OptionError
from beam_rnn.nn.parameters import Ints
from beam_rnn.transforms.costs import Bundle, Costs, Floats, Logs, chosen, measured, shares
from beam_rnn.weights import load

_BUNDLES = 256  # over which what they read is averaged
BUSY = 0.7  # the part of its time that a worker may be: the rest is for what is not even
_EACH = (
    "a bundle",
    "each event",
    "each stream in it",
    "each shard whose log is read",
    "each shard whose rows are kept",
    "each block of a log",
    "each row of a log",
)


@dataclass(frozen=True)
class Job:
    """What is asked.

    Attributes:
      streams: how many there are.
      rate: events per second, of all together.
      skew: exponent of the Zipf law by which events choose their stream; 0: all alike.
      every: seconds from bundle to bundle.
      shards: parts of the state.
    """

    streams: int
    rate: float
    skew: float = 0.0
    every: float = 0.5
    shards: int = 32

    def __post_init__(self) -> None:
        for name in ("streams", "rate", "every", "shards"):
            if not getattr(self, name) > 0:
                raise OptionError(f"{name} is {getattr(self, name)}, expected a number above 0")
        if not self.skew >= 0:
            raise OptionError(f"skew is {self.skew}, expected a number from 0")

    def homes(self) -> Ints:
        """The shard of each stream; a hash is as good as a draw."""
        return np.random.default_rng(0).integers(0, self.shards, self.streams)


@dataclass(frozen=True)
class Found:
    """What a job needs.

    Attributes:
      workers: with one core each; None where a shard is too much for one.
      busy: the part of its time that the busiest worker is.
      bundle: events of its bundles.
      latency: seconds from an event to its answer, in the middle and at most.
      stream, state, shard: bytes of state, of one stream, of all and of the fullest shard.
      hottest: the part of all events that the hottest stream has, and the hottest shard.
    """

    workers: int | None
    busy: float
    bundle: float
    latency: tuple[float, float]
    stream: int
    state: int
    shard: int
    hottest: tuple[float, float]


def throughput(costs: Costs, job: Job, events: int) -> float:
    """Events per second that one core steps, in bundles of so many events."""
    share, homes = shares(job.streams, job.skew), job.homes()
    read = _read(costs, job, events)
    seconds = []
    for seed in range(3):
        counts = np.bincount(chosen(share, events, seed), minlength=job.streams)
        seconds.append(costs.of(_bundle(counts, homes, read)))
    return events / float(np.mean(seconds))


def _read(costs: Costs, job: Job, events: float) -> Floats:
    """(4, shards) what bundles of so many events read of a shard to which they come, on average."""
    share, homes = shares(job.streams, job.skew), job.homes()
    live = np.bincount(homes, minlength=job.shards)
    comes = -np.expm1(-events * np.bincount(homes, share, job.shards))
    changed = np.bincount(homes, -np.expm1(-events * share), job.shards) / np.maximum(comes, 1e-9)
    logs = Logs(live, costs.stream)
    logs.bundle(live)
    logs.bundle(live)  # as full as they get
    return np.mean([logs.bundle(changed) for _ in range(_BUNDLES)], axis=0)


def _bundle(counts: Ints, homes: Ints, read: Floats) -> Bundle:
    """The bundle in which each stream of a job has so many events."""
    streams = np.flatnonzero(counts)
    return Bundle(counts[streams], read[:, np.unique(homes[streams])].sum(axis=1))


def simulated(costs: Costs, job: Job) -> Found:
    """What a job needs: the fewest workers of which none is too busy."""
    share, homes = shares(job.streams, job.skew), job.homes()
    load = np.bincount(homes, share, job.shards)
    read = _read(costs, job, job.rate * job.every)
    # The same events for any number of workers, as many of each stream as come in a bundle.
    counts = np.random.default_rng(0).poisson(share * job.rate * job.every)
    workers, busy, cost, n = 0, np.inf, 0.0, 0
    while busy > BUSY and workers < job.shards:
        workers += 1
        # Shards are dealt out by a runner that does not know their load.
        mine = np.arange(job.shards) % workers
        worst = int(np.bincount(mine, load, workers).argmax())
        own = np.where(mine[homes] == worst, counts, 0)
        n = int(own.sum())
        cost = costs.of(_bundle(own, homes, read)) if n else 0.0
        busy = cost / job.every
    return Found(
        workers=workers if busy <= BUSY else None,
        busy=busy,
        bundle=n,
        latency=(job.every / 2 + cost, job.every + cost),
        stream=costs.stream,
        state=costs.stream * job.streams,
        shard=costs.stream * int(np.bincount(homes).max()),
        hottest=(float(share.max()), float(load.max())),
    )


def measured_apart(path: str, progress: Callable[[str], None]) -> Costs:
    """``measured`` in a process of its own, whose BLAS has one thread, as workers have."""
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    spawn = multiprocessing.get_context("spawn")
    progress("costs of this machine")
    try:
        with ProcessPoolExecutor(1, spawn) as pool:
            return pool.submit(_measured, path).result()
    finally:
        if before is None:
            del os.environ["OPENBLAS_NUM_THREADS"]
        else:
            os.environ["OPENBLAS_NUM_THREADS"] = before


def _measured(path: str) -> Costs:
    return measured(path, load(path), lambda what: None)


def shown(costs: Costs, job: Job) -> RenderableType:
    """Tables of what was measured, and what it says of a job."""
    found = simulated(costs, job)
    return Group(
        _titled("measured here, in seconds of one core", _costs(costs)),
        _titled("one core on the embedded runner", _rates(costs, job)),
        _titled("the job", _answers(job, found)),
    )


def _titled(title: str, facts: Iterator[tuple[str, str]]) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, fact in facts:
        table.add_row(name, Text(fact))
    return Group(Text(title, style="bold"), table, "")


def _costs(costs: Costs) -> Iterator[tuple[str, str]]:
    for name, seconds in zip(_EACH, costs.each, strict=True):
        yield name, f"{1e6 * seconds:,.1f} µs"
    rows = (1, 64, 1024)
    waves = ", ".join(f"{1e6 * costs.wave(np.array([n]))[0]:,.1f} µs of {n:,}" for n in rows)
    yield "each wave", f"{waves} streams"


def _rates(costs: Costs, job: Job) -> Iterator[tuple[str, str]]:
    for events in (200, 2000, 20_000):
        yield f"bundles of {events:,}", f"{throughput(costs, job, events):,.0f} events/s"


def _answers(job: Job, found: Found) -> Iterator[tuple[str, str]]:
    if found.workers is None:
        yield "workers", f"none will do: one for each shard would be {found.busy:.0%} busy"
        yield (
            "hottest",
            (
                f"shard {found.hottest[1]:.1%}, stream {found.hottest[0]:.1%} of all events: more "
                "shards (--shards) or longer bundles (--every)"
            ),
        )
    else:
        yield "workers", f"{found.workers}, of one core; the busiest is {found.busy:.0%} busy"
        yield "latency", f"{found.latency[0]:.2g} s in the middle, {found.latency[1]:.2g} s at most"
    yield "its bundles", f"{found.bundle:,.0f} events every {job.every:g} s"
    size = f"{_bytes(found.state)} to {_bytes(2 * found.state)}"
    yield "state", f"{size} ({found.stream:,} bytes for each of {job.streams:,} streams)"
    yield "fullest shard", f"up to {_bytes(2 * found.shard)}; below 64 MB is best"


def _bytes(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
