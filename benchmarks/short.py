"""Short sequences whose events lie in several bundles; in a module that the runner imports."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam

LENGTH = 3  # events of a sequence
GAP = 7000  # events of other sequences between two of its own
seen: list[str] = []
answers = 0


def events(part: tuple[int, int, int]) -> Iterator[tuple[str, tuple[int, bool]]]:
    """At each place, one event of each of three sequences: a first, a second, a last one."""
    start, stop, count = part
    for place in range(start, stop):
        for turn in range(LENGTH):
            sequence = place - turn * GAP
            if 0 <= sequence < count:
                word = (sequence * 7919 + turn) % 10_000
                yield f"sequence {sequence}", (word, turn == LENGTH - 1)


def word(value: tuple[int, bool]) -> int:
    return value[0]


def ends(value: tuple[int, bool]) -> bool:
    return value[1]


class Watch(beam.DoFn):
    """Counts answers, and notes memory ten times over the run."""

    def __init__(self, bundles: int) -> None:
        self.every = max(1, bundles // 10)

    def setup(self) -> None:
        self.bundles = 0

    def process(self, element: Any) -> None:
        global answers
        answers += 1

    def finish_bundle(self) -> None:
        self.bundles += 1
        if self.bundles % self.every == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seen.append(f"{answers} answers: {pages * 4 // 1024} MB resident")
