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


def init_lstm(draw: np.random.Generator, hidden: int, inputs: int) -> Params:
    """An LSTM whose recurrent weights are orthogonal, gate by gate, and which forgets little."""
    turns = [np.linalg.qr(draw.normal(size=(hidden, hidden)))[0] for _ in range(4)]
    dense = init_dense(draw, 4 * hidden, inputs)
    dense["b"][hidden : 2 * hidden] = 1
    return {"W_x": dense["W"], "W_a": np.concatenate(turns).astype(np.float32), "b": dense["b"]}


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


def lstm(cell: Params, x: jax.Array) -> jax.Array:
    """The outputs (T, B, H) after each step of x (T, B, D), from a state of zeros."""
    return _lstm(x @ cell["W_x"].T + cell["b"], cell["W_a"])


@jax.custom_vjp
def _lstm(inputs: jax.Array, W_a: jax.Array) -> jax.Array:
    return _lstm_forward(inputs, W_a)[0]


def _lstm_forward(inputs: jax.Array, W_a: jax.Array) -> Any:
    turned = W_a.T

    def step(state: tuple[jax.Array, jax.Array], now: jax.Array) -> Any:
        h, c = state
        i, f, g, o = jnp.split(now + h @ turned, 4, axis=-1)
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        before, c = c, f * c + i * g
        t = jnp.tanh(c)
        return (o * t, c), (o * t, before, t, i, f, g, o)

    zeros = jnp.zeros((inputs.shape[1], W_a.shape[-1]))
    _, kept = jax.lax.scan(step, (zeros, zeros), inputs)
    return kept[0], (kept, W_a)


def _lstm_backward(kept: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    """As JAX finds it, but that of W_a is one product for all steps."""
    (h, *rest), W_a = kept

    def step(state: tuple[jax.Array, jax.Array], now: Any) -> Any:
        dh, dc = state
        dy, before, t, i, f, g, o = now
        dh = dh + dy
        dc = dc + dh * o * (1 - t * t)
        changes = (
            dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g * g),
            dh * t * o * (1 - o),
        )  # fmt: skip
        change = jnp.concatenate(changes, axis=-1)
        return (change @ W_a, dc * f), change

    zeros = jnp.zeros_like(h[0])
    _, changes = jax.lax.scan(step, (zeros, zeros), (gradient, *rest), reverse=True)
    before = jnp.concatenate([zeros[None], h[:-1]])
    return changes, jnp.einsum("tbg,tbh->gh", changes, before)


_lstm.defvjp(_lstm_forward, _lstm_backward)


def dropped(x: jax.Array, rate: float, key: jax.Array | None, *, steps: bool = False) -> jax.Array:
    """x (T, B, D) without a share of its units: the same for all steps unless ``steps``."""
    if key is None or rate == 0:
        return x
    shape = x.shape if steps else (1, *x.shape[1:])
    return x * jax.random.bernoulli(key, 1 - rate, shape) / (1 - rate)


def to_dense(layer: Params, activation: str | None = None) -> rnn.Dense:
    """The trained layer as one of beam_rnn."""
    return rnn.Dense(np.asarray(layer["W"]), np.asarray(layer["b"]), activation)


def to_lstm(cell: Params) -> rnn.LSTM:
    """The trained cell as one of beam_rnn."""
    return rnn.LSTM(**{name: np.asarray(value) for name, value in cell.items()})


def to_gru(cell: Params) -> rnn.GRU:
    """The trained cell as one of beam_rnn."""
    return rnn.GRU(**{name: np.asarray(value) for name, value in cell.items()})
