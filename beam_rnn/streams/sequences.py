"""Entries cut into whole sequences, each stepped on a state row of its own.

What answers at the end of a sequence needs its last state. Sequences of one stream that follow
each other do not need each other, so they are stepped side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from beam_rnn.nn.network import Network
from beam_rnn.nn.parameters import Floats, Ints
from beam_rnn.streams.answering import numbered
from beam_rnn.streams.answers import Said
from beam_rnn.streams.entries import Entries
from beam_rnn.streams.shard import Arena
from beam_rnn.streams.waves import Flags, waves


@dataclass
class Sequences:
    """m entries as q sequences, those of a row in their order.

    Attributes:
      entries: the entries.
      step: (m,) the place of each entry in its sequence, from 1.
      of: (m,) the sequence of each entry.
      start, stop: (q,) the first entry of each, and the one behind its last.
      row: (q,) rows of the arena.
      goes_on: (q,) whether the sequence began before these entries.
      ends: (q,) whether it ends with its last entry.
    """

    entries: Entries
    step: Ints
    of: Ints
    start: Ints
    stop: Ints
    row: Ints
    goes_on: Flags
    ends: Flags

    @staticmethod
    def cut(arena: Arena, entries: Entries) -> Sequences:
        """Cuts entries where a row or a sequence begins."""
        step, begins = numbered(arena, entries)
        start = np.flatnonzero(begins)
        stop = np.append(start[1:], len(entries))
        return Sequences(
            entries,
            step,
            np.cumsum(begins) - 1,
            start,
            stop,
            entries.row[start],
            step[start] > 1,
            entries.end[stop - 1],
        )

    @property
    def inputs(self) -> Ints:
        """(q,) how many inputs of events each sequence has had, those from before among them."""
        pads = np.add.reduceat(self.entries.pad, self.start, dtype=np.int64)
        count: Ints = self.step[self.stop - 1] - pads
        return count

    @property
    def until(self) -> Ints:
        """(q,) when each ends, if it does, in microseconds."""
        return self.entries.until[self.stop - 1]

    def states(self, arena: Arena, initial: Floats | None = None) -> Floats:
        """(q, S): as they were before these entries; those that begin here from ``initial``."""
        a = np.zeros((len(self.row), arena.a.shape[1]), np.float32)
        if initial is not None:
            a[:] = initial
        a[self.goes_on] = arena.a[self.row[self.goes_on]]
        return a

    def advance(self, network: Network, a: Floats, said: Said) -> Floats:
        """Steps the states (q, S) in place; what the head reads (m, H), in the order of entries.

        Raises:
          FloatingPointError: a value is not finite.
        """
        entries = self.entries
        begins = np.zeros(len(entries), np.bool_)
        begins[self.start] = True
        order, cut = waves(self.of, begins, np.zeros(len(entries), np.bool_))
        by_wave = network.advance(entries.x[entries.source[order]], a, cut)
        if not network.bounded and not np.isfinite(by_wave).all():
            raise FloatingPointError("the step gives values that are not finite")
        said.waves.extend(wave.size for wave in cut)
        h = np.empty_like(by_wave)
        h[order] = by_wave
        return h

    def settle(self, arena: Arena, a: Floats, steps: Ints | None = None) -> Ints:
        """Writes the states of sequences that go on into the arena, and clears the other rows.

        Args:
          arena: where they are kept.
          a: (q, S) the states.
          steps: (q,) how far each has come, 0 where nothing of it is kept; by default by entries.

        Returns:
          The sequences that go on.
        """
        steps = self.step[self.stop - 1] if steps is None else steps
        last = np.append(self.row[1:] != self.row[:-1], True)
        over = self.ends | (steps == 0)
        arena.reset(self.row[last & over])
        going = np.flatnonzero(last & ~over)
        rows = self.row[going]
        arena.reset(rows[~self.goes_on[going]])  # what the sequence before left
        arena.a[rows] = a[going]
        arena.steps[rows] = steps[going]
        return going
