"""What is stepped: events grouped by stream, with the inputs behind an end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_rnn.nn.parameters import Ints
from beam_rnn.streams.pack import Packed, echoed
from beam_rnn.streams.waves import Flags, by_stream, place_in_group


@dataclass
class Entries:
    """Inputs to step, those of one row together and in their order.

    Attributes:
      row: (m,) rows of the arena.
      time: (m,) microseconds.
      end: (m,) whether the sequence ends with the entry.
      until: (m,) microseconds, where it does: when it ended, which idleness makes later.
      pad: (m,) whether the entry is an input that no event brought, behind the last of its
        sequence.
      source: (m,) place of the entry's input in ``x`` and ``inputs``.
      x: (n, ...) inputs of the network; those of pads come last.
      inputs: values to echo, for inputs that are no pads, or None where ``x`` is the value.
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
    def lasts(self) -> Ints:
        """Places of the last entry of each row."""
        lasts: Ints = np.append(np.flatnonzero(self.first)[1:], len(self)) - 1
        return lasts

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

    def followed_by(self, counts: Ints, x: NDArray[Any]) -> Entries:
        """With inputs that no event brought behind some entries, where sequences now end.

        Args:
          counts: (m,) how many come behind each entry.
          x: (sum of counts, ...) those inputs.
        """
        if not len(x):
            return self
        at = np.repeat(np.arange(len(self)), 1 + counts)
        behind = place_in_group(np.r_[True, at[1:] != at[:-1]])
        added = behind > 0
        return Entries(
            self.row[at],
            np.where(added, self.until[at], self.time[at]),
            self.end[at] & (behind == counts[at]),
            self.until[at],
            self.pad[at] | added,
            np.where(added, len(self.x) + np.cumsum(added) - 1, self.source[at]),
            np.concatenate([self.x, x]),
            self.inputs,
        )

    def padded(self, lookahead: int) -> Entries:
        """With ``lookahead`` zero inputs behind each last event."""
        counts = lookahead * (self.end & ~self.pad)
        return self.followed_by(counts, self._zeros(int(counts.sum())))

    def _zeros(self, n: int) -> NDArray[Any]:
        return np.zeros((n, *self.x.shape[1:]), self.x.dtype)


def behind_all(rows: Ints, times: Ints, counts: Ints, x: NDArray[Any]) -> Entries:
    """Inputs that no event brought, which end the sequences of rows.

    Args:
      rows: (n,) rows, and times: (n,) microseconds.
      counts: (n,) how many each gets, from 1.
      x: (sum of counts, ...) those inputs.
    """
    m = len(x)
    time = np.repeat(times, counts)
    end = np.zeros(m, np.bool_)
    end[np.cumsum(counts) - 1] = True
    return Entries(
        np.repeat(rows, counts), time, end, time, np.ones(m, np.bool_), np.arange(m), x, None
    )


def gathered(packs: Sequence[Packed], rows: Ints) -> tuple[Entries, Flags]:
    """The events of packs, those of one row together and in their order.

    Args:
      packs: n events in all.
      rows: (n,) their rows.

    Returns:
      The events, and (n,) whether a sequence begins anew with one.
    """
    order, _ = by_stream(rows)
    xs = [packed.x for packed in packs if packed.x is not None]
    time = np.concatenate([packed.time for packed in packs])[order]
    events = Entries(
        rows[order],
        time,
        np.concatenate([packed.end for packed in packs])[order],
        time.copy(),
        np.zeros(len(rows), np.bool_),
        order,
        np.concatenate(xs) if xs else np.zeros(0, np.float32),
        echoed(packs),
    )
    resets = np.zeros(len(rows), np.bool_)
    if any(packed.reset is not None for packed in packs):
        none = [np.zeros(len(packed), np.bool_) for packed in packs]
        told = [n if p.reset is None else p.reset for p, n in zip(packs, none, strict=True)]
        resets = np.concatenate(told)[order]
    return events, resets


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
