"""Spelling and learned first states against a loop over one row, one letter after the other."""

import numpy as np
import pytest

from beam_rnn import nn
from beam_rnn.errors import ModelError
from tests.nn.models import assert_same_bits, cell, normal

CELLS = nn.Bidirectional(
    cell("LSTM", 3, 5, 1), cell("GRU before", 3, 4, 2), normal(3, 10), normal(4, 4)
)
SPELLING = nn.Spelling(normal(5, 7, 3), CELLS)


def plainly(word: np.ndarray) -> np.ndarray:
    ends = []
    x = SPELLING.E[word[word > 0]]
    for one, initial, letters in (
        (CELLS.forward, CELLS.a_forward, x),
        (CELLS.backward, CELLS.a_backward, x[::-1]),
    ):
        net = nn.Network([one])
        assert initial is not None
        a = initial.copy()
        for letter in letters:
            a = net.step(letter[None], a[None])[1][0]
        ends.append(a[: one.hidden_size])
    return np.concatenate(ends)


def test_a_word_is_read_from_both_ends() -> None:
    draw = np.random.default_rng(0)
    words = draw.integers(1, 7, (20, 9)) * (np.arange(9) < draw.integers(0, 10, (20, 1)))
    assert (words.sum(axis=1) == 0).any()
    assert (words[:, -1] > 0).any()
    assert_same_bits(SPELLING.apply(words), np.array([plainly(word) for word in words]))


def test_first_states_count() -> None:
    x = normal(6, 4, 1, 3)
    plain = nn.Bidirectional(CELLS.forward, CELLS.backward)
    assert not np.array_equal(plain.over(x), CELLS.over(x))
    steps = CELLS.over(x)[:, 0]
    net = nn.Network([CELLS.forward])
    a = CELLS.a_forward
    assert a is not None
    for t in range(4):
        a = net.step(x[t], a.reshape(1, -1))[1][0]
        assert_same_bits(steps[t, :5], a[:5])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Bidirectional.a_backward has shape \(3,\), expected"):
        nn.Bidirectional(CELLS.forward, CELLS.backward, None, np.zeros(3))
    with pytest.raises(ModelError, match=r"Spelling.E has shape \(7, 2\), expected \(V, 3\)"):
        nn.Spelling(normal(5, 7, 2), CELLS)
    with pytest.raises(ModelError, match="Spelling takes ids: it must be the first layer"):
        nn.Network([nn.Dense(normal(1, 4, 3), normal(2, 4)), SPELLING])
    with pytest.raises(ModelError, match="Spelling cannot be the first layer"):
        nn.Network([SPELLING])
