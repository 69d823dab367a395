"""Matrix products whose rows have the same bits alone and in any company (contract 2).

``x @ W.T`` does not give that: BLAS picks another order of summation for another number of rows.
The layouts here do, and the first, "stacked", is also the fastest. It keeps W.T (K, N) as
N / nb slabs, each K x nb, and multiplies a tile of T rows with each slab, so small (T K nb at
most a million) that OpenBLAS takes the path that packs nothing. The result stays in blocks::

              K             nb                                nb
          .-------.       .----.                            .----.
        T | tile  |   x   |slab| K  gate i, units 0..63     |    | T   one piece of memory:
          '-------'       |----|                            |----|     gate i is z[0:2],
                          |slab| K  gate i, units 64..127   |    | T   gate f is z[2:4], ...
                          |----|                     ->     |----|
                          |slab| K  gate f, units 0..63     |    | T   (blocks, T, nb)
                          |----|                            |----|
                            ...                               ...

In NumPy: ``np.matmul(x (T, K), slabs (blocks, K, nb)) -> z (blocks, T, nb)``. A block never spans
two gates, so ``np.tanh(z)``, ``z[0:2] * z[2:4]`` and so on walk memory from end to end.

Rows travel in pairs: a single row is doubled, an odd last row is computed once more with its
neighbour. Where the self-test finds that this machine's BLAS breaks the rule, the next layout in
the list serves. The list is tried in a fixed order, never by time, so that every worker of one
kind agrees.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from beam_rnn.nn.parameters import Floats

_SMALL = 1_000_000  # T * K * nb up to which OpenBLAS multiplies without packing
FEW = 16  # most rows for which a small W may be faster in one piece
_SMALL_WHOLE = 1 << 15  # floats of such a W
_ONE_THREAD = 4 * 65536  # rows * columns * K up to which OpenBLAS uses one thread


class _Layout(Protocol):
    rows: int  # most rows of one call

    def __call__(self, x: Floats, out: Floats) -> None: ...


class Stacked:
    """Slabs of ``nb`` columns, tiles of an even number of rows."""

    def __init__(self, W: Floats, nb: int) -> None:
        K = W.shape[-1]
        flat = W.reshape(-1, K)
        blocks = -(-len(flat) // nb)
        padded = np.zeros((K, blocks * nb), np.float32)
        padded[:, : len(flat)] = flat.T
        self.slabs = np.ascontiguousarray(padded.reshape(K, blocks, nb).transpose(1, 0, 2))
        self.rows = int(np.clip(_SMALL // (K * nb) // 4 * 4, 4, 512))
        self.width = len(flat)
        self.nb = nb
        self.whole = self._whole(padded) if W.ndim == 3 else None

    def _whole(self, W: Floats) -> Floats | None:
        """W in one piece for the products of few rows; None if it is slower or has other bits.

        ``dot`` costs 0.7 us less than a stack in ``matmul``: half of a product at H = 32.
        """
        if W.size > _SMALL_WHOLE:
            return None
        x = np.random.default_rng(1).standard_normal((24, len(W)), np.float32)
        stacked = np.matmul(x, self.slabs).transpose(1, 0, 2).reshape(24, -1).view(np.int32)
        for n in range(2, FEW + 1, 2):
            for i in range(0, 24 - n, n):
                if not np.array_equal(x[i : i + n].dot(W).view(np.int32), stacked[i : i + n]):
                    return None
        return W

    def __call__(self, x: Floats, out: Floats) -> None:
        n = len(x)
        if n == 1:
            # The pair of a single row is itself.
            result = np.empty((*out.shape[:-2], 2, out.shape[-1]), np.float32)
            self._multiply(np.concatenate((x, x)), result)
            out[:] = result[..., :1, :]
            return
        even = n - n % 2
        self._multiply(x[:even], out[..., :even, :])
        if n % 2:
            self._multiply(x[-2:], out[..., -2:, :])

    def _multiply(self, x: Floats, out: Floats) -> None:
        blocks, _, nb = self.slabs.shape
        n = len(x)
        if out.shape == (blocks, n, nb):
            np.matmul(x, self.slabs, out)
        elif out.ndim == 2 and self.width == blocks * nb and out.flags.c_contiguous:
            np.matmul(x, self.slabs, out.reshape(n, blocks, nb).transpose(1, 0, 2))
        else:
            product = np.matmul(x, self.slabs).transpose(1, 0, 2).reshape(n, -1)
            _spread(product[:, : self.width], out)


class _Narrow:
    """Slabs of 8 columns, rows in twelves: for AVX2 (Intel before AVX-512, AMD Zen 1 to 3).

    There OpenBLAS has 8 x 12 values at a time in registers and sums up each in turn; 16 columns
    at once, and what is left over at an edge, it sums up in another order. So rows are filled up to
    a multiple of 12. Up to 8 of them are the columns instead, and W's rows come in twelves.
    """

    def __init__(self, W: Floats) -> None:
        K = W.shape[-1]
        flat = W.reshape(-1, K)
        self.width = len(flat)
        padded = np.zeros((-(-self.width // 24) * 24, K), np.float32)
        padded[: self.width] = flat
        most = max(1, _ONE_THREAD // (12 * 8 * K)) * 12
        self.parts = np.split(padded, range(most, len(padded), most))
        slabs = padded[: -(-self.width // 8) * 8].reshape(-1, 8, K)
        self.slabs = np.ascontiguousarray(slabs.transpose(0, 2, 1))
        self.rows = int(np.clip(_ONE_THREAD // (8 * K) // 12 * 12, 12, 240))

    def __call__(self, x: Floats, out: Floats) -> None:
        n, K = x.shape
        if n <= 8:
            tile = np.zeros((K, 8), np.float32)
            tile[:, :n] = x.T
            product = np.concatenate([np.matmul(W, tile) for W in self.parts])
            _spread(product[: self.width, :n].T, out)
            return
        if n % 12:
            filled = np.zeros((-(-n // 12) * 12, K), np.float32)
            filled[:n] = x
            x = filled
        elif out.ndim == 3:  # blocks are slabs side by side: straight to where they belong
            nb = out.shape[2] // 8
            slabs = self.slabs.reshape(-1, nb, K, 8)
            np.matmul(x, slabs, out.reshape(-1, n, nb, 8).transpose(0, 2, 1, 3))
            return
        product = np.matmul(x, self.slabs)[:, :n].transpose(1, 0, 2)
        _spread(product.reshape(n, -1)[:, : self.width], out)


class _Fixed:
    """Tiles of exactly ``rows`` rows, filled up with zeros, features first.

    W is cut into parts so small that BLAS uses one thread: more would make the bits depend on the
    number of cores, and on a busy machine wait far longer for each other than they compute.
    """

    def __init__(self, W: Floats, rows: int) -> None:
        K = W.shape[-1]
        flat = W.reshape(-1, K)
        most = max(3, _ONE_THREAD // (K * rows))
        self.parts = np.array_split(flat, -(-len(flat) // most))
        self.width = len(flat)
        self.rows = rows

    def __call__(self, x: Floats, out: Floats) -> None:
        n, K = x.shape
        tile = np.zeros((K, self.rows), np.float32)
        tile[:, :n] = x.T
        product = np.empty((self.width, self.rows), np.float32)
        start = 0
        for W in self.parts:
            stop = start + len(W)
            np.matmul(W, tile, product[start:stop])
            start = stop
        _spread(product[:, :n].T, out)


class _Plain:
    """No BLAS at all: each element is one dot product. Slow, and right everywhere."""

    rows = 64

    def __init__(self, W: Floats) -> None:
        self.W = W.reshape(-1, W.shape[-1])

    def __call__(self, x: Floats, out: Floats) -> None:
        _spread(np.einsum("bk,nk->bn", x, self.W, optimize=False), out)


def _spread(product: Floats, out: Floats) -> None:
    """Writes (n, N) to ``out``, which is (n, N) or the same in blocks (blocks, n, nb)."""
    if out.ndim == 3:
        product = product.reshape(len(product), out.shape[0], out.shape[2]).transpose(1, 0, 2)
    out[:] = product


def layouts(W: Floats) -> Iterator[_Layout]:
    """The candidates in the order in which they are tried; the last holds everywhere."""
    N, K = W.shape[-2:]
    if W.ndim == 3:
        widths = [N, N // 2]
    else:
        widths = [64, 32] if K <= 600 and N >= 64 else [32]
    for nb in widths:
        if 4 * K * nb <= _SMALL:
            yield Stacked(W, nb)
    yield _Narrow(W)
    yield _Fixed(W, 16)
    yield _Fixed(W, 8)
    yield _Plain(W)


_chosen: dict[tuple[int, ...], int] = {}  # shape -> place in the list; weights do not matter


def _holds(layout: _Layout, shape: tuple[int, ...]) -> bool:
    """Whether each row's bits are the same alone, at any place and in any number of rows."""
    *blocks, N, K = shape
    rows = layout.rows
    x = np.random.default_rng(0).standard_normal((rows, K), np.float32)
    alone = np.empty((*blocks, rows, N), np.float32)
    for i in range(rows):
        layout(x[i : i + 1], alone[..., i : i + 1, :])
    sizes = {2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 96, rows}
    for n in sorted(size for size in sizes if size <= rows):
        for start in {0, (rows - n) // 2, rows - n}:
            out = np.empty((*blocks, n, N), np.float32)
            layout(x[start : start + n], out)
            same = alone[..., start : start + n, :]
            if not np.array_equal(out.view(np.int32), same.view(np.int32)):
                return False
    return True


def _picked(shape: tuple[int, ...]) -> int:
    """The place of the first layout that holds for any weights of this shape."""
    # Not by the weights in use: zeros among them, which fill up blocks, would hide what differs.
    W = np.random.default_rng(3).standard_normal(shape, np.float32)
    tried = enumerate(layouts(W))
    return next(i for i, layout in tried if type(layout) is _Plain or _holds(layout, shape))


class Product:
    """``x (n, K) -> x @ W.T (n, N)``, each row the same bits whatever n and its place.

    Args:
      W: (N, K) float32; or (blocks, nb, K), and the result comes in blocks (blocks, n, nb).
    """

    def __init__(self, W: Floats) -> None:
        place = _chosen.get(W.shape)
        if place is None:
            place = _chosen[W.shape] = _picked(W.shape)
        self.layout = next(itertools.islice(layouts(W), place, None))
        self.width = W.shape[0]
        self.tile = self.layout.rows

    def __call__(self, x: Floats, out: Floats | None = None) -> Floats:
        n = len(x)
        if out is None:
            out = np.empty((n, self.width), np.float32)
        for start in range(0, n, self.tile):
            self.layout(x[start : start + self.tile], out[..., start : start + self.tile, :])
        return out
