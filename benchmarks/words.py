"""What the benchmarks read and where it ends: words of 1,000 streams, round robin.

In a module of its own, so that the runner imports it and the marks are those of this process.
"""

import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam

STREAMS = 1000
first: list[float] = []  # DoFns run in this process (LOOPBACK), so that they share these
last: list[float] = []


def events(numbers: tuple[int, int]) -> Iterator[tuple[str, int]]:
    """Words of 1,000 streams, round robin."""
    first.append(time.perf_counter())
    for i in range(*numbers):
        yield f"stream {i % STREAMS}", i * 7919 % 10_000


class Seen(beam.DoFn):
    """Notes when the last answer came; keeps the number of answers."""

    def start_bundle(self) -> None:
        self.count = 0

    def process(self, element: Any) -> None:
        self.count += 1

    def finish_bundle(self) -> None:
        last.append(time.perf_counter())
