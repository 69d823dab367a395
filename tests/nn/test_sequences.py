"""Layers that read whole sequences: both directions, and the best path of a CRF."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_rnn import nn
from beam_rnn.errors import ModelError
from tests.nn.models import CELLS, assert_same_bits, cell, inputs, normal

# Scores of few values: float32 adds them without an error, and many paths are equally good.
SCORES = st.integers(-6, 6).map(lambda n: n / 2)


@pytest.mark.parametrize("backward", CELLS)
@pytest.mark.parametrize("forward", ["LSTM", "GRU before"])
def test_bidirectional_is_two_unrolls(forward: str, backward: str) -> None:
    f, b = cell(forward, 5, 7, 1), cell(backward, 5, 4, 2)
    net = nn.Network([nn.Bidirectional(f, b)])
    assert net.output_size == 11
    x = inputs(net, 3, 20)
    y, _ = net.unroll(x)
    assert_same_bits(y[:, :, :7], nn.Network([f]).unroll(x)[0])
    assert_same_bits(y[:, ::-1, 7:], nn.Network([b]).unroll(x[:, ::-1])[0])


def test_bidirectional_layers_between_others() -> None:
    """The layers before and after see the same sequence; cells in front step forwards."""
    E, first = nn.Embedding(normal(1, 9, 5)), cell("GRU after", 5, 6)
    f, b = cell("LSTM", 6, 3, 1), cell("LSTM", 6, 3, 2)
    head = nn.Dense(normal(2, 4, 6), normal(3, 4), "softmax")
    net = nn.Network([E, first, nn.Bidirectional(f, b), head])
    x = inputs(net, 2, 11)
    h, _ = nn.Network([E, first]).unroll(x)
    y = np.concatenate(
        [
            nn.Network([f]).unroll(h)[0],
            nn.Network([b]).unroll(h[:, ::-1])[0][:, ::-1],
        ],
        axis=2,
    )
    assert_same_bits(net.unroll(x)[0], head.apply(y))


def score(layer: nn.CRF, x: np.ndarray, path: tuple[int, ...]) -> float:
    total = sum(float(x[t, label]) for t, label in enumerate(path))
    total += sum(float(layer.transitions[i, j]) for i, j in itertools.pairwise(path))
    if layer.start is not None:
        total += float(layer.start[path[0]])
    if layer.end is not None:
        total += float(layer.end[path[-1]])
    return total


def best_score(layer: nn.CRF, x: np.ndarray) -> float:
    T, C = x.shape
    return max(score(layer, x, path) for path in itertools.product(range(C), repeat=T))


@st.composite
def decoded(draw: st.DrawFn) -> tuple[nn.CRF, np.ndarray]:
    C, T, B = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 3))

    def array(*shape: int) -> np.ndarray:
        size = int(np.prod(shape))
        return np.reshape(draw(st.lists(SCORES, min_size=size, max_size=size)), shape)

    start, end = (array(C) if draw(st.booleans()) else None for _ in range(2))
    return nn.CRF(array(C, C), start, end), array(B, T, C).astype(np.float32)


@settings(max_examples=40)
@given(decoded())
def test_viterbi_finds_the_best_of_all_paths(case: tuple[nn.CRF, np.ndarray]) -> None:
    layer, x = case
    y, _ = nn.Network([layer]).unroll(x)
    assert y.shape == x.shape
    for i in range(len(x)):
        assert sorted(np.unique(y[i]).tolist()) in ([0, 1], [1])
        np.testing.assert_array_equal(y[i].sum(axis=1), 1)
        path = tuple(y[i].argmax(axis=1).tolist())
        assert score(layer, x[i], path) == best_score(layer, x[i])


def test_viterbi_of_a_case_by_hand() -> None:
    """I may follow B only: the transition overrules what the word alone would say."""
    outside, begin, inside = range(3)
    transitions = np.zeros((3, 3))
    transitions[outside, inside] = -100
    layer = nn.CRF(transitions, start=[0, 0, -100], end=None)
    x = np.array([[2.0, 1.5, 9.0], [0.0, 0.0, 3.0], [1.0, 0.0, 0.5]])
    y, _ = nn.Network([layer]).unroll(x)
    assert y.argmax(axis=1).tolist() == [begin, inside, outside]
    # from rows to columns: the other way round, O would be followed by I
    turned = dataclasses.replace(layer, transitions=transitions.T)
    assert nn.Network([turned]).unroll(x)[0].argmax(axis=1).tolist() == [outside, inside, inside]


def test_a_long_sequence_is_read_to_its_start() -> None:
    """The end decides about the first label, 500 steps before."""
    stay = np.where(np.eye(2), 0.0, -1e6)
    x = np.zeros((500, 2), np.float32)
    x[0] = 1, 0
    for end, label in (([0, 0.5], 0), ([0, 1.5], 1)):
        y, _ = nn.Network([nn.CRF(stay, end=end)]).unroll(x)
        assert (y.argmax(axis=1) == label).all()


def test_what_cannot_be_put_together() -> None:
    crf = nn.CRF(normal(1, 3, 3))
    with pytest.raises(ModelError, match="CRF must be the last"):
        nn.Network([crf, nn.Dense(normal(1, 3, 3), normal(2, 3))])
    with pytest.raises(ModelError, match=r"layer 1: CRF\.transitions has 3 labels, .* \(4,\)"):
        nn.Network([cell("LSTM", 2, 4), crf])
    with pytest.raises(ModelError, match=r"forward cell takes 5 features, the backward cell 4"):
        nn.Bidirectional(cell("LSTM", 5, 3), cell("LSTM", 4, 3))
    both = nn.Bidirectional(cell("LSTM", 5, 3), cell("LSTM", 5, 3))
    with pytest.raises(ModelError, match=r"layer 1: LSTM\.W_x takes 5 features, .* \(4,\)"):
        nn.Network([cell("GRU before", 3, 4), both])


def test_they_need_the_whole_sequence() -> None:
    both = nn.Bidirectional(cell("LSTM", 5, 3), cell("LSTM", 5, 3))
    for layers in ([both], [nn.CRF(normal(1, 3, 3))], [cell("LSTM", 5, 5), both]):
        net = nn.Network(layers)
        assert not net.causal
        with pytest.raises(ModelError, match="causal"):
            net.step(inputs(net, 1), net.initial_state(1))
    assert nn.Network([cell("LSTM", 5, 5)]).causal
