"""The fast step: matrix products and gates whose bits do not depend on the batch.

A row's result must be the same bits alone and in any company (contract 2 of the design), which
``x @ W.T`` does not give: BLAS picks another order of summation for another number of rows.

The layout ("stacked") keeps W.T (K, N) as N / nb slabs, each K x nb, and multiplies a tile of
rows with each slab, small enough for the path of OpenBLAS that packs nothing::

        K              nb   nb         nb
    .-------.        .----.----.     .----.             N
    | tile  | T   x  |slab|slab| ... |slab| K   ->  .-------.
    '-------'        '----'----'     '----'       T |       |
                                                    '-------'

Rows travel in pairs: an odd last row is computed once more with its neighbour. Where the
self-test finds that this machine's BLAS breaks the rule, the next layout in the list serves.
The list is tried in a fixed order, never by time, so that every worker of one kind agrees.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from beam_rnn.nn.parameters import Floats

_SMALL = 1_000_000  # T * K * nb up to which OpenBLAS multiplies without packing
_ONE_THREAD = 4 * 65536  # rows * columns * K up to which OpenBLAS uses one thread


class _Layout(Protocol):
    rows: int  # most rows of one call

    def __call__(self, x: Floats, out: Floats) -> None: ...


class _Stacked:
    """Slabs of ``nb`` columns, tiles of an even number of rows."""

    def __init__(self, W: Floats, nb: int) -> None:
        N, K = W.shape
        blocks = -(-N // nb)
        padded = np.zeros((K, blocks * nb), np.float32)
        padded[:, :N] = W.T
        self.slabs = np.ascontiguousarray(padded.reshape(K, blocks, nb).transpose(1, 0, 2))
        self.rows = int(np.clip(_SMALL // (K * nb) // 4 * 4, 4, 512))
        self.width = N

    def __call__(self, x: Floats, out: Floats) -> None:
        n = len(x)
        even = n - n % 2
        if even:
            self._multiply(x[:even], out[:even])
        if n == 1:
            pair = np.zeros((2, x.shape[1]), np.float32)
            pair[0] = x[0]
            result = np.empty((2, self.width), np.float32)
            self._multiply(pair, result)
            out[0] = result[0]
        elif n % 2:
            self._multiply(x[-2:], out[-2:])

    def _multiply(self, x: Floats, out: Floats) -> None:
        blocks, _, nb = self.slabs.shape
        n = len(x)
        if self.width == blocks * nb and out.flags.c_contiguous:
            np.matmul(x, self.slabs, out.reshape(n, blocks, nb).transpose(1, 0, 2))
            return
        product = np.matmul(x, self.slabs)
        out[:] = product.transpose(1, 0, 2).reshape(n, -1)[:, : self.width]


class _Fixed:
    """Tiles of exactly ``rows`` rows, filled up with zeros, features first.

    W is cut into parts so small that BLAS uses one thread: more would make the bits depend on the
    number of cores, and on a busy machine wait far longer for each other than they compute.
    """

    def __init__(self, W: Floats, rows: int) -> None:
        N, K = W.shape
        most = max(3, _ONE_THREAD // (K * rows))
        self.parts = np.array_split(W, -(-N // most))
        self.rows = rows

    def __call__(self, x: Floats, out: Floats) -> None:
        n, K = x.shape
        tile = np.zeros((K, self.rows), np.float32)
        tile[:, :n] = x.T
        start = 0
        for W in self.parts:
            stop = start + len(W)
            out[:, start:stop] = np.matmul(W, tile)[:, :n].T
            start = stop


class _Plain:
    """No BLAS at all: each element is one dot product. Slow, and right everywhere."""

    rows = 64

    def __init__(self, W: Floats) -> None:
        self.W = W

    def __call__(self, x: Floats, out: Floats) -> None:
        np.einsum("bk,nk->bn", x, self.W, out=out, optimize=False)


def layouts(W: Floats) -> Iterator[_Layout]:
    """The candidates in the order in which they are tried; the last holds everywhere."""
    N, K = W.shape
    if K <= 600 and N >= 64:
        yield _Stacked(W, 64)
    if 4 * K * 32 <= _SMALL:
        yield _Stacked(W, 32)
    yield _Fixed(W, 16)
    yield _Fixed(W, 8)
    yield _Plain(W)


_chosen: dict[tuple[int, int], int] = {}  # shape -> place in the list; weights do not matter


def _holds(layout: _Layout, shape: tuple[int, int]) -> bool:
    """Whether each row's bits are the same alone, at any place and in any number of rows."""
    N, K = shape
    rows = layout.rows
    x = np.random.default_rng(0).standard_normal((rows, K), np.float32)
    alone = np.empty((rows, N), np.float32)
    for i in range(rows):
        layout(x[i : i + 1], alone[i : i + 1])
    sizes = {2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 96, rows}
    for n in sorted(size for size in sizes if size <= rows):
        for start in {0, (rows - n) // 2, rows - n}:
            out = np.empty((n, N), np.float32)
            layout(x[start : start + n], out)
            if not np.array_equal(out.view(np.int32), alone[start : start + n].view(np.int32)):
                return False
    return True


class Product:
    """``x (n, K) -> x @ W.T (n, N)``, each row the same bits whatever n and its place.

    Args:
      W: (N, K) float32.
    """

    def __init__(self, W: Floats) -> None:
        shape = W.shape[0], W.shape[1]
        place = _chosen.get(shape)
        for i, layout in enumerate(layouts(W)):
            if i == place or (place is None and (type(layout) is _Plain or _holds(layout, shape))):
                self.layout = layout
                _chosen[shape] = i
                break
        self.width = W.shape[0]
        self.tile = self.layout.rows

    def __call__(self, x: Floats, out: Floats | None = None) -> Floats:
        n = len(x)
        if out is None:
            out = np.empty((n, self.width), np.float32)
        for start in range(0, n, self.tile):
            self.layout(x[start : start + self.tile], out[start : start + self.tile])
        return out


def _halved(W: Floats, rows: int) -> Floats:
    """Scales the first ``rows`` rows by 1/2 (exact): sigmoid(z) = (1 + tanh(z / 2)) / 2."""
    W = W.copy()
    W[:rows] *= 0.5
    return W


class Kernel:
    """One cell made ready to run: the input half for many rows, then one step at a time."""

    def __init__(self, W_x: Floats, W_a: Floats, b: Floats) -> None:
        self.H = W_a.shape[1]
        self.W_x = Product(W_x)
        self.W_a = Product(W_a)
        self.b = b

    def project(self, x: Floats) -> Floats:
        """The half of the pre-activation that does not need a: W_x x + b, (n, D) -> (n, G*H)."""
        p = self.W_x(x)
        p += self.b
        return p

    def step(self, p: Floats, a: Floats) -> None:
        """Advances the states ``a`` (B, S) in place by their projected inputs ``p`` (B, G*H)."""
        for start in range(0, len(p), self.W_a.tile):
            rows = slice(start, start + self.W_a.tile)
            self._tile(p[rows], a[rows])

    def _tile(self, p: Floats, a: Floats) -> None:
        raise NotImplementedError


class RNNKernel(Kernel):
    """g(W_a h + p) with g tanh or relu."""

    def __init__(self, W_x: Floats, W_a: Floats, b: Floats, activation: str) -> None:
        super().__init__(W_x, W_a, b)
        self.relu = activation == "relu"

    def _tile(self, p: Floats, a: Floats) -> None:
        z = self.W_a(a)
        z += p
        if self.relu:
            np.maximum(z, 0, out=a)
        else:
            np.tanh(z, a)


class LSTMKernel(Kernel):
    """Gates i, f, o, g with one tanh over all four; the state row is [h | c]."""

    def __init__(self, W_x: Floats, W_a: Floats, b: Floats) -> None:
        H = W_a.shape[1]
        order = np.r_[0 : 2 * H, 3 * H : 4 * H, 2 * H : 3 * H]  # i,f,g,o -> i,f,o,g
        super().__init__(*(_halved(w[order], 3 * H) for w in (W_x, W_a, b)))

    def _tile(self, p: Floats, a: Floats) -> None:
        H = self.H
        h, c = a[:, :H], a[:, H:]
        z = self.W_a(h)
        z += p
        np.tanh(z, z)
        z[:, : 3 * H] += 1  # twice the sigmoids
        i, f, o, g = z[:, :H], z[:, H : 2 * H], z[:, 2 * H : 3 * H], z[:, 3 * H :]
        i *= g
        c *= f
        c += i
        c *= 0.5
        np.tanh(c, g)
        o *= 0.5
        np.multiply(o, g, h)


class GRUKernel(Kernel):
    """Gates r, z, n, the reset after the hidden product (PyTorch, Keras) or before it (Haiku)."""

    def __init__(
        self, W_x: Floats, W_a: Floats, b: Floats, b_n: Floats | None, reset_after: bool
    ) -> None:
        H = W_a.shape[1]
        W_a = _halved(W_a, 2 * H)
        super().__init__(
            _halved(W_x, 2 * H), W_a if reset_after else W_a[: 2 * H], _halved(b, 2 * H)
        )
        self.b_n = b_n
        self.W_n = None if reset_after else Product(np.ascontiguousarray(W_a[2 * H :]))

    def _tile(self, p: Floats, a: Floats) -> None:
        H = self.H
        u = self.W_a(a)
        rz = u[:, : 2 * H]
        rz += p[:, : 2 * H]
        np.tanh(rz, rz)
        rz += 1
        rz *= 0.5
        r, z = rz[:, :H], rz[:, H:]
        if self.W_n is None:
            n = u[:, 2 * H :]
            if self.b_n is not None:
                n += self.b_n
            n *= r
        else:
            r *= a
            n = self.W_n(np.ascontiguousarray(r))
        n += p[:, 2 * H :]
        np.tanh(n, n)
        a -= n  # h' = n + z (h - n)
        a *= z
        a += n
