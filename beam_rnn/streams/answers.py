"""Answers as columns, and what a row of y says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from beam_rnn.nn.parameters import Floats, Ints
from beam_rnn.streams.event import BadEvent
from beam_rnn.streams.shard import Arena, Shard


@dataclass
class Answers:
    """n answers as columns, those of one stream in their order, and events that had none.

    Attributes:
      names: the keys of the streams that answer.
      homes: their shards.
      stream: (n,) which of them an answer is of.
      time: (n,) microseconds.
      label: (n,) indices of classes.
      score: (n,) float32, y of the label.
      step: (n,) places in their sequences, from 1.
      input: what n answers echo, as a list or an array; empty for answers about sequences.
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
    label: Ints
    score: Floats
    step: Ints
    input: Any
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
    _parts: list[tuple[Any, ...]] = field(default_factory=list)
    _inputs: list[Any] = field(default_factory=list)

    def add(
        self, rows: Ints, time: Ints, label: Ints, score: Floats, step: Ints, input: Any
    ) -> None:
        """Adds answers about rows, those of a row in their order."""
        self._parts.append((rows, time, label, score, step))
        self._inputs.append(input)

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

    def answers(self, arena: Arena, *, columnar: bool) -> Answers:
        """All that was said; before the rows are given back."""
        inputs: Any = [part for part in self._inputs if len(part)]
        if columnar and inputs:
            inputs = np.concatenate([np.asarray(part) for part in inputs])
        else:
            inputs = [value for part in inputs for value in part]
        ints = np.zeros(0, np.int64)
        nothing = (ints, ints, ints, np.zeros(0, np.float32), ints)
        rows, time, label, score, step = (
            np.concatenate(parts) for parts in zip(nothing, *self._parts, strict=True)
        )
        rows, stream = np.unique(rows, return_inverse=True)
        each = rows.tolist()
        homes = [home for home in (arena.home[row] for row in each) if home is not None]
        return Answers(
            names=arena.names(each),
            homes=homes,
            stream=stream,
            time=time,
            label=label,
            score=score,
            step=step,
            input=inputs,
            bad=self.bad,
            late=self.late,
            duplicates=self.duplicates,
            gaps=self.gaps,
            waves=self.waves,
        )


def chosen(y: Floats) -> tuple[Ints, Floats]:
    """The label of each row of y (n, C) and its score.

    One output alone is the probability of the second of two classes.
    """
    if y.shape[1] == 1:
        return (y[:, 0] >= 0.5).astype(np.int64), y[:, 0]
    label: Ints = y.argmax(axis=1)
    return label, y[np.arange(len(y)), label]
