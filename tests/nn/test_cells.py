"""The cells against the equations in float64, and what their constructors refuse."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_rnn import nn
from beam_rnn.errors import ModelError
from tests.nn import textbook
from tests.nn.models import CELLS, assert_same_bits, cell, inputs, normal, states

STEPS = 200
TOLERANCE = 1e-5


@pytest.mark.parametrize(("D", "H"), [(1, 1), (9, 5), (1, 32), (9, 70)])
@pytest.mark.parametrize("kind", CELLS)
def test_two_hundred_steps_are_the_equations(kind: str, D: int, H: int) -> None:
    layer = cell(kind, D, H)
    net = nn.Network([layer])
    x = inputs(net, 3, STEPS)
    start = states(net, 3)
    y, a = net.unroll(x, start)
    for i in range(3):
        hidden, last = textbook.unroll(layer, x[i], start[i])
        np.testing.assert_allclose(y[i], hidden, atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(a[i], last, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("kind", CELLS)
@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**32 - 1),
    D=st.integers(1, 12),
    H=st.integers(1, 40),
    scale=st.sampled_from([0.0, 1.0, 30.0]),
)
def test_one_step_is_the_equation(kind: str, seed: int, D: int, H: int, scale: float) -> None:
    """Any shape; also where the gates are all open, half open or shut."""
    layer = cell(kind, D, H, seed)
    x = normal(seed, 1, D, scale=scale)
    a = normal(seed + 9, 1, layer.state_size, scale=0.5)
    _, got = nn.Network([layer]).step(x, a)
    expected = textbook.step(layer, x[0].astype(np.float64), a[0].astype(np.float64))
    np.testing.assert_allclose(got[0], expected, atol=TOLERANCE * max(1, scale), rtol=0)


@pytest.mark.parametrize("kind", CELLS)
def test_the_output_is_the_hidden_vector(kind: str) -> None:
    layer = cell(kind, 3, 4)
    assert (layer.input_size, layer.hidden_size, layer.output_size) == (3, 4, 4)
    assert layer.state_size == (8 if kind == "LSTM" else 4)
    net = nn.Network([layer])
    y, a = net.step(inputs(net, 2), states(net, 2))
    assert_same_bits(y, a[:, :4])


@pytest.mark.parametrize("kind", ["RNN tanh", "GRU after b_n", "GRU before", "LSTM"])
def test_huge_inputs_saturate(kind: str) -> None:
    net = nn.Network([cell(kind, 3, 4)])
    x = np.full((2, 20, 3), 1e30, np.float32) * np.array([1, -1], np.float32)[:, None, None]
    y, a = net.unroll(x)
    assert np.isfinite(a).all()
    assert (np.abs(y) <= 1).all()


@pytest.mark.parametrize("kind", ["GRU before", "LSTM"])
def test_more_rows_than_a_block(kind: str) -> None:
    """The input half is computed for many steps at once; the seams do not show."""
    net = nn.Network([cell(kind, 2, 3)])
    x = inputs(net, 2600)
    whole, last = net.unroll(x)
    a, parts = None, []
    for chunk in np.split(x, [1, 2049, 2500]):
        y, a = net.unroll(chunk, a)
        parts.append(y)
    assert_same_bits(np.concatenate(parts), whole)
    assert_same_bits(a, last)
    wide = inputs(net, 2500, 2)
    y, _ = net.unroll(wide)
    for i in (0, 2047, 2048, 2499):
        assert_same_bits(net.unroll(wide[i])[0], y[i])


# Every layer with weights, and wrong shapes of each of its arrays.

D, H, C = 5, 4, 3
LAYERS: dict[str, Any] = {
    **{kind: cell(kind, D, H) for kind in CELLS},
    "Embedding": nn.Embedding(normal(1, 7, D)),
    "Dense": nn.Dense(normal(2, C, H), normal(3, C)),
    "Conv1d": nn.Conv1d(normal(4, 6, 3, D), normal(5, 6)),
    "CRF": nn.CRF(normal(6, C, C), normal(7, C), normal(8, C)),
}


def wrong_shapes(layer: Any, name: str) -> list[tuple[int, ...]]:
    shape = getattr(layer, name).shape
    rows, *rest = shape
    wrong = [(), (*shape, 1), (1, *shape), (0, *rest)]
    if len(shape) > 1:
        wrong += [(rows * rest[0],), (rows, 0, *rest[1:])]
    if name not in ("E", "W_y", "W"):  # their number of rows is free
        wrong += [(rows + 1, *rest), (rows - 1, *rest)]
    if name in ("W_a", "transitions"):
        wrong += [(rows, H + 1), (rows, rows + 1)]
    if name == "W_x":
        wrong += [(rows // H * (H + 1), D)]
    if name == "W":
        wrong += [(rows, 2, D)]  # an even filter has no middle
    return wrong


ARRAYS = [
    (kind, field.name)
    for kind, layer in LAYERS.items()
    for field in dataclasses.fields(layer)
    if isinstance(getattr(layer, field.name), np.ndarray)
]


@pytest.mark.parametrize(("kind", "name"), ARRAYS)
def test_a_wrong_shape_names_the_array(kind: str, name: str) -> None:
    layer = LAYERS[kind]
    for shape in wrong_shapes(layer, name):
        with pytest.raises(ModelError, match=rf"^{type(layer).__name__}\.{name} .*, expected "):
            dataclasses.replace(layer, **{name: np.zeros(shape, np.float32)})


def test_a_wrong_shape_says_what_was_expected() -> None:
    with pytest.raises(ModelError, match=r"LSTM\.W_x has shape \(12, 5\), expected \(16, D\)"):
        dataclasses.replace(LAYERS["LSTM"], W_x=np.zeros((12, 5)))
    with pytest.raises(ModelError, match=r"GRU\.W_a has shape \(16, 4\), expected .*\(12, 4\)"):
        dataclasses.replace(LAYERS["GRU after"], W_a=np.zeros((16, 4)))
    with pytest.raises(ModelError, match=r"Dense\.b_y has shape \(4,\), expected \(3\)"):
        dataclasses.replace(LAYERS["Dense"], b_y=np.zeros(4))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("kind", "name"), ARRAYS)
def test_weights_that_are_not_finite_are_refused(kind: str, name: str, value: float) -> None:
    layer = LAYERS[kind]
    array = getattr(layer, name).copy()
    array.flat[-1] = value
    with pytest.raises(ModelError, match=rf"^{type(layer).__name__}\.{name} .*not finite"):
        dataclasses.replace(layer, **{name: array})


@pytest.mark.parametrize(("kind", "name"), ARRAYS)
def test_weights_are_a_copy_whatever_their_form(kind: str, name: str) -> None:
    layer = LAYERS[kind]
    array = getattr(layer, name)
    mine = array.copy()
    taken = getattr(dataclasses.replace(layer, **{name: mine}), name)
    mine[...] = 0
    assert_same_bits(taken, array)
    for other in (np.asfortranarray(array), array.astype(np.float64), array.tolist()):
        taken = getattr(dataclasses.replace(layer, **{name: other}), name)
        assert_same_bits(taken, array)
        assert taken.flags.c_contiguous
    for junk in ("weights", [[1.0], [1.0, 2.0]], {}):
        with pytest.raises(ModelError, match=rf"{name} is not an array of numbers"):
            dataclasses.replace(layer, **{name: junk})


def test_options_are_checked() -> None:
    with pytest.raises(ModelError, match=r"RNN\.activation is 'sigmoid'"):
        dataclasses.replace(LAYERS["RNN tanh"], activation="sigmoid")
    with pytest.raises(ModelError, match=r"GRU\.b_n .* reset_after only"):
        dataclasses.replace(LAYERS["GRU after b_n"], reset_after=False)
    for kind in ("Dense", "Conv1d"):
        with pytest.raises(ModelError, match=rf"{kind}\.activation is 'swish', expected .*tanh"):
            dataclasses.replace(LAYERS[kind], activation="swish")
