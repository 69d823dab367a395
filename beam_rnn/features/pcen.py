"""Log-mel rows -> energies that are measured by what was just heard in their band, and stacks."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from beam_rnn.errors import OptionError, StateError
from beam_rnn.features.audio import HEAD, Floats, Rows, RowsOf, parts_of
from beam_rnn.features.spectra import LogMel

__all__ = ["PCEN", "Stacked"]


@dataclass(frozen=True)
class PCEN(RowsOf):
    """A Feature: chunks of sound -> mel energies, each normalised in its band (Wang et al., 2017).

    M[t] = (1 - s) M[t-1] + s E[t], beginning at M = E[0];
    y[t] = (E[t] / (eps + M[t])^gain + bias)^power - bias^power.
    Loudness and steady noise go, what changes stays.

    Attributes:
      mel: the log-mel rows, natural logarithms.
      smooth: s, how fast M follows.
      gain: how much of M is divided away.
      bias: what is weak against it disappears.
      power: how far loud is compressed.
      eps: the energy below which nothing is lifted.

    Raises:
      OptionError: a number is out of its range, or the rows are decibels.
    """

    mel: LogMel
    smooth: float = 0.025
    gain: float = 0.98
    bias: float = 2.0
    power: float = 0.5
    eps: float = 1e-6

    def __post_init__(self) -> None:
        if not 0 < self.smooth <= 1:
            raise OptionError(f"smooth is {self.smooth}, expected 0 < s <= 1")
        if min(self.gain, self.bias) < 0 or min(self.power, self.eps) <= 0:
            raise OptionError("gain and bias must be 0 or more, power and eps above 0")
        if self.mel.decibels:
            raise OptionError("mel gives decibels, expected natural logarithms")

    @property
    def below(self) -> Rows:
        return self.mel

    def rows(self, value: Any, memory: bytes) -> tuple[int, Floats, bytes]:
        index, inner, mean = self._recall(memory)
        _, logs, inner = self.mel.rows(value, inner)
        rows, mean = self._normalised(logs, mean)
        return index, rows, HEAD.pack(index + len(rows), len(inner)) + inner + mean.tobytes()

    def last_rows(self, memory: bytes) -> tuple[int, Floats]:
        index, inner, mean = self._recall(memory)
        _, logs = self.mel.last_rows(inner)
        return index, self._normalised(logs, mean)[0]

    def _normalised(self, logs: Floats, mean: Any) -> tuple[Floats, Any]:
        if not len(logs):
            return logs, mean
        energy = np.exp(logs.astype(np.float64))
        if not len(mean):
            mean = energy[0]
        means = self.smooth * energy
        kept = 1 - self.smooth
        for row in means:
            row += kept * mean
            mean = row
        steady = (self.eps + means) ** -self.gain
        rows = (energy * steady + self.bias) ** self.power - self.bias**self.power
        return rows.astype(np.float32), mean

    def _recall(self, memory: bytes) -> tuple[int, bytes, Any]:
        """Rows given, the memory of the mel rows, M (none at the start)."""
        if not memory:
            return 0, b"", np.zeros(0)
        index, inner, rest = parts_of(memory)
        if len(rest) not in (0, 8 * self.width):
            raise StateError(f"the memory of {self.width} bands has {len(rest)} bytes")
        return index, inner, np.frombuffer(rest, "<f8")


@dataclass(frozen=True)
class Stacked(Rows):
    """A Feature: rows of another one, several in a row [first | second | ...].

    At the end an incomplete stack is filled up with its last row.

    Attributes:
      feature: LogMel, MFCC, PCEN, ...
      number: rows of a stack.

    Raises:
      OptionError: a number is out of its range.
    """

    feature: Rows
    number: int

    def __post_init__(self) -> None:
        if not isinstance(self.feature, Rows):
            raise OptionError(f"feature is {self.feature!r}, expected Frames, LogMel, PCEN, ...")
        if self.number < 1:
            raise OptionError(f"number is {self.number}, expected 1 or more")

    @property
    def width(self) -> int:
        return self.number * self.feature.width

    def start(self, index: int) -> float:
        return self.feature.start(index * self.number)

    @property
    def seconds(self) -> float:
        return self.number * self.feature.seconds

    def rows(self, value: Any, memory: bytes) -> tuple[int, Floats, bytes]:
        index, inner, tail = self._recall(memory)
        _, rows, inner = self.feature.rows(value, inner)
        known = np.concatenate([tail, rows])
        n = len(known) // self.number
        whole, tail = known[: n * self.number], known[n * self.number :]
        head = HEAD.pack(index + n, len(inner)) + inner
        return index, whole.reshape(n, self.width), head + tail.tobytes()

    def last_rows(self, memory: bytes) -> tuple[int, Floats]:
        index, inner, tail = self._recall(memory)
        _, rows = self.feature.last_rows(inner)
        known = np.concatenate([tail, rows])
        missing = -len(known) % self.number
        if missing:
            known = np.concatenate([known, np.repeat(known[-1:], missing, axis=0)])
        return index, known.reshape(-1, self.width)

    def _recall(self, memory: bytes) -> tuple[int, bytes, Floats]:
        width = self.feature.width
        if not memory:
            return 0, b"", np.zeros((0, width), np.float32)
        index, inner, rest = parts_of(memory)
        if len(rest) % (4 * width) or len(rest) >= 4 * self.width:
            raise StateError(f"the memory of a stack of {self.number} has {len(rest)} bytes")
        return index, inner, np.frombuffer(rest, "<f4").reshape(-1, width)
