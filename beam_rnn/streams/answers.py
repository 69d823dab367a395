"""Answers of many streams, with their times and homes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from beam_rnn.nn.parameters import Ints
from beam_rnn.streams.event import BadEvent
from beam_rnn.streams.shard import Arena, Shard


@dataclass
class Answers:
    """n answers, those of one stream in their order, and events that had none.

    Attributes:
      names: the keys of the streams that answer.
      homes: their shards.
      stream: (n,) which of them an answer is of.
      time: (n,) microseconds.
      what: n answers, as what is answered joins them: iterating gives one after the other.
      bad: events that were not stepped, each with its shard and time.
      late: events whose streams had stepped a later one, likewise.
      duplicates: how many events were dropped because their number was there before.
      gaps: how many gaps in the numbers were reported.
      waves: how many streams each wave stepped.
    """

    names: list[Any]
    homes: list[Shard]
    stream: Ints
    time: Ints
    what: Any
    bad: list[tuple[Shard, int, BadEvent]]
    late: list[tuple[Shard, int, BadEvent]]
    duplicates: int
    gaps: int
    waves: list[int]

    def __len__(self) -> int:
        return len(self.time)


@dataclass
class Said:
    """Collects answers while their streams have rows in the arena."""

    bad: list[tuple[Shard, int, BadEvent]] = field(default_factory=list)
    late: list[tuple[Shard, int, BadEvent]] = field(default_factory=list)
    duplicates: int = 0
    gaps: int = 0
    waves: list[int] = field(default_factory=list)
    _rows: list[Ints] = field(default_factory=list)
    _times: list[Ints] = field(default_factory=list)
    _what: list[Any] = field(default_factory=list)

    def add(self, rows: Ints, time: Ints, what: Any) -> None:
        """Adds n answers ``what`` about rows (n,), those of a row in their order."""
        self._rows.append(rows)
        self._times.append(time)
        self._what.append(what)

    def leave(
        self,
        output: list[tuple[Shard, int, BadEvent]],
        arena: Arena,
        row: int,
        time: int,
        reason: str,
        value: Any,
    ) -> None:
        """Adds an event that is not stepped to an output, ``bad`` or ``late``."""
        home = arena.home[row]
        assert home is not None
        output.append((home, time, BadEvent(arena.names([row])[0], reason, value)))

    def answers(self, arena: Arena, join: Callable[[Sequence[Any]], Any]) -> Answers:
        """All that was said, its parts made one by ``join``; before the rows are given back."""
        nothing = np.zeros(0, np.int64)
        rows = np.concatenate([nothing, *self._rows])
        rows, stream = np.unique(rows, return_inverse=True)
        each = rows.tolist()
        homes = [home for home in (arena.home[row] for row in each) if home is not None]
        return Answers(
            names=arena.names(each),
            homes=homes,
            stream=stream,
            time=np.concatenate([nothing, *self._times]),
            what=join(self._what),
            bad=self.bad,
            late=self.late,
            duplicates=self.duplicates,
            gaps=self.gaps,
            waves=self.waves,
        )
