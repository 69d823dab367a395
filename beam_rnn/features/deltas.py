"""Rows of an audio feature -> the same with their slopes over time."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from beam_rnn.errors import OptionError, StateError
from beam_rnn.features.audio import HEAD, Floats, Rows, RowsOf, parts_of

__all__ = ["Deltas"]


@dataclass(frozen=True)
class Deltas(RowsOf):
    """A Feature: rows of another one with their slopes, [row | slope | slope of the slope].

    d[t] = sum_n n (c[t+n] - c[t-n]) / (2 sum_n n^2), n = 1..reach, the first and the last row
    repeated at the ends (HTK, ``torchaudio.functional.compute_deltas``). A row waits for the
    ``order * reach`` rows behind it.

    Attributes:
      feature: LogMel, MFCC, ...
      reach: rows to each side.
      order: 1 for slopes, 2 for slopes of slopes as well.

    Raises:
      OptionError: a number is out of its range.
    """

    feature: Rows
    reach: int = 2
    order: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.feature, Rows):
            raise OptionError(f"feature is {self.feature!r}, expected Frames, LogMel or MFCC")
        if self.reach < 1 or self.order not in (1, 2):
            raise OptionError(f"reach is {self.reach}, order {self.order}: expected 1.., 1 or 2")

    @property
    def below(self) -> Rows:
        return self.feature

    @property
    def width(self) -> int:
        return self.feature.width * (1 + self.order)

    def rows(self, value: Any, memory: bytes) -> tuple[int, Floats, bytes]:
        index, inner, tails = self._recall(memory)
        _, rows, inner = self.feature.rows(value, inner)
        rows, tails = self._slopes(rows, tails, last=False)
        lengths = struct.pack(f"<{self.order}H", *map(len, tails))
        head = HEAD.pack(index + len(rows), len(inner)) + inner
        return index, rows, head + lengths + b"".join(tail.tobytes() for tail in tails)

    def last_rows(self, memory: bytes) -> tuple[int, Floats]:
        index, inner, tails = self._recall(memory)
        _, rows = self.feature.last_rows(inner)
        return index, self._slopes(rows, tails, last=True)[0]

    def _slopes(
        self, rows: Floats, tails: Sequence[Floats], *, last: bool
    ) -> tuple[Floats, list[Floats]]:
        kept = []
        for tail in tails:
            rows, tail = self._slope(rows, tail, last=last)
            kept.append(tail)
        return rows, kept

    def _slope(self, rows: Floats, tail: Floats, *, last: bool) -> tuple[Floats, Floats]:
        """Adds the slopes of the last columns; returns complete rows and those still needed."""
        N = self.reach
        parts = [tail, rows]
        if not len(tail):
            parts[0] = np.repeat(rows[:1], N, axis=0)
        if last:
            parts.append(np.repeat((rows if len(rows) else tail)[-1:], N, axis=0))
        known = np.concatenate(parts)
        n = max(0, len(known) - 2 * N)
        c = known[:, known.shape[1] - self.feature.width :].astype(np.float64)
        slope = np.zeros((n, c.shape[1]))
        for k in range(1, N + 1):
            slope += k * (c[N + k : N + k + n] - c[N - k : N - k + n])
        slope /= N * (N + 1) * (2 * N + 1) / 3
        with_slopes = np.concatenate([known[N : N + n], slope.astype(np.float32)], axis=1)
        return with_slopes, known[n:]

    def _recall(self, memory: bytes) -> tuple[int, bytes, list[Floats]]:
        D = self.feature.width
        widths = [D * (1 + place) for place in range(self.order)]
        if not memory:
            return 0, b"", [np.zeros((0, width), np.float32) for width in widths]
        index, inner, rest = parts_of(memory)
        try:
            lengths = struct.unpack_from(f"<{self.order}H", rest)
            numbers = np.frombuffer(rest, "<f4", offset=2 * self.order)
            sizes = np.multiply(lengths, widths)
            *parts, left = np.split(numbers, np.cumsum(sizes))
            tails = [part.reshape(-1, width) for part, width in zip(parts, widths, strict=True)]
        except (struct.error, ValueError):
            tails, left = [], np.ones(1)
        if len(left) or max(map(len, tails), default=0) > 2 * self.reach:
            raise StateError("the memory of slopes is broken")
        return index, inner, tails
