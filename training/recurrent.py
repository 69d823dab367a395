"""Cells and dense layers in JAX, with the equations of beam_rnn, and their export."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import beam_rnn as rnn

Params = dict[str, Any]


def init_table(draw: np.random.Generator, rows: int, width: int) -> NDArray[np.float32]:
    """An embedding (rows, width); id 0, which is padding, is zero."""
    values = draw.normal(0, 0.1, (rows, width)).astype(np.float32)
    values[0] = 0
    return values


def init_dense(draw: np.random.Generator, outputs: int, inputs: int) -> Params:
    """W (outputs, inputs), drawn as Glorot and Bengio (2010) do, and b of zeros."""
    bound = (6 / (outputs + inputs)) ** 0.5
    W = draw.uniform(-bound, bound, (outputs, inputs)).astype(np.float32)
    return {"W": W, "b": np.zeros(outputs, np.float32)}


def init_gru(draw: np.random.Generator, hidden: int, inputs: int) -> Params:
    """A GRU whose recurrent weights are orthogonal, gate by gate."""
    turns = [np.linalg.qr(draw.normal(size=(hidden, hidden)))[0] for _ in range(3)]
    dense = init_dense(draw, 3 * hidden, inputs)
    return {
        "W_x": dense["W"],
        "W_a": np.concatenate(turns).astype(np.float32),
        "b": dense["b"],
        "b_n": np.zeros(hidden, np.float32),
    }


def dense(layer: Params, x: jax.Array) -> jax.Array:
    """W x + b over the last axis."""
    return x @ layer["W"].T + layer["b"]


def gru(cell: Params, x: jax.Array, start: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The states (T, B, H) after each step of x (T, B, D) from ``start`` (B, H), and the last."""

    def step(h: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        ours = h @ cell["W_a"].T
        H = h.shape[-1]
        r = jax.nn.sigmoid(inputs[:, :H] + ours[:, :H])
        z = jax.nn.sigmoid(inputs[:, H : 2 * H] + ours[:, H : 2 * H])
        n = jnp.tanh(inputs[:, 2 * H :] + r * (ours[:, 2 * H :] + cell["b_n"]))
        h = (1 - z) * n + z * h
        return h, h

    last, states = jax.lax.scan(step, start, x @ cell["W_x"].T + cell["b"])
    return states, last


def dropped(x: jax.Array, rate: float, key: jax.Array | None, *, steps: bool = False) -> jax.Array:
    """x (T, B, D) without a share of its units: the same for all steps unless ``steps``."""
    if key is None or rate == 0:
        return x
    shape = x.shape if steps else (1, *x.shape[1:])
    return x * jax.random.bernoulli(key, 1 - rate, shape) / (1 - rate)


def to_dense(layer: Params, activation: str | None = None) -> rnn.Dense:
    """The trained layer as one of beam_rnn."""
    return rnn.Dense(np.asarray(layer["W"]), np.asarray(layer["b"]), activation)


def to_gru(cell: Params) -> rnn.GRU:
    """The trained cell as one of beam_rnn."""
    return rnn.GRU(**{name: np.asarray(value) for name, value in cell.items()})
