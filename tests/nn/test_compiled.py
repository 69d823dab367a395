"""Compiled steps give the bits of NumPy: any cell, size, company and order of waves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_rnn import nn
from beam_rnn.nn import compiled, stepping
from beam_rnn.nn.sequences import Wave
from tests.nn.models import CELLS, assert_same_bits, cell, inputs, normal, states


def twins(kind: str, D: int, H: int) -> tuple[compiled.Compiled, stepping.Kernel]:
    kernel = cell(kind, D, H).numpy_kernel()
    twin = compiled.twin(kernel)
    if twin is None:
        pytest.skip(f"BLAS sums up in an order of its own here ({kind}, H {H}): NumPy steps")
    return twin, kernel


@pytest.mark.parametrize("H", [1, 5, 33, 64, 200, 400])
@pytest.mark.parametrize("kind", CELLS)
def test_a_step(kind: str, H: int) -> None:
    twin, kernel = twins(kind, 40, H)
    net = nn.Network([cell(kind, 40, H)])
    x, a = inputs(net, 130), states(net, 130)
    for n in (1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 47, 48, 49, 130):
        for got, expected in zip(twin.step(x[:n], a[:n]), kernel.step(x[:n], a[:n]), strict=True):
            assert_same_bits(got, expected)


@pytest.mark.parametrize("kind", CELLS)
@given(data=st.data())
def test_waves(kind: str, data: st.DataObject) -> None:
    """Of any rows, listed or in a slice, some of them fresh, in a part of each row of a stack."""
    R, D, H = 9, 3, 10
    twin, kernel = twins(kind, D, H)
    waves = []
    for _ in range(data.draw(st.integers(0, 12))):
        who = data.draw(st.lists(st.integers(0, R - 1), min_size=1, unique=True))
        begins = data.draw(st.lists(st.sampled_from(who), unique=True))
        fresh = np.array(begins, np.int64) if begins else None
        if data.draw(st.booleans()):
            who = sorted(who)
            waves.append(Wave(slice(who[0], who[-1] + 1), who[-1] + 1 - who[0], fresh))
        else:
            waves.append(Wave(np.array(who), len(who), fresh))
    x = normal(1, sum(wave.size for wave in waves), D)
    stack = normal(2, R, 2 * H * kernel.states)
    one, other = stack.copy(), stack.copy()
    part = slice(3, 3 + kernel.states * H)
    h = twin.run_waves(x, one[:, part], waves)
    assert_same_bits(h, kernel.run_waves(x, other[:, part], waves))
    assert_same_bits(one, other)


@pytest.mark.parametrize("kind", CELLS)
def test_long_runs_and_large_waves(kind: str) -> None:
    """Tiles begin where waves do not; input halves are made for many waves at once."""
    twin, kernel = twins(kind, 7, 20)
    rng = np.random.default_rng(5)
    sizes = [1] * 100 + [3, 60, 13, 12, 1, 200, 1, 1, 47]
    waves = [Wave(rng.permutation(200)[:m], m) for m in sizes] + [Wave(slice(0, 1), 1)] * 150
    x, a = normal(1, sum(wave.size for wave in waves), 7), normal(2, 200, kernel.states * 20)
    one, other = a.copy(), a.copy()
    h = kernel.run_waves(x, other, waves)
    assert_same_bits(twin.run_waves(x, one, waves), h)
    assert_same_bits(one, other)
    order = rng.permutation(len(x))
    mixed, h_mixed = np.empty_like(x), np.empty_like(h)
    mixed[order], h_mixed[order] = x, h
    for steps in (twin, kernel):
        assert_same_bits(steps.run_waves(mixed, a.copy(), waves, order=order), h_mixed)


def test_ids_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    twins("LSTM", 5, 20)
    layers = [nn.Embedding(normal(1, 9, 5)), cell("LSTM", 5, 20)]
    x = np.random.default_rng(1).integers(0, 9, (4, 30))
    expected = nn.Network(layers).unroll(x)
    monkeypatch.setenv("BEAM_RNN_COMPILED", "1")
    net = nn.Network([nn.Embedding(normal(1, 9, 5)), cell("LSTM", 5, 20)])
    assert isinstance(net.layers[1].kernel, compiled.Compiled)
    for got, wanted in zip(net.unroll(x), expected, strict=True):
        assert_same_bits(got, wanted)


def test_rows_that_overflow_leave_no_trace() -> None:
    twin, kernel = twins("LSTM", 7, 33)
    x, a = normal(1, 10, 7), normal(2, 10, 66)
    ruined = np.full_like(a, np.nan)
    ruined[::2] = a[::2]
    beside = twin.step(x, ruined)[1]
    assert np.isnan(beside[1::2]).all()
    assert_same_bits(beside[::2], kernel.step(x, a)[1][::2])
    assert_same_bits(twin.step(x, a)[1], kernel.step(x, a)[1])


def test_threads_do_not_matter() -> None:
    twin, _ = twins("GRU before", 7, 33)
    x, a = normal(1, 30, 7), normal(2, 30, 33)
    expected = twin.step(x, a)[1]
    with ThreadPoolExecutor(4) as pool:
        for _, after in pool.map(lambda _: twin.step(x, a), range(64)):
            assert_same_bits(after, expected)


def test_another_order_of_sums_has_no_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where BLAS sums up otherwise, NumPy steps."""
    kernel = cell("LSTM", 40, 64).numpy_kernel()
    monkeypatch.setattr(compiled, "_cuts", {})
    monkeypatch.setattr(compiled, "_CUTS", (16, 24))  # sums of so many factors
    assert compiled.twin(kernel) is None
    monkeypatch.setenv("BEAM_RNN_COMPILED", "1")
    assert stepping.fastest(kernel) is kernel


def test_it_can_be_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    _, kernel = twins("LSTM", 4, 8)
    monkeypatch.setenv("BEAM_RNN_COMPILED", "0")
    assert stepping.fastest(kernel) is kernel
    monkeypatch.delenv("BEAM_RNN_COMPILED")
    assert isinstance(stepping.fastest(kernel), compiled.Compiled)
