"""The memory of a step: scratch that is made once, and every view of it.

Pre-activations travel in blocks (gates * blocks, n, nb), see the drawing in ``kernels``: gate
after gate, so every gate of a tile is one piece of memory that NumPy walks in one run. As columns
of (n, 4H) each row would start anew: at H = 32 a product of two gates takes 4 times as long.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beam_rnn.nn import kernels
from beam_rnn.nn.parameters import Floats

if TYPE_CHECKING:
    from beam_rnn.nn.stepping import Kernel

# step(h, p, out): one step from the hidden rows h (pairs, padded) with the input half p
# (gates * blocks, n, nb) to out (blocks, n, nb).
Step = Callable[[Floats, Floats, Floats], None]


class Full(Exception):
    """The scratch is too small."""


class Scratch:
    """Memory of one kernel in one thread, carved anew for each number of rows.

    All numbers of rows share it, so it stays in cache and small whatever sizes of batches come.
    """

    def __init__(self, floats: int) -> None:
        raw = np.zeros(floats + 16, np.float32)
        start = -raw.__array_interface__["data"][0] % 64 // 4  # begin on a cache line
        self.memory = raw[start : start + floats]
        self.used = 0
        self.views: dict[int, Rows] = {}
        self.awake: Rows | None = None

    def take(self, *shape: int) -> Floats:
        """The next piece; what it holds is what others left there."""
        start, size = self.used, math.prod(shape)
        self.used += -(-size // 16) * 16
        if self.used > len(self.memory):
            raise Full
        return self.memory[start : start + size].reshape(shape)


class Rows:
    """The arrays that a step of n rows needs, with every view built once.

    Building them costs more than a step of one row. What a step works on lies together, so that
    one ufunc serves several vectors; where a single row steps, its state is a part of that:

        n > 1:  state, row after row [h c] [h c] ...      in blocks [c | g | f | i | o]   (LSTM)
        n = 1:  [h | c | g | f | i | o], whose first two are the state

    Attributes:
      state: (n, S) or (n, states, H) a view without the units that fill up blocks.
      h: (n or n + 1, padded) hidden vectors in pairs of rows; ``h_rows`` (n, padded) and
        ``h_blocks`` (blocks, n, nb) are views of it.
      z: what the product of ``h`` gives, (G * blocks, n or n + 1, nb), ``z_rows`` n rows of it.
      gates: the same in exactly n rows, so in one piece; ``z`` itself if n is even.
      kept: (blocks, n, nb) the last vector of the state; ``gates`` follow it in memory.
      before: (blocks, n, nb) where GRU finds the hidden vectors again: ``kept``, or in a run of a
        single row what the step before wrote.
      constants: what a step reads besides: (where it lies, what it must be).
      step: the step.
    """

    def __init__(self, kernel: Kernel, n: int, scratch: Scratch) -> None:
        Hb, nb, width, states = kernel.blocks, kernel.nb, kernel.padded, kernel.states
        G = kernel.gates
        self.n, self.nb, self.H, self.S = n, nb, kernel.H, states * kernel.H
        pairs = n + n % 2
        if n == 1:
            memory = scratch.take(2, (states + G) * width)
            rows = memory[:, : states * width]
            together = memory[0].reshape(-1, 1, nb)[(states - 1) * Hb :]
        else:
            rows = scratch.take(pairs, states * width)
            together = scratch.take((1 + G) * Hb, n, nb)
        self.all_rows = rows
        self.h = rows[:, :width]
        self.h_rows = self.h[:n]
        self.h_units = self.h_rows[:, : kernel.H]
        self.state = rows[:n]
        self.shape: tuple[int, ...] | None = None
        if width != kernel.H:
            self.shape = n, states, kernel.H
            units = rows[:n].reshape(n, states, width)
            self.state, self.fill = units[..., : kernel.H], units[..., kernel.H :]
        state_blocks = rows[:n].reshape(n, -1, nb).transpose(1, 0, 2)
        self.h_blocks = state_blocks[:Hb]
        self.kept_in = slice((states - 1) * Hb, states * Hb)
        self.kept_blocks = state_blocks[self.kept_in]
        self.kept = together[:Hb]
        self.gates = together[Hb:]
        self.together = together
        self.gate = [self.gates[k * Hb : (k + 1) * Hb] for k in range(G)]
        self.loads = kernel.loads and n > 1
        self.stores = kernel.stores and n > 1
        hidden = kernel.hidden
        self.z, self.z_rows, self.multiply = destination(
            hidden, n, self.gates[: hidden.width], kernel.few, scratch
        )
        self.x = scratch.take(pairs, kernel.input_size + 1)
        self.x_rows = self.x[:n, :-1]
        self.p_ids = scratch.take(kernel.gates * Hb, n, nb)
        self.p, self.p_rows, self.multiply_x = destination(
            kernel.input, n, self.p_ids, kernel.few, scratch
        )
        self.before = self.kept
        self.constants: list[tuple[Floats, Floats]] = []
        self.step = kernel.make_step(self, scratch)

    def wake(self) -> None:
        """Sets what must hold while others' views of this memory are not used."""
        self.all_rows[:] = 0  # units that fill up a block, the row that fills up a pair
        self.x[self.n :] = 0
        self.x[:, -1] = 1
        for array, value in self.constants:
            array[...] = value

    def project(self, x: NDArray[Any], table: Floats | None) -> Floats:
        """``Kernel.project`` into scratch: what it gave before is lost."""
        if table is not None:
            return table.take(x, 1, self.p_ids, "clip")
        self.x_rows[...] = x
        self.multiply_x(self.x, self.p)
        return self.p_rows

    def load(self, a: Floats) -> None:
        """Takes the states (n, S)."""
        if self.shape is None:
            self.state[...] = a
        else:
            self.state[...] = a.reshape(self.shape)
            self.fill[...] = 0  # a row that overflowed left NaN here, and 0 * NaN is NaN
        self.before = self.kept
        if self.loads:
            self.kept[...] = self.kept_blocks

    def store(self, a: Floats) -> None:
        """Gives the states (n, S) back, h being in ``h``."""
        self.before = self.kept
        if self.stores:
            self.kept_blocks[...] = self.kept
        if self.shape is None:
            a[...] = self.state
        else:
            a.reshape(self.shape)[...] = self.state

    def once(self, x: NDArray[Any], a: Floats, table: Floats | None) -> tuple[Floats, Floats]:
        """One step by way of the scratch: h (n, H) and the new states (n, S)."""
        self.load(a)
        self.step(self.h, self.project(x, table), self.h_blocks)
        if self.stores:
            self.kept_blocks[...] = self.kept
        after = self.state.copy()
        return self.h_units.copy(), after if self.shape is None else after.reshape(self.n, self.S)

    def advance(self, x: NDArray[Any], a: Floats, table: Floats | None, after: Floats) -> None:
        """One step from the states ``a`` (n, S) to ``after``, which may be the same."""
        row, unit = a.strides
        if self.n % 2 or self.shape is not None or unit != 4 or row < 4 * self.S:
            self.load(a)
            self.step(self.h, self.project(x, table), self.h_blocks)
            self.store(after)
            return
        # Rows as BLAS wants them: read and written where they are.
        if self.loads:
            self.kept[...] = a.reshape(self.n, -1, self.nb).transpose(1, 0, 2)[self.kept_in]
        p = self.project(x, table)
        blocks = after.reshape(self.n, -1, self.nb).transpose(1, 0, 2)
        self.step(a[:, : self.H], p, blocks[: len(self.kept)])
        if self.stores:
            blocks[self.kept_in] = self.kept


def destination(
    product: kernels.Product, n: int, gates: Floats, few: int, scratch: Scratch
) -> tuple[Floats, Floats, Any]:
    """Where a product of n rows goes, n rows of that in blocks, and how to call it."""
    blocks, _, nb = gates.shape
    layout = product.layout
    z = scratch.take(blocks, n + 1, nb) if n % 2 else gates
    if not isinstance(layout, kernels.Stacked) or n > product.tile or layout.nb != nb:
        return z, z[:, :n], product
    # What the layout does with pairs of rows, without the calls that lead there.
    slabs, whole = layout.slabs, layout.whole
    if n <= few and whole is not None:
        z = scratch.take(n + n % 2, blocks * nb)
        z_rows = z[:n].reshape(n, blocks, nb).transpose(1, 0, 2)
        return z, z_rows, lambda x, out: x.dot(whole, out)
    return z, z[:, :n], lambda x, out: np.matmul(x, slabs, out)
