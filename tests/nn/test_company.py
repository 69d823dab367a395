"""The same bits alone and in any company, on this machine's kernels and on older machines'."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from beam_rnn import nn
from beam_rnn.nn import kernels
from tests.nn import textbook
from tests.nn.company import (
    SHAPES,
    SIZES,
    check_after_overflow,
    check_cell,
    check_product,
    picked,
)
from tests.nn.models import CELLS, assert_same_bits, cell, inputs, normal, states

ROOT = Path(__file__).parents[2]

# Machines without AVX-512: other kernels in BLAS, other loops in NumPy.
OLDER = {
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}

# The networks without the rest of the package, so without the seconds that Beam takes to import.
ALONE = """
import runpy, sys, types
package = sys.modules["beam_rnn"] = types.ModuleType("beam_rnn")
package.__path__ = ["beam_rnn"]
runpy.run_module("tests.nn.company", run_name="__main__")
assert "apache_beam" not in sys.modules
"""


def company(*arguments: str, **environment: str) -> list[str]:
    """The layouts that a fresh process picks; fails where it fails."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ALONE, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("kind", "H"),
    [
        *itertools.product(("RNN tanh", "GRU before", "GRU after b_n", "LSTM"), SIZES),
        *itertools.product(("RNN relu", "GRU after"), (5, 64)),  # the same products as others
    ],
)
def test_company_does_not_matter(kind: str, H: int) -> None:
    check_cell(kind, H)


@pytest.mark.parametrize("H", [5, 33, 64])
@pytest.mark.parametrize("kind", CELLS)
def test_a_stream_that_overflows_leaves_no_trace(kind: str, H: int) -> None:
    check_after_overflow(kind, H)


@pytest.mark.parametrize(
    ("N", "K"), [(1, 1), (3, 1), (1, 40), (31, 7), (64, 64), (100, 33), (130, 601), (192, 900)]
)
def test_company_does_not_matter_to_a_product(N: int, K: int) -> None:
    check_product(N, K)


def test_company_does_not_matter_in_a_stack() -> None:
    """The second cell's state is a part of each row, not a whole array."""
    net = nn.Network([cell("LSTM", 7, 33), cell("GRU after b_n", 33, 20), cell("RNN tanh", 20, 9)])
    x, a = inputs(net, 67), states(net, 67)
    y, after = net.step(x, a)
    for i in range(67):
        y_1, after_1 = net.step(x[i : i + 1], a[i : i + 1])
        assert_same_bits(y_1[0], y[i])
        assert_same_bits(after_1[0], after[i])


def test_threads_do_not_matter() -> None:
    """Workers step one network from several threads; each makes ready what it finds not ready."""
    kinds = ("GRU before", "LSTM")
    x = {kind: inputs(nn.Network([cell(kind, 7, 33)]), 3, 60) for kind in kinds}
    expected = {kind: nn.Network([cell(kind, 7, 33)]).unroll(x[kind])[0] for kind in kinds}
    for kind in kinds:
        shared = nn.Network([cell(kind, 7, 33)])
        with ThreadPoolExecutor(4) as pool:
            for y, _ in pool.map(shared.unroll, [x[kind]] * 8):
                assert_same_bits(y, expected[kind])


@pytest.mark.parametrize("activation", [None, "softmax", "sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("C", [1, 2, 9, 70])
def test_company_does_not_matter_to_a_head(C: int, activation: str | None) -> None:
    head = nn.Dense(normal(1, C, 33), normal(2, C), activation)
    x = normal(3, 131, 33, scale=2)
    whole = head.apply(x)
    for n in (1, 2, 3, 8, 17, 130):
        for first in (0, 1, 131 - n):
            assert_same_bits(head.apply(x[first : first + n]), whole[first : first + n])


def test_older_machines() -> None:
    """Company does not matter there either; a machine's choice is always the same."""
    older = company("check", **OLDER, OPENBLAS_NUM_THREADS="2")
    assert len(older) == len(SHAPES)
    # The number of cores of a worker does not matter either.
    assert company(**OLDER, OPENBLAS_NUM_THREADS="1") == older


def test_fresh_processes_pick_the_same_layouts() -> None:
    first = company()
    assert first == [picked(*shape) for shape in SHAPES]
    assert company(OPENBLAS_NUM_THREADS="1") == first


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("place", range(6))
def test_every_layout_gives_the_right_values(
    place: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that this machine does not pick; the last one needs no BLAS."""

    class Forced(kernels.Product):
        def __init__(self, W: np.ndarray) -> None:
            self.layout = list(kernels.layouts(W))[place]
            self.width, self.tile = len(W), self.layout.rows

    monkeypatch.setattr(kernels, "Product", Forced)
    layer = cell(kind, 9, 70)
    net = nn.Network([layer])
    for T, B in ((200, 1), (2, 37)):
        x, start = inputs(net, B, T), states(net, B)
        y, _ = net.unroll(x, start)
        for i in (0, B - 1):
            hidden, _ = textbook.unroll(layer, x[i], start[i])
            np.testing.assert_allclose(y[i], hidden, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("N", "K"), [(1, 1), (5, 3), (64, 64), (70, 601), (33, 20)])
def test_layouts_are_the_product(N: int, K: int) -> None:
    W = normal(1, N, K)
    for layout in kernels.layouts(W):
        for n in sorted({1, 2, 3, min(8, layout.rows), layout.rows}):
            x = normal(100 + n, n, K, scale=1)
            out = np.full((n, N), np.nan, np.float32)
            layout(x, out)
            expected = x.astype(np.float64) @ W.T.astype(np.float64)
            np.testing.assert_allclose(out, expected, atol=2e-5, rtol=0)


def test_the_last_layout_holds_without_a_test() -> None:
    """What is taken where nothing else holds is never tested when it is picked."""
    for N, K in ((64, 64), (33, 100), (1, 1), (1, 9), (9, 1)):
        product = kernels.Product(normal(1, N, K))
        *_, product.layout = kernels.layouts(normal(1, N, K))
        product.tile = product.layout.rows
        check_product(N, K, product)


def test_a_layout_that_does_not_hold_is_not_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first layout answers otherwise when it has company; so another is picked."""
    W = normal(1, 67, 41)
    right = kernels.layouts

    def broken(W: np.ndarray) -> list[object]:
        first, *others = right(W)

        class Sociable:
            rows = first.rows

            def __call__(self, x: np.ndarray, out: np.ndarray) -> None:
                first(x, out)
                if len(x) > 30:
                    out[-1] = np.nextafter(out[-1], np.float32(9))

        return [Sociable(), *others]

    monkeypatch.setattr(kernels, "layouts", broken)
    product = kernels.Product(W)
    assert isinstance(product.layout, tuple(map(type, right(W))))
    check_product(67, 41, product)
