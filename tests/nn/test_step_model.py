"""Step models: any step over rows, what it may give, and what it may not."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from beam_rnn import nn
from beam_rnn.errors import ModelError
from beam_rnn.nn.sequences import Wave
from tests.nn.models import assert_same_bits, cell, normal

NETWORK = nn.Network([cell("LSTM", 5, 6), nn.Dense(normal(1, 3, 6), normal(2, 3), "softmax")])


class Wrapped:
    """The step of a network as one of a stranger's; counts the rows of each call."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def step(self, x: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.calls.append(len(x))
        return NETWORK.step(x, state)


def summing(x: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids: y is their sum so far, modulo 5, as one-hot rows."""
    state = state + x[:, None]
    return np.eye(5)[state[:, 0].astype(int) % 5], state


def wrapped(batch: int | None = None, step: Any = None) -> nn.StepModel:
    return nn.StepModel(step or Wrapped(), 12, 3, "1", shape=(5,), batch=batch, labels="abc")


@pytest.mark.parametrize("batch", [None, 1, 4, 64])
def test_a_wrapped_network_is_the_network(batch: int | None) -> None:
    step = Wrapped()
    model = wrapped(batch, step)
    assert isinstance(model, nn.Recurrent)
    x = normal(3, 9, 5, scale=1)
    y, a = model.unroll(x)
    expected, last = NETWORK.unroll(x)
    assert_same_bits(y, expected)
    assert_same_bits(a[:12], last)
    assert_same_bits(model.readout(a[None])[0], y[-1])
    assert set(step.calls) == {batch or 1}


def test_waves_step_their_rows_and_begin_afresh() -> None:
    model = nn.StepModel(summing, 1, 5, "1", ids=9)
    a = model.initial_state(4)
    waves = [
        Wave(slice(0, 3), 3),
        Wave(np.array([2, 0]), 2, np.array([0])),
        Wave(slice(0, 0), 0),
        Wave(np.array([3]), 1),
    ]
    y = model.advance(np.array([1, 2, 3, 4, 8, 6]), a, waves)
    assert a[:, 0].tolist() == [8, 2, 7, 6]
    assert y.argmax(axis=1).tolist() == [1, 2, 3, 2, 3, 1]
    assert model.readout(a).argmax(axis=1).tolist() == [3, 2, 2, 1]


def test_a_fixed_batch_is_filled_up() -> None:
    step = Wrapped()
    model = wrapped(4, step)
    a = model.initial_state(9)
    x = normal(4, 9, 5)
    y = model.advance(x, a, [Wave(slice(0, 9), 9)])
    assert step.calls == [4, 4, 4]
    assert_same_bits(y, NETWORK.step(x, NETWORK.initial_state(9))[0])


@pytest.mark.parametrize(
    ("gives", "reason"),
    [
        ((np.zeros((2, 3)), np.zeros((2, 11))), r"gave state of shape \(2, 11\)"),
        ((np.zeros((2, 4)), np.zeros((2, 12))), r"gave y of shape \(2, 4\)"),
        ((np.zeros((1, 3)), np.zeros((2, 12))), r"gave y of shape \(1, 3\)"),
        ((np.zeros((2, 3)), np.full((2, 12), "a")), r"gave state .* type <U1"),
        ((np.zeros((2, 3)), [[1], [1, 2]]), "gave no array: state"),
        (np.zeros((2, 15)), r"gave a ndarray, expected \(y, state\)"),
        (None, "gave a NoneType"),
    ],
)
def test_what_a_step_gives_is_checked(gives: Any, reason: str) -> None:
    model = wrapped(step=lambda x, state: gives)
    with pytest.raises(ModelError, match=reason):
        model.advance(np.zeros((2, 5), np.float32), model.initial_state(2), [Wave(slice(0, 2), 2)])


def test_a_state_that_is_not_finite_is_refused() -> None:
    model = wrapped(step=lambda x, state: (np.zeros((1, 3)), state + np.inf))
    with pytest.raises(FloatingPointError, match="state that is not finite"):
        model.unroll(np.zeros((1, 5)))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"step": 3}, "step is 3"),
        ({"state": -1}, "state is -1"),
        ({"output": 0}, "output 0"),
        ({"lookahead": -1}, "lookahead -1"),
        ({"batch": 0}, "batch is 0"),
        ({"version": ""}, "version is ''"),
        ({"labels": ["a"]}, "1 labels, expected one for each of 5"),
        ({"ids": (1, 2)}, "ids is"),
    ],
)
def test_options_are_checked(options: dict[str, Any], reason: str) -> None:
    usual: dict[str, Any] = {"step": summing, "state": 1, "output": 5, "version": "1", "ids": 9}
    with pytest.raises(ModelError, match=reason):
        nn.StepModel(**{**usual, **options})


def test_the_fingerprint_is_of_the_version_and_the_sizes() -> None:
    model = nn.StepModel(summing, 1, 5, "1", ids=9)
    assert nn.StepModel(summing, 1, 5, "1", ids=9).fingerprint == model.fingerprint
    for other in (("2", 9, None), ("1", 8, None), ("1", 9, 4)):
        version, ids, batch = other
        changed = nn.StepModel(summing, 1, 5, version, ids=ids, batch=batch)
        assert changed.fingerprint != model.fingerprint
    assert pickle.loads(pickle.dumps(model)).fingerprint == model.fingerprint
