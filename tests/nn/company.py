"""Contract 2, the answer does not depend on company, checked for one cell.

Runs as a program too, for a process whose environment chooses other kernels of BLAS: it prints
the layouts that were picked, and fails if a bit differs.
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np

from beam_rnn import nn
from beam_rnn.nn.kernels import Product
from tests.nn.models import assert_same_bits, bits, cell, inputs, normal, states

SIZES = (5, 32, 64, 96, 200, 256)
SHAPES = [(G * H, H) for G in (3, 4) for H in (5, 40, 64, 128, 256)] + [(32, 4000), (35, 5400)]
MOST = 130


def check_cell(kind: str, H: int, D: int = 40) -> None:
    """Each of 130 streams steps to the same bits alone and in every batch of 1 to 130."""
    net = nn.Network([cell(kind, D, H)])
    x, a = inputs(net, MOST), states(net, MOST)
    alone = np.concatenate([net.step(x[i : i + 1], a[i : i + 1])[1] for i in range(MOST)])
    rng = np.random.default_rng(H)
    large = (*range(1, 25), *range(25, MOST + 1, 5))  # where a step takes long
    for B in range(1, MOST + 1) if H < 200 else large:
        # Who is in the batch and where: a run of neighbours, or anybody in any order.
        first = int(rng.integers(0, MOST - B + 1))
        who = np.arange(first, first + B) if B % 2 else rng.permutation(MOST)[:B]
        y, after = net.step(x[who], a[who])
        assert_same_bits(after, alone[who])
        assert_same_bits(y, alone[who, :H])


def check_after_overflow(kind: str, H: int, D: int = 7) -> None:
    """Streams that overflowed, before or beside, leave no trace in the others."""
    net = nn.Network([cell(kind, D, H)])
    x, a = inputs(net, 10), states(net, 10)
    alone = [net.step(x[i : i + 1], a[i : i + 1])[1] for i in range(10)]
    ruined = states(net, 10)
    ruined[1::3] = np.inf
    ruined[2::3] = np.nan
    whole = np.arange(10) % 3 == 0
    with np.errstate(all="ignore"):
        for B in range(1, 11):
            net.step(x[:B], ruined[10 - B :])
            beside = net.step(x[:B], np.where(whole[:, None], a, ruined)[:B])[1]
            after = net.step(x[:B], a[:B])[1]
            assert_same_bits(beside[whole[:B]], np.concatenate(alone[:B])[whole[:B]])
            assert_same_bits(after, np.concatenate(alone[:B]))
            long = net.unroll(np.stack([x[:B]] * 3), np.where(whole[:3, None], a[:3], ruined[:3]))
            assert_same_bits(long[0][0], net.unroll(x[:B], a[0])[0])


def check_product(N: int, K: int, product: Product | None = None) -> None:
    """The same for a bare product, up to beyond a tile."""
    product = product or Product(normal(N, N, K))
    most = product.tile * 2 + 3
    x = normal(K, most, K, scale=1)
    whole = product(x)
    alone = np.concatenate([product(x[i : i + 1]) for i in range(most)])
    assert_same_bits(alone, whole)
    for n in {1, 2, 3, 7, 8, 9, 16, 17, product.tile - 1, product.tile, product.tile + 1, most - 1}:
        for first in {0, 1, most - n}:
            assert_same_bits(product(x[first : first + n]), whole[first : first + n])


def picked(N: int, K: int) -> str:
    """The layout of a product of this shape, and what it computes."""
    product = Product(normal(0, N, K))
    slabs = getattr(product.layout, "slabs", np.empty(0))
    digest = hashlib.sha256(bits(product(normal(1, 33, K)))).hexdigest()[:8]
    return f"{N}x{K} {type(product.layout).__name__} {slabs.shape[-1]} {product.tile} {digest}"


if __name__ == "__main__":
    for shape in SHAPES:
        print(picked(*shape))
    if "check" in sys.argv:
        for size in (5, 40):
            for kind in ("RNN tanh", "GRU before", "LSTM"):
                check_cell(kind, size)
                check_after_overflow(kind, size)
