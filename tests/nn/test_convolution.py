"""Convolution, pooling and context, against plain NumPy."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_rnn import nn
from beam_rnn.errors import ModelError
from tests.nn import textbook
from tests.nn.models import assert_same_bits, cell, normal

ACTIVATIONS = [None, "softmax", "sigmoid", "tanh", "relu"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@settings(max_examples=10)
@given(
    n=st.integers(0, 3),
    L=st.integers(1, 8),
    D=st.integers(1, 5),
    F=st.integers(1, 6),
    k=st.sampled_from([1, 3, 5, 7]),
    seed=st.integers(0, 2**32 - 1),
)
def test_conv1d(activation: str | None, n: int, L: int, D: int, F: int, k: int, seed: int) -> None:
    layer = nn.Conv1d(normal(seed, F, k, D), normal(seed + 1, F), activation)
    x = normal(seed + 2, n, L, D, scale=1)
    kept = x.copy()
    y = layer.apply(x)
    assert y.dtype == np.float32
    assert y.shape == (n, L, F)
    assert layer.out_shape((L, D)) == (L, F)
    for i in range(n):
        np.testing.assert_allclose(y[i], textbook.convolved(layer, x[i]), atol=1e-5, rtol=0)
        assert_same_bits(layer.apply(x[i : i + 1])[0], y[i])
    assert_same_bits(x, kept)


def test_max_pool() -> None:
    x = normal(1, 3, 6, 4) - 5  # all below zero: padding must not win
    y = nn.MaxPool().apply(x)
    expected = [[max(x[i, :, j]) for j in range(4)] for i in range(3)]
    assert_same_bits(y, np.array(expected, np.float32))
    assert y.flags.c_contiguous
    assert nn.MaxPool().out_shape((6, 4)) == (4,)


@settings(max_examples=50)
@given(
    L=st.integers(4, 12),
    k=st.integers(1, 4),
    stride=st.integers(1, 4),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    mode=st.sampled_from(["zeros", "reflect"]),
    dilation=st.integers(1, 3),
)
def test_conv1d_with_stride_padding_and_dilation(
    L: int, k: int, stride: int, padding: tuple[int, int], mode: str, dilation: int
) -> None:
    options = {"stride": stride, "padding": padding, "mode": mode, "dilation": dilation}
    layer = nn.Conv1d(normal(1, 3, k, 2), normal(2, 3), "tanh", **options)
    x = normal(3, 2, L, 2, scale=1)
    numpy_mode = {"zeros": "constant", "reflect": "reflect"}[mode]
    padded = np.pad(x.astype(np.float64), ((0, 0), padding, (0, 0)), numpy_mode)
    starts = range(0, padded.shape[1] - dilation * (k - 1), stride)
    if not len(starts):
        with pytest.raises(ModelError, match=rf"reaches over .* gives {L}"):
            layer.out_shape((L, 2))
        return
    windows = [padded[:, at : at + dilation * (k - 1) + 1 : dilation] for at in starts]
    expected = [np.tanh(np.einsum("nkd,fkd->nf", w, layer.W) + layer.b) for w in windows]
    y = layer.apply(x)
    assert layer.out_shape((L, 2)) == y.shape[1:] == (len(starts), 3)
    np.testing.assert_allclose(y, np.stack(expected, axis=1), atol=1e-5, rtol=0)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "stride": ({"stride": 0}, "stride is 0, dilation 1"),
    "dilation": ({"dilation": 0}, "stride is 1, dilation 0"),
    "mode": ({"mode": "wrap"}, r"mode is 'wrap', expected \"zeros\" or \"reflect\""),
    "padding": ({"padding": (1,)}, r"padding is \(1,\)"),
    "negative": ({"padding": (0, -1)}, r"padding is \(0, -1\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_conv1d_checks_its_options(name: str) -> None:
    options, reason = WRONG[name]
    with pytest.raises(ModelError, match=rf"Conv1d\.{reason}"):
        nn.Conv1d(normal(1, 3, 3, 2), normal(2, 3), **options)


def test_a_reflection_needs_positions() -> None:
    layer = nn.Conv1d(normal(1, 3, 3, 2), normal(2, 3), padding=(0, 4), mode="reflect")
    with pytest.raises(ModelError, match="4 positions are too few"):
        layer.out_shape((4, 2))


def test_magnitude_and_flatten() -> None:
    x = normal(1, 3, 4, 6, scale=2)
    y = nn.Magnitude().apply(x)
    np.testing.assert_allclose(y, np.abs(x[..., :3] + 1j * x[..., 3:]), rtol=1e-6)
    assert y.dtype == np.float32
    assert nn.Magnitude().out_shape((4, 6)) == (4, 3)
    assert_same_bits(nn.Flatten().apply(x), x.reshape(3, 24))
    assert nn.Flatten().out_shape((4, 6)) == (24,)
    with pytest.raises(ModelError, match=r"Magnitude takes \[re \| im\] features"):
        nn.Magnitude().out_shape((4, 5))
    with pytest.raises(ModelError, match=r"Flatten takes \(L, F\) features"):
        nn.Flatten().out_shape((4,))


@pytest.mark.parametrize(("size", "shape"), [(0, (1, 2)), (2, ()), (2, (1, 1, 1)), (2, (0, 2))])
def test_a_context_checks_its_shape(size: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=rf"Context of {size} before"):
        nn.Context(size, shape)


def causal(L: int) -> nn.Network:
    """Two dilated convolutions and a cell over 2 features, L positions in a step."""
    return nn.Network(
        [
            nn.Context(2, (L, 2)),
            nn.Conv1d(normal(1, 3, 3, 2), normal(2, 3), "tanh", padding=(0, 0)),
            nn.Context(4, (L, 3)),
            nn.Conv1d(normal(3, 4, 3, 3), normal(4, 4), "relu", padding=(0, 0), dilation=2),
            nn.Flatten(),
            cell("GRU after", 4 * L, 5),
            nn.Dense(normal(5, 2, 5), normal(6, 2)),
        ]
    )


@pytest.mark.parametrize("L", [1, 3])
def test_a_context_makes_a_convolution_causal_over_steps(L: int) -> None:
    """Stepped convolutions are those of the whole sequence with zeros before it."""
    net = causal(L)
    x = normal(7, 7, L, 2, scale=1)
    whole = x.reshape(1, -1, 2)
    for conv in net.layers[1:4:2]:
        whole = dataclasses.replace(conv, padding=(conv.reach, 0)).apply(whole)
    rest = nn.Network(net.layers[5:])
    expected, _ = rest.unroll(whole.reshape(7, L * 4))
    assert_same_bits(net.unroll(x)[0], expected)


def test_positions_without_features_have_one() -> None:
    filters = normal(1, 3, 3, 1), normal(2, 3)
    x = normal(3, 5, 4)
    narrow = nn.Network([nn.Context(2, (4,)), nn.Conv1d(*filters), nn.Flatten()])
    wide = nn.Network([nn.Context(2, (4, 1)), nn.Conv1d(*filters), nn.Flatten()])
    assert_same_bits(narrow.unroll(x)[0], wide.unroll(x[:, :, None])[0])
    with pytest.raises(ModelError, match=r"takes \(L, 2\) features, the layer before gives \(6, 1"):
        nn.Network([nn.Context(2, (4,)), nn.Conv1d(normal(1, 3, 3, 2), normal(2, 3))])


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, 9), max_size=4), others=st.integers(0, 4))
def test_a_context_keeps_what_came_before(cuts: list[int], others: int) -> None:
    """Any cut of a sequence gives the same bits, alone and in company."""
    net = causal(2)
    x = normal(8, 1 + others, 9, 2, 2, scale=1)
    whole, last = net.unroll(x)
    a = net.initial_state(1)
    parts = []
    for start, stop in itertools.pairwise([0, *sorted(cuts), 9]):
        y, a = net.unroll(x[:1, start:stop], a)
        parts.append(y[0])
    assert_same_bits(np.concatenate(parts), whole[0])
    assert_same_bits(a[0], last[0])


def test_a_network_that_ends_in_a_context_has_no_answer_in_its_state() -> None:
    net = nn.Network([nn.Context(1, (1, 2)), nn.Flatten()])
    assert net.state_size == 2
    with pytest.raises(ModelError, match="cannot answer from its state"):
        net.readout(net.initial_state(1))
