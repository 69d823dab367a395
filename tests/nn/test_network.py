"""Networks: what they check, their fingerprint, and many streams stepped in waves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_rnn import nn
from beam_rnn.errors import InputError, ModelError
from beam_rnn.nn.sequences import Wave
from tests.nn.models import assert_same_bits, cell, inputs, networks, normal, states

NETWORKS = networks()
WITH_STATE = [name for name, net in NETWORKS.items() if net.causal and net.state_size]


# What it is put together from.


def test_layers_that_do_not_fit_are_named() -> None:
    E, lstm = nn.Embedding(normal(1, 9, 5)), cell("LSTM", 5, 6)
    dense = nn.Dense(normal(2, 3, 6), normal(3, 3))
    unfit: list[tuple[list[Any], str]] = [
        ([], "at least one layer"),
        ([E, cell("LSTM", 4, 6)], r"layer 1: LSTM\.W_x takes 4 features, .* gives \(5,\)"),
        ([lstm, cell("GRU before", 5, 6)], r"layer 1: GRU\.W_x takes 5 features, .* \(6,\)"),
        ([E, dense], r"layer 1: Dense\.W_y takes 6 features, .* gives \(5,\)"),
        ([lstm, nn.Columns([(5, [])])], r"layer 1: Columns takes \(5,\), .* gives \(6,\)"),
        ([lstm, E], "Embedding takes ids: it must be the first"),
        ([nn.MaxPool()], "MaxPool cannot be the first layer"),
        ([E, nn.MaxPool()], r"layer 1: MaxPool takes \(L, F\)"),
        ([lstm, "softmax"], "layer 1 is str, which is no layer"),
        (["softmax"], "str cannot be the first layer"),
    ]
    for layers, message in unfit:
        with pytest.raises(ModelError, match=message):
            nn.Network(layers)


def test_labels_and_vocabulary_are_one_for_each() -> None:
    E, lstm = nn.Embedding(normal(1, 4, 5)), cell("LSTM", 5, 3)
    net = nn.Network([E, lstm], labels=iter("OBI"), vocabulary=["", "a", "b", "c"])
    assert net.labels == ("O", "B", "I")
    assert net.vocabulary == ("", "a", "b", "c")
    assert nn.Network([E, lstm]).labels is None
    for labels in ([], ["O", "B"], ["O", "B", "I", "E"]):
        with pytest.raises(ModelError, match=f"{len(labels)} labels, expected .* each of 3"):
            nn.Network([E, lstm], labels=labels)
    for vocabulary in ([], ["a"] * 3, ["a"] * 5):
        with pytest.raises(ModelError, match=f"{len(vocabulary)} tokens, expected .* each of 4"):
            nn.Network([E, lstm], vocabulary=vocabulary)


def test_what_it_was_given_may_change() -> None:
    layers: list[Any] = [cell("LSTM", 5, 3)]
    labels, card = ["O", "B", "I"], {"data": "CoNLL"}
    net = nn.Network(layers, labels=labels, card=card)
    layers.append(None)
    labels.append("E")
    card.clear()
    assert len(net.layers) == 1
    assert net.labels == ("O", "B", "I")
    assert net.card == {"data": "CoNLL"}
    assert nn.Network(net.layers).card == {}


def test_lookahead_is_for_who_feeds_the_network() -> None:
    lstm = cell("LSTM", 5, 3)
    plain, ahead = nn.Network([lstm]), nn.Network([lstm], lookahead=2)
    assert (plain.lookahead, ahead.lookahead) == (0, 2)
    x = inputs(plain, 7)
    for mine, other in zip(plain.unroll(x), ahead.unroll(x), strict=True):
        assert_same_bits(mine, other)
    with pytest.raises(ModelError, match="lookahead is -1"):
        nn.Network([lstm], lookahead=-1)


def test_sizes_and_the_initial_state() -> None:
    net = NETWORKS["stack"]
    assert net.state_size == 7 + 2 * 5 + 6
    assert net.output_size == 3
    a = net.initial_state(4)
    assert_same_bits(a, np.zeros((4, 23), np.float32))
    a[0] = 1  # each its own
    assert not net.initial_state(4).any()
    x = inputs(net, 4, 3)
    assert_same_bits(net.unroll(x)[0], net.unroll(x, net.initial_state(4))[0])


def test_sequences_of_the_wrong_number_of_axes() -> None:
    for name, shapes in {"stack": [(), (5,), (1, 2, 3, 5)], "Embedding": [(), (1, 2, 3)]}.items():
        net = NETWORKS[name]
        for shape in shapes:
            with pytest.raises(InputError, match=r"x has shape .* expected \(T, .* or \(B, T"):
                net.unroll(np.zeros(shape, net.input_dtype))


def test_a_network_is_its_layers_in_a_row() -> None:
    net = NETWORKS["stack"]
    x = inputs(net, 2, 30)
    h = x
    for layer in net.layers:
        h, _ = nn.Network([layer]).unroll(h)
    assert_same_bits(net.unroll(x)[0], h)


# The fingerprint.


def changed(part: Any) -> Iterator[Any]:
    """The layer with one bit of one of its arrays changed, once for each array."""
    if isinstance(part, tuple):
        for i, piece in enumerate(part):
            for other in changed(piece):
                yield (*part[:i], other, *part[i + 1 :])
    elif isinstance(part, np.ndarray):
        other = part.copy()
        other.flat[-1] = np.nextafter(other.flat[-1], np.float32(np.inf))
        yield other
    elif dataclasses.is_dataclass(part):
        for field in dataclasses.fields(part):
            for other in changed(getattr(part, field.name)):
                yield dataclasses.replace(part, **{field.name: other})  # type: ignore[type-var]


@pytest.mark.parametrize("name", NETWORKS)
def test_any_bit_of_any_weight_changes_the_fingerprint(name: str) -> None:
    net = NETWORKS[name]
    prints = [net.fingerprint]
    prints += [nn.Network(layers).fingerprint for layers in changed(net.layers)]
    assert len(prints) > 1
    assert len(set(prints)) == len(prints)


def test_any_structure_changes_the_fingerprint() -> None:
    W_x, W_a, b, square = normal(1, 12, 4), normal(2, 12, 4), normal(3, 12), np.eye(4)
    dense = [nn.Dense(square, b[:4], g) for g in (None, "tanh", "relu", "sigmoid", "softmax")]
    E = nn.Embedding(square)
    rnn = [nn.RNN(W_x[:4], W_a[:4], b[:4], g) for g in ("tanh", "relu")]
    alike: list[list[Any]] = [
        *([layer] for layer in dense),
        [dense[0], dense[0]],
        [dense[1], dense[2]],
        [dense[2], dense[1]],
        [nn.GRU(W_x, W_a, b)],
        [nn.GRU(W_x, W_a, b, np.zeros(4))],
        [nn.GRU(W_x, W_a, b, reset_after=False)],
        *([layer] for layer in rnn),
        [nn.Bidirectional(*rnn)],
        [nn.Bidirectional(*rnn[::-1])],
        [nn.CRF(square)],
        [nn.CRF(square, b[:4])],
        [nn.CRF(square, None, b[:4])],
        [nn.Columns([(4, [])])],
        [nn.Columns([(2, []), (2, [])])],
        [nn.Columns([(1, []), (3, [])])],
        [nn.Columns([(4, [dense[0]])])],
        [nn.Columns([(4, [])]), dense[0]],
        [E],
        [nn.Columns([(1, [E])])],
        [nn.Columns([(1, [E]), (1, [E])])],
    ]
    prints = [nn.Network(layers).fingerprint for layers in alike]
    prints += [nn.Network([rnn[0]], lookahead=ahead).fingerprint for ahead in (1, 2)]
    assert len(set(prints)) == len(prints)


def test_what_is_said_about_it_does_not_change_the_fingerprint() -> None:
    net = NETWORKS["tagger"]
    other = nn.Network(net.layers, labels=["a", "b", "c"], lookahead=2, card={"by": "us"})
    assert other.fingerprint == net.fingerprint


def test_the_fingerprint_outlives_a_release() -> None:
    """State in a pipeline's store is refused by another fingerprint: this one must stay."""
    weights = (np.arange(n, dtype=np.float32).reshape(-1, 2) / 8 for n in (16, 16, 6))
    W_x, W_a, W_y = weights
    layers = [nn.LSTM(W_x, W_a, np.zeros(8)), nn.Dense(W_y, np.ones(3), "softmax")]
    assert nn.Network(layers, lookahead=1).fingerprint == "4e4031607bdd65c4"


