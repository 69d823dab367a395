"""Layers that need the whole sequence: a cell in both directions, a CRF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from beam_rnn.errors import ModelError
from beam_rnn.nn.cells import Cell
from beam_rnn.nn.convolution import Context
from beam_rnn.nn.layers import Embedding, Layer, Shape
from beam_rnn.nn.parameters import Floats, Frozen, Ints, later
from beam_rnn.nn.stepping import Wave as Wave
from beam_rnn.nn.stepping import in_order

_ROWS = 128  # rows through the layers before a cell at once: what is between stays in cache
_TABLE = 1 << 26  # bytes of the input halves of all ids, up to which they are kept


@dataclass(frozen=True, eq=False)
class Stage:
    """A cell, or a Context, with the stateless layers before it.

    Attributes:
      front: those layers.
      cell: what has a state.
    """

    front: Sequence[Layer]
    cell: Cell | Context

    @cached_property
    def table(self) -> Floats | None:
        """The input half of each id, where an Embedding alone feeds the cell and it is small.

        The rows of a product do not depend on each other, so gathering rows of E W_x + b gives
        the same bits as the product of gathered rows of E, without the product.
        """
        if len(self.front) != 1 or not isinstance(self.front[0], Embedding):
            return None
        if isinstance(self.cell, Context):
            return None
        kernel, E = self.cell.kernel, self.front[0].E
        if len(E) * kernel.gates * kernel.padded * 4 > _TABLE:
            return None
        return np.ascontiguousarray(kernel.project(E))

    def feed(self, x: np.ndarray) -> np.ndarray:
        """What the cell reads: its input vectors, or ids where there is a table."""
        if self.table is not None or not self.front:
            return x
        parts = []
        for low in range(0, max(len(x), 1), _ROWS):
            part = x[low : low + _ROWS]
            for layer in self.front:
                part = layer.apply(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def run(
        self, x: np.ndarray, a: Floats, waves: Sequence[Wave], order: Ints | None = None
    ) -> Floats:
        """Steps through waves, ``a`` (R, S) in place; returns what comes out, in the order of x."""
        fed = self.feed(x)
        if not isinstance(self.cell, Context):
            return self.cell.kernel.run_waves(fed, a, waves, self.table, order)
        cell = self.cell
        return in_order(lambda x: cell.run(x, a, waves), fed, order)

    def step(self, x: np.ndarray, a: Floats) -> tuple[Floats, Floats]:
        """One step of n rows: h (n, H) and the new states (n, S)."""
        return self.step_fed(self.feed(x) if self.front else x, a)

    def step_fed(self, x: np.ndarray, a: Floats) -> tuple[Floats, Floats]:
        """``step`` of what ``feed`` gave."""
        if isinstance(self.cell, Context):
            after = a.copy()
            return self.cell.run(x, after, [Wave(slice(0, len(a)), len(a))]), after
        return self.cell.kernel.step(x, a, self.table)


@dataclass(frozen=True, eq=False)
class Bidirectional(Frozen):
    """Two cells over a whole sequence, one from each end: [forward | backward].

    Attributes:
      forward: the cell that reads from the first element.
      backward: the cell that reads from the last element.
      a_forward: (S,) the state that it begins with, where it was trained, or None: zeros.
      a_backward: (S',) likewise.

    Raises:
      ModelError: the cells take inputs of different widths, or an array has the wrong shape.
    """

    forward: Cell
    backward: Cell
    a_forward: Floats | None = later(None)
    a_backward: Floats | None = later(None)

    def __post_init__(self) -> None:
        if self.forward.input_size != self.backward.input_size:
            raise ModelError(
                f"Bidirectional: the forward cell takes {self.forward.input_size} features, the "
                f"backward cell {self.backward.input_size}"
            )
        for name, cell in (("a_forward", self.forward), ("a_backward", self.backward)):
            if getattr(self, name) is not None:
                self._freeze(name, (cell.state_size,))

    @property
    def in_shape(self) -> Shape:
        return (self.forward.input_size,)

    def out_shape(self, shape: Shape) -> Shape:
        self.backward.out_shape(shape)
        return (self.forward.out_shape(shape)[0] + self.backward.hidden_size,)

    def over(self, x: Floats) -> Floats:
        """Maps whole sequences, time first: (T, B, D) -> (T, B, H + H')."""
        T, B, D = x.shape
        waves = [Wave(slice(0, B), B)] * T
        halves = []
        for cell, initial, step in self._directions():
            a = np.zeros((B, cell.state_size), np.float32)
            if initial is not None:
                a[:] = initial
            h = cell.kernel.run_waves(x[::step].reshape(T * B, D), a, waves)
            halves.append(h.reshape(T, B, -1)[::step])
        return np.concatenate(halves, axis=2)

    def ends(self, x: Floats, lengths: Ints) -> Floats:
        """The last hidden vectors of both cells: (n, L, D), of lengths (n,) -> (n, H + H')."""
        n, L, _ = x.shape
        order = np.argsort(-lengths, kind="stable")  # the longest first: all waves are prefixes
        x, lengths = x[order], lengths[order]
        place, row = np.nonzero(np.arange(L)[:, None] < lengths)  # wave after wave
        waves = [Wave(slice(0, int(m)), int(m)) for m in np.bincount(place)]
        halves = []
        for cell, initial, step in self._directions():
            at = place if step > 0 else lengths[row] - 1 - place
            a = np.zeros((n, cell.state_size), np.float32)
            if initial is not None:
                a[:] = initial
            cell.kernel.run_waves(x[row, at], a, waves)
            halves.append(a[:, : cell.hidden_size])
        result = np.empty((n, self.forward.hidden_size + self.backward.hidden_size), np.float32)
        result[order] = np.concatenate(halves, axis=1)
        return result

    def _directions(self) -> tuple[tuple[Cell, Floats | None, int], ...]:
        return (self.forward, self.a_forward, 1), (self.backward, self.a_backward, -1)


@dataclass(frozen=True, eq=False)
class Spelling(Frozen):
    """What two cells know when each has read a row of ids from its end: (n, L) -> (n, H + H').

    The id 0 fills up behind the others; a row without others gives what the cells begin with.

    Attributes:
      E: (V, D), row i the vector of id i.
      cells: both.

    Raises:
      ModelError: E has the wrong shape.
    """

    E: Floats
    cells: Bidirectional

    def __post_init__(self) -> None:
        self._freeze("E", ("V", self.cells.forward.input_size))

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ModelError(f"Spelling takes rows of ids (L,), the layer before gives {shape}")
        return self.cells.out_shape((self.E.shape[1],))

    def apply(self, x: np.ndarray) -> Floats:
        """x (n, L) ids in 0..V-1."""
        lengths = x.shape[1] - (x[:, ::-1] != 0).argmax(axis=1)
        return self.cells.ends(self.E[x], np.where(x.any(axis=1), lengths, 0))


@dataclass(frozen=True, eq=False)
class CRF(Frozen):
    """A linear-chain conditional random field, decoded by Viterbi (Lafferty et al., 2001).

    Attributes:
      transitions: (C, C) score of going from label i (row) to label j (column).
      start: (C,) score of beginning with a label, or None.
      end: (C,) score of ending with a label, or None.

    Raises:
      ModelError: an array has the wrong shape.
    """

    transitions: Floats
    start: Floats | None = None
    end: Floats | None = None

    def __post_init__(self) -> None:
        C, _ = self._freeze("transitions", ("C", "C"))
        if self.transitions.shape != (C, C):
            raise ModelError(f"CRF.transitions has shape {self.transitions.shape}, expected (C, C)")
        for name in ("start", "end"):
            if getattr(self, name) is not None:
                self._freeze(name, (C,))

    @property
    def in_shape(self) -> Shape:
        return (len(self.transitions),)

    def out_shape(self, shape: Shape) -> Shape:
        if shape != self.in_shape:
            raise ModelError(
                f"CRF.transitions has {len(self.transitions)} labels, the layer before gives "
                f"{shape}"
            )
        return shape

    def over(self, x: Floats) -> Floats:
        """The best path of whole sequences, as one-hot rows: (T, B, C) -> (T, B, C)."""
        T, B, C = x.shape
        best = x[0] + (0 if self.start is None else self.start)
        back = np.empty((T, B, C), np.intp)
        for t in range(1, T):
            scores = best[:, :, None] + self.transitions  # (B, from, to)
            back[t] = scores.argmax(axis=1)
            best = np.take_along_axis(scores, back[t][:, None], axis=1)[:, 0] + x[t]
        if self.end is not None:
            best = best + self.end
        path = best.argmax(axis=1)
        y = np.zeros((T, B, C), np.float32)
        streams = np.arange(B)
        for t in range(T - 1, -1, -1):
            y[t, streams, path] = 1
            path = back[t, streams, path] if t else path
        return y
