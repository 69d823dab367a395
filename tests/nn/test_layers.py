"""Layers without a state, against plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_rnn import nn
from beam_rnn.errors import InputError, ModelError
from tests.nn import textbook
from tests.nn.models import assert_same_bits, cell, normal

ACTIVATIONS = [None, "softmax", "sigmoid", "tanh", "relu"]


def test_an_embedding_is_the_one_hot_product() -> None:
    """For a dictionary of 10,000 words, to the bit, in a layer and in a network."""
    V, D, H = 10_000, 48, 8
    E = normal(1, V, D)
    ids = np.random.default_rng(2).integers(0, V, 50)
    ids[:2] = 0, V - 1
    one_hot = np.zeros((len(ids), V), np.float32)
    one_hot[np.arange(len(ids)), ids] = 1
    gathered, dense = nn.Embedding(E), nn.Dense(E.T, np.zeros(D))
    assert_same_bits(gathered.apply(ids), dense.apply(one_hot))
    assert_same_bits(gathered.apply(ids), E[ids])
    reader = cell("LSTM", D, H)
    y, a = nn.Network([gathered, reader]).unroll(ids)
    y_hot, a_hot = nn.Network([dense, reader]).unroll(one_hot)
    assert_same_bits(y, y_hot)
    assert_same_bits(a, a_hot)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,), (2, 0)])
def test_an_embedding_keeps_the_axes_of_the_ids(shape: tuple[int, ...]) -> None:
    E = normal(1, 7, 5)
    ids = np.random.default_rng(0).integers(0, 7, (2, *shape))
    assert_same_bits(nn.Embedding(E).apply(ids), E[ids])
    assert nn.Embedding(E).out_shape(shape) == (*shape, 5)


@pytest.mark.parametrize("wrong", [-1, 7, 2**40])
def test_an_embedding_refuses_other_ids(wrong: int) -> None:
    with pytest.raises(InputError, match=r"0\.\.6"):
        nn.Embedding(normal(1, 7, 5)).apply(np.array([0, wrong]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@settings(max_examples=10)
@given(
    n=st.integers(0, 9),
    C=st.integers(1, 40),
    H=st.integers(1, 40),
    positions=st.none() | st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_dense(
    activation: str | None, n: int, C: int, H: int, positions: int | None, seed: int
) -> None:
    layer = nn.Dense(normal(seed, C, H), normal(seed + 1, C), activation)
    shape = (n, H) if positions is None else (n, positions, H)
    x = normal(seed + 2, *shape, scale=1)
    kept = x.copy()
    y = layer.apply(x)
    z = x.astype(np.float64) @ layer.W_y.T.astype(np.float64) + layer.b_y
    expected = np.zeros(z.shape)
    for at in np.ndindex(*shape[:-1]):
        expected[at] = textbook.activated(z[at], activation)
    assert y.dtype == np.float32
    assert y.shape == (*shape[:-1], C)
    assert y.shape[1:] == layer.out_shape(shape[1:])
    np.testing.assert_allclose(y, expected, atol=1e-5, rtol=0)
    assert_same_bits(x, kept)


@pytest.mark.filterwarnings("error")
def test_activations_are_stable() -> None:
    huge = np.array([[1e4, 0, -1e4], [-3e38, -3e38, 3e38], [88, 89, 90], [-1e30] * 3], np.float32)
    identity = np.eye(3, dtype=np.float32)

    def over(activation: str) -> np.ndarray:
        return nn.Dense(identity, np.zeros(3), activation).apply(huge)

    e = np.exp([-2.0, -1.0, 0.0])
    with np.errstate(over="ignore"):  # the difference of the largest numbers, -inf: exp gives 0
        softmax = over("softmax")
    np.testing.assert_allclose(
        softmax, [[1, 0, 0], [0, 0, 1], e / e.sum(), [1 / 3] * 3], atol=1e-6, rtol=0
    )
    np.testing.assert_allclose(softmax.sum(axis=1), 1, atol=1e-6, rtol=0)
    signs = (huge > 0) - 1.0 * (huge < 0)
    np.testing.assert_allclose(over("tanh"), signs, atol=1e-6, rtol=0)
    np.testing.assert_allclose(over("sigmoid"), (1 + signs) / 2, atol=1e-6, rtol=0)
    np.testing.assert_array_equal(over("relu"), np.where(huge > 0, huge, 0))


@pytest.mark.parametrize("activation", ACTIVATIONS[1:])
def test_an_activation_alone(activation: str) -> None:
    x = normal(1, 4, 3, 5)
    kept = x.copy()
    layer = nn.Activation(activation)
    expected = nn.Dense(np.eye(5), np.zeros(5), activation).apply(x)
    assert_same_bits(layer.apply(x), expected)
    assert_same_bits(x, kept)
    assert layer.out_shape((3, 5)) == (3, 5)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Activation\.name is 'swish', expected one of softmax"):
        nn.Activation("swish")


def spelled() -> tuple[list[Any], list[Any]]:
    words = [nn.Embedding(normal(1, 9, 4)), nn.Dense(normal(2, 3, 4), normal(3, 3), "tanh")]
    letters = [
        nn.Embedding(normal(4, 6, 3)),
        nn.Conv1d(normal(5, 5, 3, 3), normal(6, 5), "relu"),
        nn.MaxPool(),
    ]
    return words, letters


def test_columns() -> None:
    """One id, five ids, a number as it is, two numbers through a layer."""
    words, letters = spelled()
    numbers = nn.Dense(normal(7, 2, 2), normal(8, 2))
    layer = nn.Columns([(1, words), (5, letters), (1, []), (2, [numbers])])
    x = np.random.default_rng(0).integers(0, 6, (8, 9))
    expected = []
    for row in x:
        word = words[1].W_y.astype(np.float64) @ words[0].E[row[0]] + words[1].b_y
        word = textbook.activated(word, "tanh")
        spelling = textbook.convolved(letters[1], letters[0].E[row[1:6]]).max(axis=0)
        pair = numbers.W_y.astype(np.float64) @ row[7:] + numbers.b_y
        expected.append(np.concatenate([word, spelling, row[6:7], pair]))
    y = layer.apply(x)
    np.testing.assert_allclose(y, expected, atol=1e-5, rtol=0)
    assert y.dtype == np.float32
    assert y.flags.c_contiguous
    assert layer.in_shape == (9,)
    assert layer.out_shape((9,)) == (3 + 5 + 1 + 2,)
    assert layer.limits == (9, 6, 6, 6, 6, 6, 0, 0, 0)
    net = nn.Network([layer])
    assert (net.input_dtype, net.input_shape) == (np.int64, (9,))
    assert_same_bits(net.step(x, net.initial_state(8))[0], y)


def test_columns_of_floats_are_floats() -> None:
    layer = nn.Columns([(2, [nn.Dense(normal(1, 3, 2), normal(2, 3))]), (1, [])])
    x = normal(3, 4, 3, scale=1)
    y = layer.apply(x)
    expected = x[:, :2].astype(np.float64) @ layer.branches[0][1][0].W_y.T + normal(2, 3)
    np.testing.assert_allclose(y[:, :3], expected, atol=1e-6, rtol=0)
    assert_same_bits(y[:, 3], x[:, 2])
    net = nn.Network([layer])
    assert (net.input_dtype, net.input_shape) == (np.float32, (3,))


def test_each_column_has_its_own_ids() -> None:
    words, letters = spelled()
    net = nn.Network([nn.Columns([(1, words), (5, letters), (1, [])])])
    limits = (9, 6, 6, 6, 6, 6)
    for column, limit in enumerate(limits):
        x = np.zeros((3, 7), np.int64)
        x[1, column] = limit - 1
        net.inputs.check(x)
        for wrong in (-1, limit):
            x[1, column] = wrong
            with pytest.raises(InputError, match=rf"id {wrong} in column {column}, expected 0\.\."):
                net.inputs.check(x)
    x = np.zeros((3, 7), np.int64)
    x[:, 6] = -5, 0, 10**6  # a number, not an id
    net.inputs.check(x)


def test_a_single_column_of_letters_is_a_row_too() -> None:
    """One column before an Embedding is an id; before another layer it stays an axis."""
    E = normal(1, 4, 3)
    one = nn.Columns([(1, [nn.Embedding(E)]), (1, [nn.Dense(normal(2, 2, 1), normal(3, 2))])])
    x = np.array([[3, 1], [0, 2]])
    y = one.apply(x)
    assert_same_bits(y[:, :3], E[x[:, 0]])
    expected = x[:, 1:] * normal(2, 2, 1).T + normal(3, 2)
    np.testing.assert_allclose(y[:, 3:], expected, atol=1e-6, rtol=0)


E = nn.Embedding(normal(1, 4, 3))
UNFIT: dict[str, tuple[Any, str]] = {
    "no branch": (lambda: nn.Columns([]), "branches"),
    "an empty branch": (lambda: nn.Columns([(0, [])]), "at least one column"),
    "letters side by side": (lambda: nn.Columns([(3, [E])]), r"branch 0 gives \(3, 3\)"),
    "a cell in a branch": (lambda: nn.Columns([(5, [cell("LSTM", 5, 4)])]), "branch 0 has LSTM"),
    "ids behind numbers": (
        lambda: nn.Columns([(1, []), (2, [nn.Dense(normal(1, 2, 2), normal(2, 2)), E])]),
        "branch 1 takes ids in its layer 1",
    ),
    "ids in columns in columns": (
        lambda: nn.Columns([(2, [nn.Columns([(1, [E]), (1, [])])])]),
        "branch 0 takes ids in its layer 0",
    ),
    "a pool without positions": (lambda: nn.Columns([(1, [E, nn.MaxPool()])]), r"MaxPool .*\(3,\)"),
    "a filter of another width": (
        lambda: nn.Columns([(2, [E, nn.Conv1d(normal(1, 2, 3, 4), normal(2, 2))])]),
        r"Conv1d\.W takes \(L, 4\) .* gives \(2, 3\)",
    ),
    "a filter without positions": (
        lambda: nn.Columns([(1, [E, nn.Conv1d(normal(1, 2, 3, 3), normal(2, 2))])]),
        r"Conv1d\.W takes .* gives \(3, 1\)",
    ),
    "a dense layer of another width": (
        lambda: nn.Columns([(1, [E, nn.Dense(normal(1, 2, 4), normal(2, 2))])]),
        r"Dense\.W_y takes 4 features, .* gives \(3,\)",
    ),
}


@pytest.mark.parametrize("what", UNFIT)
def test_columns_that_do_not_fit_are_refused(what: str) -> None:
    build, message = UNFIT[what]
    with pytest.raises(ModelError, match=message):
        build()
