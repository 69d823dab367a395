"""A stateful feature between the events of streams and their inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from beam_rnn.errors import InputError, StateError
from beam_rnn.nn.inputs import Inputs
from beam_rnn.streams.entries import Entries
from beam_rnn.streams.event import why
from beam_rnn.streams.feature import Feature, Piece
from beam_rnn.streams.limits import Limits


@dataclass
class Feeding:
    """Feeds the values of many rows to a feature, and collects the inputs that come out.

    Attributes:
      feature: what makes inputs from values.
      wanted: what checks the inputs.
      limits: how much may be remembered.
      careful: whether inputs are checked value by value, which tells the bad ones; else all at
        once, in ``entries``, which is faster and raises if one is bad.
      memory: what the feature remembers of each row fed, as it is now.
      closed: rows whose sequence from before these events ended before it got another input,
        and when (microseconds).
      bad: source, row and time of the events that failed, and why.
      unfinished: row and time of the sequences whose end the feature could not finish, and why.
      empty: source, row and time of the events that ended a sequence of which the feature
        remembered something, but made no input at all. An end where nothing waits is none.
    """

    feature: Feature
    wanted: Inputs
    limits: Limits
    careful: bool = True
    memory: dict[int, bytes] = field(default_factory=dict)
    closed: dict[int, int] = field(default_factory=dict)
    bad: list[tuple[int, int, int, str]] = field(default_factory=list)
    unfinished: list[tuple[int, int, str]] = field(default_factory=list)
    empty: list[tuple[int, int, int]] = field(default_factory=list)
    _row: list[int] = field(default_factory=list)
    _time: list[int] = field(default_factory=list)
    _end: list[bool] = field(default_factory=list)
    _until: list[int] = field(default_factory=list)
    _input: list[Any] = field(default_factory=list)
    _x: list[Any] = field(default_factory=list)
    _began: dict[int, int] = field(default_factory=dict)  # where a row's present sequence begins

    def begin(self, row: int, memory: bytes, steps: int) -> None:
        """Goes on with the sequence of a row, which has had ``steps`` inputs."""
        self.memory[row] = memory
        self._began[row] = -1 if steps else len(self._row)  # -1: before these events

    def feed(self, source: int, row: int, time: int, value: Any) -> bool:
        """Feeds a value; where it fails, nothing of it is taken and False is returned."""
        try:
            pieces, memory = self.feature.feed(value, self.memory[row])
            if len(memory) > self.limits.memory_bytes:
                size, most = len(memory), self.limits.memory_bytes
                raise InputError(f"to be remembered: {size} bytes, memory_bytes is {most}")
            self._check(pieces)
        except Exception as error:  # whatever the value made the feature raise
            self.bad.append((source, row, time, why(error)))
            return False
        self._add(row, time, pieces)
        self.memory[row] = memory
        return True

    def end(self, row: int, time: int, source: int | None = None) -> None:
        """Ends the sequence of a row, with what its memory still holds.

        ``source``: the event with which it ends, or None where it ends without one.
        """
        fruitless = bool(self.memory[row])
        if self.memory[row]:
            try:
                pieces = self.feature.finish(self.memory[row])
                self._check(pieces)
            except StateError:  # no sequence is to blame
                raise
            except Exception as error:  # as above
                pieces, fruitless = [], False
                self.unfinished.append((row, time, why(error)))
            self._add(row, time, pieces)
            self.memory[row] = b""
        began = self._began[row]
        last = len(self._row) - 1
        if last >= 0 and self._row[last] == row and last >= began:
            self._end[last] = True
            self._until[last] = time
        elif began < 0:
            self.closed[row] = time
        elif source is not None and fruitless:
            self.empty.append((source, row, time))
        self._began[row] = len(self._row)

    def _check(self, pieces: list[Piece]) -> None:
        if pieces and self.careful:
            self.wanted.check(np.array([x for _, x in pieces]))

    def _add(self, row: int, time: int, pieces: list[Piece]) -> None:
        for value, x in pieces:
            self._row.append(row)
            self._time.append(time)
            self._end.append(False)
            self._until.append(time)
            self._input.append(value)
            self._x.append(x)

    def entries(self) -> Entries:
        """The inputs, grouped as the rows were fed.

        Raises:
          InputError: one is bad or of another kind than the rest, where this is not ``careful``.
        """
        n = len(self._row)
        if self.careful or not n:
            shape = (n, *self.wanted.shape)
            x = self.wanted.check(np.array(self._x, None if n else np.int64).reshape(shape))
        else:
            x = self.wanted.stack(self._x)
        return Entries(
            np.array(self._row, np.int64),
            np.array(self._time, np.int64),
            np.array(self._end, np.bool_),
            np.array(self._until, np.int64),
            np.zeros(n, np.bool_),
            np.arange(n),
            x,
            self._input,
        )
