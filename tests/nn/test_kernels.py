"""The step on blocks: the same bits whatever the way that leads to them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from beam_rnn import nn
from beam_rnn.errors import InputError
from beam_rnn.nn import kernels, sequences
from beam_rnn.nn.sequences import Wave
from tests.nn.models import CELLS, assert_same_bits, cell, inputs, networks, normal, states

NETWORKS = networks()


@pytest.mark.parametrize(("blocks", "nb", "K"), [(4, 64, 65), (3, 32, 9), (5, 16, 700), (1, 16, 1)])
def test_blocks_are_the_product(blocks: int, nb: int, K: int) -> None:
    W = normal(1, blocks, nb, K)
    for layout in kernels.layouts(W):
        for n in sorted({1, 2, 3, 7, 8, layout.rows} & set(range(layout.rows + 1))):
            x, out = normal(100 + n, n, K, scale=1), np.full((blocks, n, nb), np.nan, np.float32)
            layout(x, out)
            expected = np.einsum("nk,bjk->bnj", x.astype(np.float64), W.astype(np.float64))
            np.testing.assert_allclose(out, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("blocks", "nb", "K"), [(4, 32, 32), (4, 64, 64), (6, 16, 9), (8, 64, 128)]
)
def test_company_does_not_matter_to_blocks(blocks: int, nb: int, K: int) -> None:
    product = kernels.Product(normal(1, blocks, nb, K))

    def multiply(x: np.ndarray) -> np.ndarray:
        return product(x, np.empty((blocks, len(x), nb), np.float32))

    most = product.tile * 2 + 3
    x = normal(K, most, K, scale=1)
    whole = multiply(x)
    for n in (1, 2, 3, 4, 5, 17, product.tile, product.tile + 1):
        for first in (0, 1, most - n):
            assert_same_bits(multiply(x[first : first + n]), whole[:, first : first + n])


@pytest.mark.parametrize("H", [16, 33, 64])
@pytest.mark.parametrize("kind", CELLS)
def test_few_rows_are_many(kind: str, H: int) -> None:
    """Where W is multiplied in one piece (1 to 4 rows, or to 16) and where in slabs."""
    net = nn.Network([cell(kind, 10, H)])
    x, a = inputs(net, 40), states(net, 40)
    y, after = net.step(x, a)
    for n in (1, 2, 3, 4, 5, 6, 8, 15, 16, 17):
        for first in (0, 3, 40 - n):
            part = slice(first, first + n)
            y_n, after_n = net.step(x[part], a[part])
            assert_same_bits(y_n, y[part])
            assert_same_bits(after_n, after[part])


@pytest.mark.parametrize("kind", ["RNN relu", "GRU after b_n", "GRU before", "LSTM"])
@pytest.mark.parametrize("H", [40, 128])
def test_sequences_in_more_rows_than_a_tile(kind: str, H: int) -> None:
    layer = cell(kind, 3, H)
    net = nn.Network([layer])
    B = layer.kernel.tile * 2 + 5
    x, a = inputs(net, B, 4), states(net, B)
    y, last = net.unroll(x, a)
    b = a
    for t in range(4):
        y_t, b = net.step(x[:, t], b)
        assert_same_bits(y[:, t], y_t)
    assert_same_bits(last, b)
    for i in (0, layer.kernel.tile, B - 1):
        y_i, last_i = net.unroll(x[i], a[i])
        assert_same_bits(y[i], y_i)
        assert_same_bits(last[i], last_i)


@pytest.mark.parametrize("kind", CELLS)
def test_one_row_among_streams_keeps_the_others(kind: str) -> None:
    net = nn.Network([cell(kind, 3, 20), cell(kind, 20, 16)])
    a, x = states(net, 5), inputs(net, 3)
    before = a.copy()
    net.advance(x, a, [Wave(np.array([3]), 1), Wave(slice(3, 4), 1), Wave(np.array([3]), 1)])
    assert_same_bits(a[[0, 1, 2, 4]], before[[0, 1, 2, 4]])
    assert_same_bits(a[3], net.unroll(x, before[3])[1])


def test_an_embedding_is_folded_into_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in CELLS:
        layers = [nn.Embedding(normal(1, 9, 5)), cell(kind, 5, 20)]
        net = nn.Network(layers)
        x = inputs(net, 7, 11)
        folded = net.unroll(x)
        stepped = net.step(x[:, 0], net.initial_state(7))
        monkeypatch.setattr(sequences, "_TABLE", 0)
        plain = nn.Network(layers)
        for got, expected in zip(folded, plain.unroll(x), strict=True):
            assert_same_bits(got, expected)
        for got, expected in zip(stepped, plain.step(x[:, 0], net.initial_state(7)), strict=True):
            assert_same_bits(got, expected)
        monkeypatch.undo()


@pytest.mark.parametrize("name", NETWORKS)
def test_unroll_many_is_unroll_of_each(name: str) -> None:
    net = NETWORKS[name]
    lengths = (3, 40, 1, 3, 0, 12, 13, 40) if net.causal else (3, 40, 1, 3, 12)
    many = [inputs(net, T, seed=T + i) for i, T in enumerate(lengths)]
    result = net.unroll_many(many)
    assert len(result) == len(many)
    for x, (y, a) in zip(many, result, strict=True):
        y_alone, a_alone = net.unroll(x)
        assert_same_bits(y, y_alone)
        assert_same_bits(a, a_alone)
    assert net.unroll_many([]) == []


def test_unroll_many_checks_each() -> None:
    net = NETWORKS["LSTM"]
    good = inputs(net, 3)
    with pytest.raises(InputError, match="NaN"):
        net.unroll_many([good, good * np.float32(np.nan)])
    with pytest.raises(InputError, match="shape"):
        net.unroll_many([good, good[:, :-1]])


def test_a_step_checks_its_vectors() -> None:
    """Also values whose squares overflow, which are right."""
    net = nn.Network([cell("LSTM", 4, 8)])
    a = net.initial_state(3)
    x = np.zeros((3, 4), np.float32)
    x[1, 2] = 3e38
    assert np.isfinite(net.step(x, a)[0]).all()
    for bad in (np.nan, np.inf, -np.inf):
        x[1, 2] = bad
        with pytest.raises(InputError, match="NaN"):
            net.step(x, a)


def test_a_step_gives_arrays_of_its_own() -> None:
    net = nn.Network([cell("LSTM", 4, 8)])
    x, a = inputs(net, 2), states(net, 2)
    y, after = net.step(x, a)
    kept = y.copy(), after.copy()
    y_2, after_2 = net.step(x, after)
    assert not np.shares_memory(y, after)
    y_2[:], after_2[:] = 0, 0
    assert_same_bits(y, kept[0])
    assert_same_bits(after, kept[1])


def test_batches_of_any_size_leave_little_behind() -> None:
    net = nn.Network([cell("LSTM", 8, 32)])
    x, a = inputs(net, 500), states(net, 500)
    whole = net.step(x, a)[0]
    tracemalloc.start()
    for n in range(1, 501):
        assert_same_bits(net.step(x[:n], a[:n])[0], whole[:n])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 12e6