# Many streams in waves.


@pytest.mark.parametrize("name", WITH_STATE)
def test_readout_is_the_answer_of_the_last_step(name: str) -> None:
    net = NETWORKS[name]
    a = states(net, 5)
    for t in range(3):
        y, a = net.step(inputs(net, 5, seed=t), a)
        kept = a.copy()
        assert_same_bits(net.readout(a), y)
        assert_same_bits(net.readout(a[1:2]), y[1:2])
        assert_same_bits(a, kept)


def test_readout_needs_a_cell() -> None:
    net = NETWORKS["Dense"]
    with pytest.raises(ModelError, match="without a cell"):
        net.readout(net.initial_state(2))


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[int, list[Wave]]:
    """Streams and waves: any rows in any order, or a run of rows; some begin afresh."""
    R = draw(st.integers(1, 9))
    waves = []
    for _ in range(draw(st.integers(0, 8))):
        first, last = sorted(draw(st.tuples(st.integers(0, R), st.integers(0, R))))
        rows: Any = slice(first, last)
        who = list(range(R))[rows]
        if draw(st.booleans()):
            who = draw(st.lists(st.integers(0, R - 1), unique=True))
            rows = np.array(who, np.int64)
        fresh = [row for row in who if draw(st.integers(0, 4)) == 0]
        waves.append(Wave(rows, len(who), np.array(fresh, np.int64) if fresh else None))
    return R, waves


