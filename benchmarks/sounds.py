"""Sound of many streams that arrives in chunks, for the pipelines of ``benchmarks.speech``.

In a module of its own, as ``words``, whose marks of time it uses.
"""

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks import words

CHUNK = 512  # samples
_names: list[str] = []
_chunks: list[bytes] = []


def use(count: int, streams: int) -> None:
    """Chooses the events: ``count`` chunks of ``streams`` streams, one of each in turn."""
    global _names, _chunks
    draw = np.random.default_rng(0)
    noise = draw.normal(0, 1000, CHUNK * 64).astype(np.int16)
    starts = draw.integers(0, len(noise) - CHUNK, count).tolist()
    _names = [f"stream {i}" for i in range(streams)]
    _chunks = [noise[start : start + CHUNK].tobytes() for start in starts]


def columns(start: int, stop: int) -> Iterator[tuple[str, bytes]]:
    """The chunks of a part with the names of their streams."""
    for place in range(start, stop):
        yield _names[place % len(_names)], _chunks[place]


def events(part: tuple[int, int]) -> Iterator[tuple[str, bytes]]:
    """The same, the time noted."""
    words.first.append(time.perf_counter())
    yield from columns(*part)


def frame(chunk: bytes) -> NDArray[np.float32]:
    """A chunk as one frame of floats."""
    return np.frombuffer(chunk, "<i2").astype(np.float32) / np.float32(32768)
