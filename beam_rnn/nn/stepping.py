"""One cell made ready to run: steps of many rows, and runs of the same rows."""

from __future__ import annotations

import functools
import importlib
import os
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from beam_rnn.nn import kernels
from beam_rnn.nn.parameters import Floats, Ints
from beam_rnn.nn.rows import Full, Rows, Scratch, Step

COMPILED = "BEAM_RNN_COMPILED"  # 0 in the environment: by NumPy alone
_BLOCK = 1 << 17  # floats of input halves computed at once: large enough for BLAS, small in cache
_MANY = 12  # rows of a wave beyond which its input half is fast by itself
_CLOSE = 2048  # floats of h up to which gathering each step's p into one piece pays
_SHORT = 2048  # floats of h up to which copying states costs less than making views of them


def _block_width(H: int) -> int:
    """How many units make a block: 64 is the fastest product, where it does not pad too much."""
    cost = {nb: -(-H // nb) * nb * slower for nb, slower in ((64, 1.0), (32, 1.1), (16, 1.3))}
    return min(cost, key=lambda nb: cost[nb])


class Wave(NamedTuple):
    """One step of many streams: the rows of the state that step, each at most once.

    Attributes:
      rows: places in the state array, as indices (m,) or a slice without a step.
      size: m.
      fresh: places of the rows whose sequence begins here (set to zero first), or None.
    """

    rows: slice | Ints
    size: int
    fresh: Ints | None = None


def _goes_on(wave: Wave, rows: slice) -> bool:
    """Whether a wave steps the same rows again."""
    again, size, fresh = wave
    if fresh is not None:
        return False
    if again is rows:
        return True
    if isinstance(again, slice):
        return again == rows
    return size == 1 and rows.stop - rows.start == 1 and bool(again[0] == rows.start)


def in_order(run: Callable[[NDArray[Any]], Floats], x: NDArray[Any], order: Ints | None) -> Floats:
    """``run`` of x[order], each result where its input is in x; of x itself without an order."""
    if order is None:
        return run(x)
    stepped = run(x[order])
    result = np.empty_like(stepped)
    result[order] = stepped
    return result


class Steps(Protocol):
    """What a cell needs of its kernel."""

    gates: int
    padded: int
    tile: int

    def project(self, x: NDArray[Any]) -> Floats: ...

    def step(
        self, x: NDArray[Any], a: Floats, table: Floats | None = None
    ) -> tuple[Floats, Floats]: ...

    def run_waves(
        self,
        x: NDArray[Any],
        a: Floats,
        waves: Sequence[Wave],
        table: Floats | None = None,
        order: Ints | None = None,
    ) -> Floats: ...


def fastest(kernel: Kernel) -> Steps:
    """The compiled twin of a kernel where numba is installed, or else the kernel itself.

    Both give the same bits.
    """
    compiled = None if forbidden() else _compiled()
    return (compiled and compiled.twin(kernel)) or kernel


def forbidden() -> bool:
    """Whether the environment forbids compiled steps."""
    return os.environ.get(COMPILED) == "0"


@functools.cache
def _compiled() -> ModuleType | None:
    try:
        return importlib.import_module("beam_rnn.nn.compiled")
    except (ImportError, RuntimeError):  # no numba; no folder where it may keep what it compiled
        return None


class Kernel:
    """One cell made ready to run by NumPy.

    Attributes:
      H: units.
      padded: units with those that fill up the last block; their weights are zero, and so are
        their values, forever.
      nb: units in a block.
      blocks: blocks of one gate.
      tile: most rows of one step; more are stepped tile by tile.
      weights: [W_x | b] and W_a as the step has them: gates in its order, some of them halved.
    """

    states: ClassVar[int] = 1  # vectors of H units in a state row
    few: ClassVar[int]  # rows up to which products come as rows, not in blocks
    loads: ClassVar[bool] = False  # whether a step reads the state's last vector in blocks,
    stores: ClassVar[bool] = False  # and leaves it there

    def __init__(self, W_x: Floats, W_a: Floats, b: Floats) -> None:
        self.H = W_a.shape[1]
        self.nb = _block_width(self.H)
        self.blocks = -(-self.H // self.nb)
        self.padded = self.blocks * self.nb
        self.weights = np.column_stack([W_x, b]), W_a
        self.input = kernels.Product(self._in_blocks(self.weights[0]))
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
                found = scratch.views[n] = Rows(self, n, scratch)
            except Full:
                scratch = self._threads.scratch = Scratch(2 * len(scratch.memory))
        found.wake()
        scratch.awake = found
        return found

    def make_step(self, rows: Rows, scratch: Scratch) -> Step:
        """The step of ``rows``, which may take more of the scratch."""
        raise NotImplementedError

    def step(
        self, x: NDArray[Any], a: Floats, table: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """One step of n rows.

        Returns:
          h (n, H) and the new states (n, S).
        """
        n = len(a)
        if 0 < n <= self.tile and n * self.padded <= _SHORT:
            return self.rows(n).once(x, a, table)
        after = np.empty(a.shape, np.float32)
        self._once(x, a, table, after)
        return after[:, : self.H].copy(), after

    def _once(self, x: NDArray[Any], a: Floats, table: Floats | None, after: Floats) -> None:
        """One step of any number of rows from ``a`` to ``after``, which may be the same."""
        for low in range(0, len(a), self.tile):
            part = slice(low, low + self.tile)
            self.rows(len(a[part])).advance(x[part], a[part], table, after[part])

    def run_waves(
        self,
        x: NDArray[Any],
        a: Floats,
        waves: Sequence[Wave],
        table: Floats | None = None,
        order: Ints | None = None,
    ) -> Floats:
        """Steps through waves.

        Args:
          x: (n, D) inputs, those of the first wave first; or ids (n,) for ``table``.
          a: (R, S) states of all streams, advanced in place.
          waves: what steps when; their sizes add up to n.
          table: as for ``project``.
          order: (n,) where in x the inputs are, those of the first wave first, or None: so already.

        Returns:
          (n, H) hidden vectors in the order of ``x``.
        """
        if order is not None:
            return in_order(lambda x: self.run_waves(x, a, waves, table), x, order)
        block = _BLOCK // (self.gates * self.padded)
        many = min(_MANY, self.tile)
        h = np.empty((len(x) + 1, self.padded), np.float32)
        start = projected_to = i = 0
        while i < len(waves):
            rows, m, fresh = waves[i]
            i += 1
            if not m:
                continue
            if m == 1 and not isinstance(rows, slice):
                rows = slice(int(rows[0]), int(rows[0]) + 1)
            times = 1
            if isinstance(rows, slice):
                # As long as the same rows step, they stay in place.
                first, again = i, waves[i - 1] if fresh is None else None
                most = min(len(waves), first + block // m - 1)
                while i < most and (waves[i] is again or _goes_on(waves[i], rows)):
                    i += 1
                times += i - first
            if fresh is not None:
                a[fresh] = 0
            if isinstance(rows, slice):
                s = a[rows]
            else:
                # take is faster, but of a part of each row (a stack) it would copy all rows first.
                s = a.take(rows, 0, mode="clip") if a.flags.c_contiguous else a[rows]
            stop = start + times * m
            if m > many:
                self._run(x[start:stop], s, h[start:stop], times, table)
            else:
                if stop > projected_to:
                    # The input half of few rows: together with that of the small waves that follow.
                    base, projected_to = start, stop
                    for j in range(i, len(waves)):
                        size = waves[j].size
                        if size > many or projected_to + size - base > block:
                            break
                        projected_to += size
                    p = self.project(x[base:projected_to], table)
                    if m == 1:
                        # Each row in one piece, as long as there are single ones.
                        p = np.ascontiguousarray(p.transpose(1, 0, 2)).transpose(1, 0, 2)
                self._run_projected(p[:, start - base : stop - base], s, h[start : stop + 1], times)
            if not isinstance(rows, slice):
                a[rows] = s
            start = stop
        h = h[:-1]
        return h if self.padded == self.H else np.ascontiguousarray(h[:, : self.H])

    def _run(
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
            self._once(x, a, table, a)
            h[:, : self.H] = a[:, : self.H]
            return
        h_blocks = h.reshape(len(h), self.blocks, self.nb).transpose(1, 0, 2)
        for low in range(0, m, self.tile):
            n = min(self.tile, m - low)
            rows = self.rows(n)
            rows.load(a[low : low + n])
            before = rows.h
            for at in range(low, low + times * m, m):
                p = rows.project(x[at : at + n], table)
                rows.step(before, p, h_blocks[:, at : at + n])
                if n % 2:
                    rows.h_rows[...] = h[at : at + n]
                else:
                    before = h[at : at + n]
            rows.h_rows[...] = h[at : at + n]
            rows.store(a[low : low + n])

    def _run_projected(self, p: Floats, a: Floats, h: Floats, times: int) -> None:
        """``_run`` of m <= tile rows whose input half is there.

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
            h[:m] = rows.h_rows
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
        rows.h_rows[...] = before[:m]
        rows.store(a)