def check_waves(net: nn.Network, R: int, waves: list[Wave], seed: int = 0) -> None:
    """``advance`` gives each stream what ``unroll`` gives it alone."""
    n = sum(wave.size for wave in waves)
    x = inputs(net, n, seed=seed)
    start = states(net, R, seed)
    a = start.copy()
    kept_x = x.copy()
    h = net.advance(x, a, waves)
    assert len(h) == n
    y = net.head(h)
    np.testing.assert_array_equal(x, kept_x)

    # For each stream, its sequences: the state they begin from, and their places in x.
    sequences: list[list[tuple[np.ndarray, list[int]]]] = [[(row, [])] for row in start]
    place = 0
    for wave in waves:
        for row in np.arange(R)[wave.rows].tolist():
            if wave.fresh is not None and row in wave.fresh:
                sequences[row].append((net.initial_state(1)[0], []))
            sequences[row][-1][1].append(place)
            place += 1
    for row, parts in enumerate(sequences):
        for begin, places in parts:
            expected, last = net.unroll(x[places], begin)
            assert_same_bits(y[places], expected)
        assert_same_bits(a[row], last)


@pytest.mark.parametrize("name", WITH_STATE)
@settings(max_examples=15)
@given(case=interleaved(), seed=st.integers(0, 99))
def test_waves_are_the_streams_one_by_one(
    name: str, case: tuple[int, list[Wave]], seed: int
) -> None:
    check_waves(NETWORKS[name], *case, seed)


def test_long_waves_are_the_streams_one_by_one() -> None:
    """More rows than the input half is computed for at once, in one wave and in many."""
    rng = np.random.default_rng(0)
    waves = []
    for m in (1, 300, 3, 255, 290, 48, 0, 2, 299, 300, 281, 290, 1):
        rows: Any = slice(0, m) if m % 2 else rng.permutation(300)[:m]
        fresh = np.arange(300)[rows][::7]
        waves.append(Wave(rows, m, fresh if m > 2 else None))
    check_waves(NETWORKS["stack"], 300, waves)
    check_waves(NETWORKS["LSTM"], 2100, [Wave(slice(0, 1), 1), Wave(rng.permutation(2100), 2100)])


def test_rows_that_do_not_step_stay() -> None:
    net = NETWORKS["stack"]
    a = states(net, 6)
    kept = a.copy()
    net.advance(inputs(net, 2), a, [Wave(np.array([4, 1]), 2, np.array([4]))])
    for row in (0, 2, 3, 5):
        assert_same_bits(a[row], kept[row])
    assert not (a[[1, 4]] == kept[[1, 4]]).any()
