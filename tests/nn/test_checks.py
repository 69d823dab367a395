"""One list of checks that every cell, layer and network must pass."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_rnn import nn
from beam_rnn.errors import InputError, ModelError
from tests.nn.models import assert_same_bits, inputs, networks, states

NETWORKS = networks()
CAUSAL = [name for name, net in NETWORKS.items() if net.causal]
OTHERS = [name for name, net in NETWORKS.items() if not net.causal]


@pytest.fixture(params=NETWORKS)
def net(request: pytest.FixtureRequest) -> nn.Network:
    return NETWORKS[request.param]


@pytest.fixture(params=CAUSAL)
def causal(request: pytest.FixtureRequest) -> nn.Network:
    return NETWORKS[request.param]


def arrays(part: Any) -> Iterator[np.ndarray]:
    """Every array inside, layers in layers too."""
    if isinstance(part, np.ndarray):
        yield part
    elif dataclasses.is_dataclass(part):
        for field in dataclasses.fields(part):
            yield from arrays(getattr(part, field.name))
    elif isinstance(part, tuple):
        for piece in part:
            yield from arrays(piece)


def test_what_it_says_of_itself(net: nn.Network) -> None:
    y, a = net.unroll(inputs(net, 2, 4))
    for array, shape in ((y, (2, 4, net.output_size)), (a, (2, net.state_size))):
        assert array.shape == shape
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert array.flags.writeable
    assert inputs(net, 1).dtype == net.input_dtype
    assert inputs(net, 1).shape == (1, *net.input_shape)
    start = net.initial_state(3)
    assert start.shape == (3, net.state_size)
    assert start.dtype == np.float32
    assert not start.any()


def test_arrays_are_frozen(net: nn.Network) -> None:
    for array in arrays(net.layers):
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        net.layers = ()
    for layer in net.layers:
        for field in dataclasses.fields(layer):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(layer, field.name, None)


def test_a_step_alone_is_the_unroll(causal: nn.Network) -> None:
    x = inputs(causal, 3, 9)
    whole, last = causal.unroll(x)
    a = causal.initial_state(3)
    for t in range(9):
        y, a = causal.step(x[:, t], a)
        assert_same_bits(y, whole[:, t])
    assert_same_bits(a, last)


def test_one_sequence_is_a_batch_of_one(net: nn.Network) -> None:
    x = inputs(net, 1, 9)
    y, a = net.unroll(x)
    y_1, a_1 = net.unroll(x[0])
    assert_same_bits(y_1, y[0])
    assert_same_bits(a_1, a[0])


@pytest.mark.parametrize("name", CAUSAL)
@settings(max_examples=12)
@given(cuts=st.lists(st.integers(0, 24), max_size=6).map(sorted), batched=st.booleans())
def test_any_chunks_are_the_whole(name: str, cuts: list[int], batched: bool) -> None:
    net = NETWORKS[name]
    x = inputs(net, 24)
    if batched:
        x = np.stack([x, inputs(net, 24, seed=1)])
    time = 1 if batched else 0
    whole, last = net.unroll(x)
    a, parts = None, []
    for chunk in np.split(x, cuts, axis=time):
        y, a = net.unroll(chunk, a)
        parts.append(y)
    assert a is not None
    assert_same_bits(np.concatenate(parts, axis=time), whole)
    assert_same_bits(a, last)


def test_company_does_not_matter(net: nn.Network) -> None:
    x = inputs(net, 13, 5)
    start = states(net, 13) if net.causal else None
    alone = [net.unroll(x[i], None if start is None else start[i]) for i in range(13)]
    for B in range(1, 14):
        for first in {0, 13 - B}:
            rows = slice(first, first + B)
            y, a = net.unroll(x[rows], None if start is None else start[rows])
            assert_same_bits(y, np.stack([y for y, _ in alone[rows]]))
            assert_same_bits(a, np.stack([a for _, a in alone[rows]]))


def test_inputs_are_left_alone(net: nn.Network) -> None:
    x = inputs(net, 3, 6)
    a = states(net, 3) if net.causal else None
    kept_x, kept_a = x.copy(), copy.copy(a)
    y, last = net.unroll(x, a)
    np.testing.assert_array_equal(x, kept_x)
    results = [y, last]
    if a is not None:
        results += net.step(x[:, 0], a)
        np.testing.assert_array_equal(x, kept_x)
        assert_same_bits(a, kept_a)
        x.flags.writeable = a.flags.writeable = False
        again, _ = net.unroll(x, a)
        assert_same_bits(again, y)
    for result in results:
        for given_ in (x, a, *arrays(net.layers)):
            assert given_ is None or not np.shares_memory(result, given_)


def test_order_in_memory_does_not_matter(net: nn.Network) -> None:
    x = inputs(net, 3, 6)
    a = states(net, 3) if net.causal else None
    y, last = net.unroll(x, a)
    wide = np.repeat(x, 2, axis=1)[:, ::2]
    for other in (np.asfortranarray(x), wide, x.tolist()):
        got, got_last = net.unroll(other, None if a is None else np.asfortranarray(a))
        assert_same_bits(got, y)
        assert_same_bits(got_last, last)


@pytest.mark.parametrize(
    "clone",
    [
        *(lambda net, n=n: pickle.loads(pickle.dumps(net, n)) for n in (2, 5)),
        copy.copy,
        copy.deepcopy,
        dataclasses.replace,
    ],
    ids=["pickle 2", "pickle 5", "copy", "deepcopy", "replace"],
)
def test_copies_are_the_same(net: nn.Network, clone: Callable[[nn.Network], nn.Network]) -> None:
    x = inputs(net, 2, 5)
    y, a = net.unroll(x)
    other = clone(net)
    assert other.fingerprint == net.fingerprint
    assert (other.labels, other.vocabulary, other.lookahead, other.card) == (
        net.labels,
        net.vocabulary,
        net.lookahead,
        net.card,
    )
    for array in arrays(other.layers):
        assert not array.flags.writeable
        assert array.flags.c_contiguous
    got, last = other.unroll(x)
    assert_same_bits(got, y)
    assert_same_bits(last, a)


@pytest.mark.parametrize("name", NETWORKS)
def test_use_does_not_grow_the_pickle(name: str) -> None:
    net = networks()[name]
    fresh = pickle.dumps(net)
    net.unroll(inputs(net, 2, 5))
    assert len(net.fingerprint) == 16
    assert len(pickle.dumps(net)) == len(fresh)


def test_nothing_gives_nothing(net: nn.Network) -> None:
    for B, T in ((0, 3), (2, 0), (0, 0)):
        y, a = net.unroll(inputs(net, B, T))
        assert y.shape == (B, T, net.output_size)
        assert_same_bits(a, net.initial_state(B))
    assert net.unroll(inputs(net, 0))[0].shape == (0, net.output_size)
    if net.causal:
        y, a = net.step(inputs(net, 0), net.initial_state(0))
        assert (y.shape, a.shape) == ((0, net.output_size), (0, net.state_size))
        start = states(net, 2)
        assert_same_bits(net.unroll(inputs(net, 2, 0), start)[1], start)


def wrong(net: nn.Network, B: int) -> dict[str, Any]:
    """Inputs for a step of B streams that the network must refuse."""
    x = inputs(net, B)
    found: dict[str, Any] = {
        "a lone number": 1,
        "nothing": None,
        "one axis more": x[..., None, None],
        "words": np.full(x.shape, "word"),
        "bytes": np.full(x.shape, b"word"),
        "objects": x.astype(object),
        "complex numbers": x + 1j,
        "truth values": x > 0,
        "ragged lists": [[[1, 2]], [1]],
        "ragged rows": [np.zeros(2), np.zeros(3)],
        "times": np.zeros(x.shape, "M8[s]"),
    }
    if net.input_shape:
        found["a column more"] = np.concatenate([x, x[:, :1]], axis=1)
        found["a column less"] = x[:, 1:]
        found["a column where rows were"] = x[:, 0]

    def put(value: Any, dtype: Any = None) -> np.ndarray:
        changed = x.astype(dtype or x.dtype)
        changed[(-1, *(0 for _ in net.input_shape))] = value
        return changed

    if net.inputs.limits is None:
        found |= {
            "NaN": put(np.nan),
            "infinity": put(-np.inf),
            "too large for float32": put(1e300, np.float64),
        }
    else:
        found |= {
            "floats for ids": x.astype(np.float32),
            "an id below 0": put(-1),
            "an id too large": put(net.inputs.limits[0]),
            "an id beyond int64": put(2**64 - 1, np.uint64),
        }
    return found


@pytest.mark.filterwarnings("error")
def test_a_wrong_x_is_refused_and_leaves_a(net: nn.Network) -> None:
    a = states(net, 2)
    kept = a.copy()
    for x in wrong(net, 2).values():
        with pytest.raises(InputError, match=r"\bx\b"):
            net.inputs.check(x)
        if net.causal:
            with pytest.raises(InputError, match=r"\bx\b"):
                net.step(x, a)
        assert_same_bits(a, kept)


@pytest.mark.filterwarnings("error")
def test_a_wrong_x_late_in_a_sequence_is_refused(net: nn.Network) -> None:
    a = states(net, 2) if net.causal else None
    kept = copy.copy(a)
    good = inputs(net, 2, 3)
    for last in wrong(net, 2).values():
        if not isinstance(last, np.ndarray):
            x: Any = last
        elif last.shape == good.shape[:1] + good.shape[2:]:
            x = np.concatenate([good.astype(last.dtype), last[:, None]], axis=1)
        else:
            x = np.stack([last] * 3, axis=1)
            if x.shape[2:] == net.input_shape or x.shape[1:] == net.input_shape:
                continue  # right after all, as sequences
        with pytest.raises(InputError, match=r"\bx\b"):
            net.unroll(x, a)
        if a is not None:
            assert_same_bits(a, kept)


@pytest.mark.parametrize("check", ["check", "check_one"])
def test_one_input_is_checked_like_many(net: nn.Network, check: str) -> None:
    x = inputs(net, 1)
    if check == "check_one":
        got = net.inputs.check_one(x[0])
        message = re.escape(f"x has shape {x.shape}, expected {net.input_shape}")
        with pytest.raises(InputError, match=message):
            net.inputs.check_one(x)
        for ragged in ([[1, 2], [1]], [[[1]], 2]):
            with pytest.raises(InputError, match=r"\bx\b"):
                net.inputs.check_one(ragged)
    else:
        got = net.inputs.check(x)
    np.testing.assert_array_equal(got, x)
    assert got.dtype == net.input_dtype
    assert got.flags.c_contiguous


def test_a_wrong_state_is_refused(causal: nn.Network) -> None:
    x, S = inputs(causal, 2), causal.state_size
    for a in (
        np.zeros((2, S + 1)),
        np.zeros((3, S)),
        np.zeros(2 * S + 1),
        np.zeros((1, 2, S)),
        "state",
        None,
        [[0.0], [0.0, 1.0]],
        np.full((2, S or 1), "a"),
    ):
        with pytest.raises(InputError, match=r"\ba\b"):
            causal.step(x, a)
        if a is not None:
            with pytest.raises(InputError, match=r"\ba\b"):
                causal.unroll(x[:, None], a)


@pytest.mark.parametrize("name", OTHERS)
def test_what_reads_whole_sequences_cannot_step(name: str) -> None:
    net = NETWORKS[name]
    with pytest.raises(ModelError, match="causal"):
        net.step(inputs(net, 2), net.initial_state(2))
    with pytest.raises(ModelError, match="whole sequences"):
        net.unroll(inputs(net, 2, 3), net.initial_state(2))
