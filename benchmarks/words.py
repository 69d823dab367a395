"""What the benchmarks read and where it ends: words of many streams, with marks of time.

In a module of its own, so that the runner imports it and the marks are those of this process:
on every runner the DoFns run here (in the process, or LOOPBACK).
"""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

VOCABULARY = 10_000
first: list[float] = []  # when the source began each of its parts
last: list[float] = []  # when the sink ended each of its bundles
answers: list[int] = []  # how many answers each of them had
clock = time.perf_counter  # what marks are taken from
_made: dict[tuple[int, int], pa.RecordBatch] = {}
_names: list[str] = []
_inputs: Sequence[Any] | None = None  # what each word is to the network, where not its number
_order = np.zeros(0, np.int32)
_words = np.zeros(0, np.int32)


def use(
    count: int,
    streams: int = 1000,
    skew: float | None = None,
    seed: int = 0,
    inputs: Sequence[Any] | None = None,
) -> None:
    """Chooses the events: ``count`` words of ``streams`` streams.

    Args:
      skew: None: round robin; else the exponent of a Zipf law over the streams, 0: uniform.
      inputs: what each word of the vocabulary is to the network, or None: its number.
    """
    global _names, _inputs, _order, _words
    _inputs = inputs
    _names = [f"stream {i}" for i in range(streams)]
    if skew is None:
        _order = (np.arange(count) % streams).astype(np.int32)
    else:
        share = np.arange(1, streams + 1, dtype=np.float64) ** -skew
        draw = np.random.default_rng(seed)
        places = np.searchsorted(np.cumsum(share / share.sum()), draw.random(count))
        _order = np.minimum(places, streams - 1).astype(np.int32)
    _words = (np.arange(count) * 7919 % VOCABULARY).astype(np.int32)


def create_all_first() -> None:
    """Puts one event of every stream before the others."""
    global _order, _words
    streams = np.arange(len(_names), dtype=np.int32)
    _order = np.concatenate([streams, _order])
    _words = np.concatenate([streams % VOCABULARY, _words])


def columns(start: int, stop: int) -> tuple[list[str], list[Any]]:
    """The events of a part: keys and words."""
    names, inputs = _names, _inputs
    words: list[Any] = _words[start:stop].tolist()
    if inputs is not None:
        words = [inputs[word] for word in words]
    return [names[i] for i in _order[start:stop].tolist()], words


def events(part: tuple[int, int]) -> Iterator[tuple[str, Any]]:
    """The events of a part, one by one."""
    first.append(clock())
    yield from zip(*columns(*part), strict=True)


def batch(part: tuple[int, int]) -> pa.RecordBatch:
    """The events of a part as columns, made before the clock starts."""
    first.append(clock())
    return _made[part]


def make_batches(parts: list[tuple[int, int]]) -> None:
    """Makes the RecordBatches of parts, as a columnar source would bring them."""
    _made.clear()
    for part in parts:
        streams, ids = columns(*part)
        _made[part] = pa.RecordBatch.from_pydict(
            {"stream": streams, "x": pa.array(ids, pa.int32())}
        )


def gated(part: tuple[int, int, bool]) -> Iterator[tuple[str, int]]:
    """Like ``events``; at a gate, says what was measured and waits for its turn.

    The line on the standard output is what passed since the last gate: seconds from its first
    event to its last answer, and its answers.
    """
    start, stop, gate = part
    if gate:
        seconds = last[-1] - first[0] if first and last else 0.0
        print("turn", seconds, sum(answers), flush=True)
        sys.stdin.readline()
        clear()
    yield from events((start, stop))


def clear() -> None:
    """Forgets all marks."""
    for marks in (first, last, answers):
        marks.clear()


def seconds(count: int) -> float:
    """From the first event to the last answer.

    Raises:
      RuntimeError: there were not ``count`` answers.
    """
    if sum(answers) != count:
        raise RuntimeError(f"{sum(answers)} answers, expected {count}")
    return max(last) - min(first)


class Seen(beam.DoFn):
    """Notes when answers came, and how many."""

    def start_bundle(self) -> None:
        self.count = 0

    def process(self, element: Any) -> None:
        self.count += 1

    def finish_bundle(self) -> None:
        if self.count:
            answers.append(self.count)
            last.append(clock())


class SeenBatches(Seen):
    """The same for answers in RecordBatches."""

    def process(self, element: pa.RecordBatch) -> None:
        self.count += element.num_rows
