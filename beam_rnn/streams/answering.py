"""What differs from shape to shape: what is done with inputs, and what is answered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from beam_rnn.nn.inputs import Inputs
from beam_rnn.nn.parameters import Floats, Ints
from beam_rnn.nn.step_model import Recurrent
from beam_rnn.streams.answers import Said
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.entries import Entries
from beam_rnn.streams.shard import Arena
from beam_rnn.streams.waves import Flags, place_in_group, waves

_NEAR = 1 << 16  # floats of states that stay in the second cache of a core
_TILE = 96  # rows of which the compiled steps make a tile


class Answering(ABC):
    """Steps the inputs of sequences and answers.

    The stepper brings the inputs of all streams, each stream's in their order, says where
    sequences end, and keeps rows from bundle to bundle. An answering has of each row: ``arena.a``,
    ``arena.label``, and in ``arena.pending`` what ``codec`` can write.

    Attributes:
      codec: how keys, values and what waits are written.
      arena: the rows.
      fingerprint: of the model, written into the state.
      inputs: what the model takes.
      state_size: floats in a state row.
      speaks_last: whether something may still be said when no more inputs can come.
      needs: what is empty, by its name, where a sequence of which something came has no inputs, or
        None where that is no fault.
      gives: what answers are made of, which is the same for every model of a live stream.
      state_layout: what a state row is made of, the same for models that can go on with it.
      sure: whether ``step`` can not fail, so that nothing is kept to undo it.
    """

    codec: Codec
    arena: Arena
    fingerprint: str
    inputs: Inputs
    state_size: int
    speaks_last: bool
    needs: str | None = None
    gives: Any = None
    state_layout: Any = None
    sure: bool = False

    @abstractmethod
    def step(self, entries: Entries, said: Said) -> None:
        """Steps entries and answers; where it raises, nothing but ``arena.a`` has changed.

        Of rows whose last entry ends their sequence nothing remains, of others their steps.
        """

    @abstractmethod
    def close(self, rows: Ints, times: Ints, said: Said) -> Entries | None:
        """Ends sequences that get no more events.

        Args:
          rows: (n,) ascending, each in a sequence.
          times: (n,) when each ended, in microseconds.
          said: takes the answers.

        Returns:
          Entries that are to be stepped to end them, or None where they are ended.
        """

    @abstractmethod
    def join(self, parts: Sequence[Any]) -> Iterable[Any]:
        """What was said in parts, as one: gives the answers in their order."""

    def waiting(self, row: int) -> list[tuple[int, Any]]:
        """The (time, value) of the events of a row that wait for their answer."""
        return []

    def pending(self, row: int) -> Any:
        """What waits on a row, decoded when it is needed, or None."""
        pending = self.arena.pending.get(row)
        if isinstance(pending, bytes):
            pending = self.codec.decode_pending(pending)
        return pending


class Advanced(NamedTuple):
    """Entries that were stepped in waves.

    Attributes:
      h: (m, H) what the head reads, in the order of the waves.
      place: (m,) where in it an entry is.
      step: (m,) the place of each entry in its sequence, from 1.
      begins: (m,) whether the entry is the first of its sequence here.
      waves: how many streams each wave stepped.
    """

    h: Floats
    place: Ints
    step: Ints
    begins: Flags
    waves: list[int]


def numbered(arena: Arena, entries: Entries) -> tuple[Ints, Flags]:
    """The place (m,) of each entry in its sequence, and whether it is its first here."""
    first = entries.first
    begins = first | entries.after_end
    starts = np.flatnonzero(begins)
    base = np.where(first[starts], arena.steps[entries.row[starts]], 0)
    step = place_in_group(begins) + 1
    step += np.repeat(base, np.diff(np.append(starts, len(entries))))
    return step, begins


def advance(network: Recurrent, arena: Arena, entries: Entries) -> Advanced:
    """Steps the states of entries in waves.

    Raises:
      FloatingPointError: a value is not finite.
    """
    step, begins = numbered(arena, entries)
    most = max(1, _NEAR // max(network.state_size, 1) // _TILE) * _TILE
    order, cut = waves(entries.row, entries.first, entries.after_end, most)
    h = network.advance(entries.x[entries.source[order]], arena.a, cut)
    if not network.bounded and not np.isfinite(h).all():
        raise FloatingPointError("the step gives values that are not finite")
    place = np.empty(len(entries), np.int64)
    place[order] = np.arange(len(entries))
    return Advanced(h, place, step, begins, [wave.size for wave in cut])


def settle(arena: Arena, entries: Entries, step: Ints) -> Ints:
    """Notes the steps of rows whose sequence goes on, and clears the others.

    Returns:
      The last entries of those that go on.
    """
    lasts = entries.lasts
    over = entries.end[lasts]
    going = lasts[~over]
    arena.steps[entries.row[going]] = step[going]
    arena.reset(entries.row[lasts[over]])
    return going
