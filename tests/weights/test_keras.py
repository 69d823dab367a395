"""from_keras against Keras itself, on JAX."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ["KERAS_BACKEND"] = "jax"
keras = pytest.importorskip("keras")

from beam_rnn import nn  # noqa: E402
from beam_rnn.errors import WeightsError  # noqa: E402
from beam_rnn.weights import from_keras  # noqa: E402
from tests.weights.builders import STEPS, TOLERANCE, normal  # noqa: E402

pytestmark = pytest.mark.slow  # JAX compiles every layer
L = keras.layers
FORMATS = ["keras", "h5"]


def filled(model: Any) -> Any:
    """The model with weights that are all different from what a new one has."""
    model.set_weights([normal(i, *w.shape) for i, w in enumerate(model.get_weights())])
    return model


def saved(model: Any, folder: Path, ending: str) -> str:
    path = str(folder / f"m.{ending}")
    model.save(path)
    return path


def assert_same(model: Any, folder: Path, x: np.ndarray, **options: Any) -> nn.Network:
    """Saved in both formats and read, the model gives what Keras gives; returns the network."""
    theirs = np.asarray(model(x))
    nets = [from_keras(saved(model, folder, ending), **options) for ending in FORMATS]
    assert nets[0].fingerprint == nets[1].fingerprint
    mine = nets[0].unroll(x)[0]
    if theirs.ndim == 2:
        mine = mine[:, -1]
    np.testing.assert_allclose(mine, theirs, atol=TOLERANCE, rtol=0)
    return nets[0]


# JAX takes seconds to compile the usual initial values, which `filled` replaces anyway.
QUICK = {"kernel_initializer": "zeros"}
CELL = {**QUICK, "recurrent_initializer": "zeros", "return_sequences": True}
CELLS: dict[str, Callable[[int], Any]] = {
    "lstm": lambda n: L.LSTM(n, **CELL),
    "lstm-no-bias": lambda n: L.LSTM(n, **CELL, use_bias=False, dropout=0.1),
    "gru-after": lambda n: L.GRU(n, **CELL),
    "gru-before": lambda n: L.GRU(n, **CELL, reset_after=False),
    "gru-no-bias": lambda n: L.GRU(n, **CELL, use_bias=False),
    "rnn-tanh": lambda n: L.SimpleRNN(n, **CELL),
    "rnn-relu": lambda n: L.SimpleRNN(n, **CELL, activation="relu"),
}
FLOATS = normal(99, 2, STEPS, 3, scale=1)


@pytest.mark.parametrize(
    ("name", "both"),
    [*((name, False) for name in CELLS), ("lstm", True), ("gru-after", True), ("rnn-relu", True)],
)
def test_cells(tmp_path: Path, name: str, both: bool) -> None:
    """A stack of two."""
    wrap = L.Bidirectional if both else lambda layer: layer
    model = filled(
        keras.Sequential([keras.Input((None, 3)), wrap(CELLS[name](5)), wrap(CELLS[name](4))])
    )
    assert len(assert_same(model, tmp_path, FLOATS).layers) == 2


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "tanh", "relu", None])
def test_embedding_and_heads(tmp_path: Path, activation: str | None) -> None:
    model = filled(
        keras.Sequential(
            [
                keras.Input((None,), dtype="int32"),
                L.Embedding(11, 4, name="words", embeddings_initializer="zeros"),
                L.SpatialDropout1D(0.2),
                L.LSTM(5, **CELL, name="first", recurrent_dropout=0.2),
                L.Dropout(0.5),
                L.GRU(6, **CELL),
                L.TimeDistributed(L.Dense(7, activation="relu", **QUICK)),
                L.Dense(3, activation=activation, use_bias=activation != "tanh", **QUICK),
            ]
        )
    )
    ids = np.random.default_rng(0).integers(11, size=(2, STEPS)).astype(np.int32)
    net = assert_same(model, tmp_path, ids, labels=["a", "b", "c"], lookahead=2)
    assert (net.labels, net.lookahead) == (("a", "b", "c"), 2)


@pytest.mark.parametrize("end", ["Softmax", "ReLU", "Activation"])
def test_functional_model_and_last_step(tmp_path: Path, end: str) -> None:
    x = keras.Input((None, 3), name="sound")
    y = L.GRU(5, **CELL, name="b")(x)
    y = L.GRU(4, **{**CELL, "return_sequences": False}, name="a")(y)
    y = L.Dense(3, **QUICK, name="z")(y)
    y = L.Activation("sigmoid")(y) if end == "Activation" else getattr(L, end)()(y)
    model = filled(keras.Model(x, y))
    assert_same(model, tmp_path, FLOATS)


def test_mask_is_ignored_only_when_told(tmp_path: Path) -> None:
    model = filled(
        keras.Sequential(
            [
                keras.Input((None,), dtype="int32"),
                L.Embedding(11, 4, mask_zero=True, embeddings_initializer="zeros"),
                L.LSTM(5, **CELL),
            ]
        )
    )
    for ending in FORMATS:
        path = saved(model, tmp_path, ending)
        with pytest.raises(WeightsError, match=r"'embedding\w*' \(Embedding\): padding is masked"):
            from_keras(path)
    ids = np.random.default_rng(0).integers(1, 11, size=(2, STEPS)).astype(np.int32)
    assert_same(model, tmp_path, ids, ignore_mask=True)


@pytest.mark.parametrize("ending", FORMATS)
def test_half_precision_weights(tmp_path: Path, ending: str) -> None:
    layers = [keras.Input((None, 3)), L.LSTM(5, dtype="float16", **CELL)]
    model = filled(keras.Sequential(layers))
    net = from_keras(saved(model, tmp_path, ending))
    kernel = model.get_weights()[0]
    assert kernel.dtype == np.float16
    np.testing.assert_array_equal(net.layers[0].W_x, kernel.T.astype(np.float32))
