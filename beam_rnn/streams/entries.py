"""What is stepped: events grouped by stream, with the zero inputs behind an end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_rnn.nn.parameters import Ints
from beam_rnn.streams.waves import Flags, place_in_group


@dataclass
class Entries:
    """Inputs to step, those of one row together and in their order.

    Attributes:
      row: (m,) rows of the arena.
      time: (m,) microseconds.
      end: (m,) whether the sequence ends with the entry.
      until: (m,) microseconds, where it does: when it ended, which idleness makes later.
      pad: (m,) whether the entry is a zero input behind the last event of its sequence.
      source: (m,) place of the entry's input in ``x`` and ``inputs``; of a pad: n.
      x: (n, ...) inputs of the network.
      inputs: n values to echo, or None where ``x`` itself is the value.
    """

    row: Ints
    time: Ints
    end: Flags
    until: Ints
    pad: Flags
    source: Ints
    x: NDArray[Any]
    inputs: list[Any] | None

    def __len__(self) -> int:
        return len(self.row)

    @property
    def first(self) -> Flags:
        """(m,) whether the entry is the first of its row."""
        first = np.ones(len(self.row), np.bool_)
        np.not_equal(self.row[1:], self.row[:-1], first[1:])
        return first

    @property
    def after_end(self) -> Flags:
        """(m,) whether the entry before it, of the same row, ended a sequence."""
        after = np.zeros(len(self.row), np.bool_)
        after[1:] = self.end[:-1]
        return after & ~self.first

    def where(self, keep: Flags | slice) -> Entries:
        """The entries for which ``keep`` (m,) is true, or of a slice."""
        return Entries(
            self.row[keep],
            self.time[keep],
            self.end[keep],
            self.until[keep],
            self.pad[keep],
            self.source[keep],
            self.x,
            self.inputs,
        )

    def value(self, source: int) -> Any:
        """What an answer echoes."""
        if self.inputs is not None:
            return self.inputs[source]
        return self.x[source] if self.x.ndim > 1 else int(self.x[source])

    def values(self, sources: Ints) -> list[Any]:
        """What answers echo."""
        if self.inputs is not None:
            inputs = self.inputs
            return [inputs[i] for i in sources.tolist()]
        x = self.x[sources]
        return list(x) if x.ndim > 1 else x.tolist()

    def ordered_x(self, order: Ints) -> NDArray[Any]:
        """The inputs of the entries ``order``; those of pads are zero."""
        x = self.x
        if self.pad.any():
            x = np.concatenate([x, np.zeros((1, *x.shape[1:]), x.dtype)])
        return x[self.source[order]]

    def padded(self, lookahead: int) -> Entries:
        """With ``lookahead`` zero inputs behind each last event, where the sequence now ends."""
        last = self.end & ~self.pad
        if not lookahead or not last.any():
            return self
        at = np.repeat(np.arange(len(self)), 1 + lookahead * last)
        behind = place_in_group(np.r_[True, at[1:] != at[:-1]])
        return Entries(
            self.row[at],
            np.where(behind > 0, self.until[at], self.time[at]),
            self.end[at] & ((behind == lookahead) | self.pad[at]),
            self.until[at],
            self.pad[at] | (behind > 0),
            np.where(behind > 0, len(self.x), self.source[at]),
            self.x,
            self.inputs,
        )


def latest_before(time: Ints, first: Flags, start: Ints) -> Ints:
    """The latest time of the events before each event of its row.

    Args:
      time: (m,) event times, those of a row together.
      first: (m,) whether an event is the first of its row.
      start: (number of rows,) the latest time of each row before these events.
    """
    latest = np.empty_like(time)
    latest[first] = start
    others = np.flatnonzero(~first)
    latest[others] = time[others - 1]
    place = place_in_group(first)
    reach = 1
    longest = int(place.max(initial=0))
    while reach <= longest:  # a running maximum by doubling
        inside = np.flatnonzero(place >= reach)
        latest[inside] = np.maximum(latest[inside], latest[inside - reach])
        reach *= 2
    return latest
