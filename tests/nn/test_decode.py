"""Sampling: which tokens can be drawn, and how often they are."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_rnn import nn
from beam_rnn.errors import ModelError, OptionError
from beam_rnn.nn.decode import Sampling, check_generator, log_probabilities
from tests.nn.models import cell, normal

P = np.array([0.05, 0.4, 0.15, 0.3, 0.1])
LOG_P = np.log(P).astype(np.float32)


def shares(how: Sampling, draws: int = 20_000) -> np.ndarray:
    """How often each token is drawn when u runs evenly through [0, 1)."""
    u = (np.arange(draws) + 0.5) / draws
    tokens = how.choose(np.broadcast_to(LOG_P, (draws, 5)), u)
    return np.bincount(tokens, minlength=5) / draws


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ({}, P),
        ({"temperature": 0.5}, P**2 / (P**2).sum()),
        ({"temperature": 4}, P**0.25 / (P**0.25).sum()),
        ({"temperature": 1e-320}, [0, 1, 0, 0, 0]),
        ({"top_k": 2}, [0, 4 / 7, 0, 3 / 7, 0]),
        ({"top_k": 9}, P),
        ({"top_p": 0.69}, [0, 4 / 7, 0, 3 / 7, 0]),
        ({"top_p": 0.71}, [0, 8 / 17, 3 / 17, 6 / 17, 0]),
        ({"top_p": 1e-9}, [0, 1, 0, 0, 0]),
        ({"top_p": 1.0}, P),
        ({"top_k": 3, "top_p": 0.5}, [0, 4 / 7, 0, 3 / 7, 0]),  # 0.47 and 0.35 of the three
        ({"allowed": [4, 0, 2]}, [1 / 6, 0, 1 / 2, 0, 1 / 3]),
        ({"allowed": [0, 2, 4], "top_k": 1}, [0, 0, 1, 0, 0]),
        ({"temperature": 0}, [0, 1, 0, 0, 0]),
    ],
    ids=str,
)
def test_tokens_come_as_often_as_they_should(how: dict[str, Any], wanted: Any) -> None:
    np.testing.assert_allclose(shares(Sampling(**how)), wanted, atol=2e-4)


@given(
    seed=st.integers(0, 1000),
    rows=st.integers(1, 30),
    how=st.sampled_from(
        [{}, {"temperature": 0.3}, {"top_k": 3}, {"top_p": 0.8}, {"allowed": [1, 6], "top_p": 0.9}]
    ),
)
def test_a_row_draws_the_same_in_any_company(seed: int, rows: int, how: dict[str, Any]) -> None:
    rng = np.random.default_rng(seed)
    log_p = rng.normal(size=(rows, 7)).astype(np.float32).round(1)  # with equal values
    u = rng.random(rows)
    together = Sampling(**how).choose(log_p, u)
    alone = [Sampling(**how).choose(log_p[i : i + 1], u[i : i + 1])[0] for i in range(rows)]
    assert together.tolist() == alone


def test_what_has_no_probability_is_never_drawn() -> None:
    log_p = np.array([[-np.inf, 0, -np.inf, 0, -np.inf]], np.float32)
    almost_one = np.array([np.nextafter(1, 0)])
    assert Sampling().choose(log_p, almost_one).tolist() == [3]
    assert Sampling().choose(log_p, np.zeros(1)).tolist() == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature is -1, expected a number from 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0, expected a whole number from 1"),
        ({"top_p": 0}, "top_p is 0, expected a probability above 0"),
        ({"top_p": 1.5}, r"top_p is 1\.5"),
        ({"allowed": []}, "allowed is empty"),
    ],
    ids=str,
)
def test_a_wrong_option_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Sampling(**options)


def test_an_allowed_id_must_be_one() -> None:
    with pytest.raises(OptionError, match=r"allowed has the id 9, expected 0\.\.4"):
        Sampling(allowed=[0, 9]).check(5)


def writer(activation: str | None, V: int = 5) -> nn.Network:
    dense = nn.Dense(normal(2, V, 4), normal(3, V), activation)
    return nn.Network([nn.Embedding(normal(1, 5, 3)), cell("GRU after", 3, 4), dense])


def test_logits_and_probabilities_are_the_same_distribution() -> None:
    logits, softmax = writer(None), writer("softmax")
    x, a = np.arange(5), logits.initial_state(5)
    expected = log_probabilities(softmax, softmax.step(x, a)[0])
    np.testing.assert_allclose(log_probabilities(logits, logits.step(x, a)[0]), expected, rtol=1e-5)
    np.testing.assert_allclose(np.exp(expected).sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Network([cell("GRU after", 3, 4)]), r"reads \(3,\), expected ids of tokens"),
        (nn.Network([nn.Embedding(normal(1, 5, 3))]), "ends in Embedding, expected a Dense"),
        (writer("tanh"), r"ends in tanh, expected softmax or None"),
        (writer(None, 6), "gives 6 tokens and reads 5"),
    ],
    ids=str,
)
def test_what_writes_must_read_what_it_writes(network: nn.Network, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        check_generator(network)
