"""One cell made ready to run: many rows stepped together, in scratch that is made once.

Pre-activations travel in blocks (gates * blocks, n, nb), see the drawing in ``kernels``: gate
after gate, so every gate of a tile is one piece of memory that NumPy walks in one run. As columns
of (n, 4H) each row would start anew: at H = 32 a product of two gates takes 4 times as long.
"""

from __future__ import annotations

import math
import threading
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from beam_rnn.nn import kernels
from beam_rnn.nn.parameters import Floats

_CLOSE = 2048  # floats of h up to which gathering each step's p into one piece pays


def _block_width(H: int) -> int:
    """How many units make a block: 64 is the fastest product, where it does not pad too much."""
    cost = {nb: -(-H // nb) * nb * slower for nb, slower in ((64, 1.0), (32, 1.1), (16, 1.3))}
    return min(cost, key=lambda nb: cost[nb])


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


class Kernel:
    """One cell made ready to run.

    Attributes:
      H: units.
      padded: units with those that fill up the last block; their weights are zero, and so are
        their values, forever.
      nb: units in a block.
      blocks: blocks of one gate.
      tile: most rows of one step; more are stepped tile by tile.
    """

    states: ClassVar[int] = 1  # vectors of H units in a state row
    few: ClassVar[int] = kernels.FEW  # rows up to which products come as rows, not in blocks

    def __init__(self, W_x: Floats, W_a: Floats, b: Floats) -> None:
        self.H = W_a.shape[1]
        self.nb = _block_width(self.H)
        self.blocks = -(-self.H // self.nb)
        self.padded = self.blocks * self.nb
        self.input = kernels.Product(self._in_blocks(np.column_stack([W_x, b])))
        self.hidden = self._hidden(W_a)
        self.gates = len(W_x) // self.H
        self.input_size = W_x.shape[1]
        self.tile = min(self.hidden.tile, self.input.tile)
        self._threads = threading.local()  # one kernel serves many threads, each its own scratch

    def _in_blocks(self, W: Floats) -> Floats:
        """(G * H, K) -> (G * blocks, nb, K), zeros where units fill up a block."""
        G, K = len(W) // self.H, W.shape[1]
        out = np.zeros((G, self.padded, K), np.float32)
        out[:, : self.H] = W.reshape(G, self.H, K)
        return out.reshape(G * self.blocks, self.nb, K)

    def _hidden(self, W_a: Floats) -> kernels.Product:
        wide = np.zeros((len(W_a), self.padded), np.float32)
        wide[:, : self.H] = W_a
        return kernels.Product(self._in_blocks(wide))

    def project(self, x: NDArray[Any], table: Floats | None = None) -> Floats:
        """The half of the pre-activation that does not need a: W_x x + b.

        Args:
          x: (n, D); or with ``table`` ids (n,).
          table: (gates * blocks, V, nb) this half for each id.

        Returns:
          (gates * blocks, n, nb).
        """
        if table is not None:
            return np.take(table, x, 1, mode="clip")
        n, D = x.shape
        rows = n + n % 2  # products are fastest on pairs
        x_1 = np.zeros((rows, D + 1), np.float32)
        x_1[:n, :D] = x
        x_1[:, D] = 1
        p = np.empty((self.gates * self.blocks, rows, self.nb), np.float32)
        return self.input(x_1, p)[:, :n]

    def rows(self, n: int) -> Rows:
        """This thread's scratch for n <= tile rows."""
        scratch: Scratch | None = getattr(self._threads, "scratch", None)
        if scratch is None:
            scratch = self._threads.scratch = Scratch(1 << 14)
        awake = scratch.awake
        if awake is not None and awake.n == n:
            return awake
        found = scratch.views.get(n)
        while found is None:
            scratch.used = 0
            try:
                found = scratch.views[n] = self._make_rows(n, scratch)
            except Full:
                scratch = self._threads.scratch = Scratch(2 * len(scratch.memory))
        found.wake()
        scratch.awake = found
        return found

    def _make_rows(self, n: int, scratch: Scratch) -> Rows:
        raise NotImplementedError

    def step(
        self, x: NDArray[Any], a: Floats, table: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """One step of n rows: ``run`` for once, without what only many rows or steps need.

        Returns:
          h (n, H) and the new states (n, S).
        """
        h = np.empty((len(a), self.H), np.float32)
        after = np.empty_like(a, order="C")
        self._once(x, a, table, h, after)
        return h, after

    def _once(
        self, x: NDArray[Any], a: Floats, table: Floats | None, h: Floats, after: Floats
    ) -> None:
        """``step`` into ``h`` and ``after``, which may be ``a``."""
        n, tile = len(a), self.tile
        if 0 < n <= tile:
            rows = self.rows(n)
            rows.load(a)
            rows.step(rows.h, rows.project(x, table), rows.h_blocks)
            rows.store(after)
            np.copyto(h, rows.h_units)
            return
        for low in range(0, n, tile):
            part = slice(low, low + tile)
            self._once(x[part], a[part], table, h[part], after[part])

    def run(
        self, x: NDArray[Any], a: Floats, h: Floats, times: int = 1, table: Floats | None = None
    ) -> None:
        """Steps the same m states ``times`` times, tile by tile, each through all steps.

        Args:
          x: (times * m, D) inputs, those of the first step first; or ids for ``table``.
          a: (m, S) states, advanced in place.
          h: (times * m, padded) float32, becomes the hidden vectors.
          table: as for ``project``.
        """
        m = len(a)
        if times == 1:
            self._once(x, a, table, h[:, : self.H], a)
            return
        h_blocks = h.reshape(len(h), self.blocks, self.nb).transpose(1, 0, 2)
        for low in range(0, m, self.tile):
            n = min(self.tile, m - low)
            rows = self.rows(n)
            rows.load(a[low : low + n])
            for at in range(low, low + times * m, m):
                p = rows.project(x[at : at + n], table)
                rows.step(rows.h, p, h_blocks[:, at : at + n])
                np.copyto(rows.h_rows, h[at : at + n])
            rows.store(a[low : low + n])

    def run_projected(self, p: Floats, a: Floats, h: Floats, times: int) -> None:
        """``run`` of m <= tile rows whose input half is there.

        Args:
          p: (gates * blocks, times * m, nb).
          a: (m, S) states, advanced in place.
          h: (times * m + 1, padded) float32; the last row is not used, but read.
          times: steps.
        """
        m = len(a)
        rows = self.rows(m)
        rows.load(a)
        if times == 1:
            rows.step(rows.h, p, rows.h_blocks)
            np.copyto(h[:m], rows.h_rows)
            rows.store(a)
            return
        p = p.reshape(-1, times, m, self.nb).transpose(1, 0, 2, 3)
        if m * self.padded <= _CLOSE:
            p = np.ascontiguousarray(p)  # so that ufuncs take their short way
        h_steps = h[: times * m].reshape(times, m, self.blocks, self.nb).transpose(0, 2, 1, 3)
        # What a step wrote is what the next one reads, one row more if m is odd: pairs. What that
        # row holds does not matter, except that NaN would warn.
        if m % 2:
            h[:] = 0
        row = h.strides[0]
        pairs = as_strided(h, (times, m + m % 2, self.padded), (m * row, row, h.itemsize))
        step, before = rows.step, rows.h
        for p_t, out, after in zip(p, h_steps, pairs, strict=True):
            step(before, p_t, out)
            before = after
        np.copyto(rows.h_rows, before[:m])
        rows.store(a)


class Rows:
    """The arrays that a step of n rows needs, with every view built once.

    Building them costs more than a step of one row.

    Attributes:
      h: (n or n + 1, padded) hidden vectors in pairs of rows; ``h_rows`` (n, padded) and
        ``h_blocks`` (blocks, n, nb) are views of it.
      z: what the product of ``h`` gives, (G * blocks, n or n + 1, nb), ``z_rows`` n rows of it.
      gates: the same in exactly n rows, so in one piece; ``z`` itself if n is even.
    """

    def __init__(
        self, kernel: Kernel, n: int, scratch: Scratch, gates: int | None = None, more: int = 0
    ) -> None:
        """``gates``: those that the hidden product gives; ``more``: vectors kept after them."""
        Hb, nb, width = kernel.blocks, kernel.nb, kernel.padded
        G = kernel.gates if gates is None else gates
        pairs = n + n % 2
        self.n, self.blocks = n, Hb
        state = scratch.take(pairs, kernel.states * width)
        self.whole_state = state
        self.h = state[:, :width]
        self.h_rows = self.h[:n]
        self.h_units = self.h_rows[:, : kernel.H]
        by_block = state[:n].reshape(n, -1, nb).transpose(1, 0, 2)
        self.h_blocks = by_block[:Hb]
        self.more_blocks = by_block[Hb:]
        # What a cell keeps in blocks of its own: pairs (where it is in the state, scratch).
        self.loads: list[tuple[Floats, Floats]] = []
        self.stores: list[tuple[Floats, Floats]] = []
        # Where a row (n, S) goes, which has no units that fill up a block.
        self.state = state[:n]
        self.shape: tuple[int, ...] | None = None
        if width != kernel.H:
            self.shape = n, kernel.states, kernel.H
            units = state[:n].reshape(n, kernel.states, width)
            self.state, self.fill = units[..., : kernel.H], units[..., kernel.H :]
        together = scratch.take((G + more) * Hb, n, nb)
        self.gates = together[: G * Hb]
        self.gates_and_more = together
        self.gate = [together[k * Hb : (k + 1) * Hb] for k in range(G + more)]
        self.z, self.z_rows, self.multiply = destination(
            kernel.hidden, n, self.gates, kernel.few, scratch
        )
        self.x = scratch.take(pairs, kernel.input_size + 1)
        self.x_rows = self.x[:n, :-1]
        self.p_ids = scratch.take(kernel.gates * Hb, n, nb)
        self.p, self.p_rows, self.multiply_x = destination(
            kernel.input, n, self.p_ids, kernel.few, scratch
        )

    def wake(self) -> None:
        """Sets what must hold while others' views of this memory are not used."""
        self.whole_state[:] = 0  # units that fill up a block, the row that fills up a pair
        self.x[self.n :] = 0
        self.x[:, -1] = 1

    def project(self, x: NDArray[Any], table: Floats | None) -> Floats:
        """``Kernel.project`` into scratch: what it gave before is lost."""
        if table is not None:
            return np.take(table, x, 1, self.p_ids, "clip")
        np.copyto(self.x_rows, x)
        self.multiply_x(self.x, self.p)
        return self.p_rows

    def load(self, a: Floats) -> None:
        """Takes the states (n, S)."""
        if self.shape is None:
            np.copyto(self.state, a)
        else:
            np.copyto(self.state, a.reshape(self.shape))
            self.fill[...] = 0  # a row that overflowed left NaN here, and 0 * NaN is NaN
        for blocks, scratch in self.loads:
            np.copyto(scratch, blocks)

    def store(self, a: Floats) -> None:
        """Gives the states (n, S) back, h being in ``h``."""
        for blocks, scratch in self.stores:
            np.copyto(blocks, scratch)
        np.copyto(a if self.shape is None else a.reshape(self.shape), self.state)

    def step(self, h: Floats, p: Floats, out: Floats) -> None:
        """One step from the hidden rows ``h`` (pairs, padded) to ``out`` (blocks, n, nb)."""
        raise NotImplementedError


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
