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


# XLA does not vectorise a gate that is cut out of an array of all gates: here each has its own.


def gru(
    cell: Params, x: jax.Array, start: jax.Array, keep: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """The states (T, B, H) after each step of x (T, B, D) from ``start`` (B, H), and the last.

    Where ``keep`` (T, B) is false, they stay as they were.
    """
    gates = zip(jnp.split(cell["W_x"], 3), jnp.split(cell["b"], 3), strict=True)
    given = [x @ W.T + b for W, b in gates]
    keep = jnp.ones(x.shape[:2], bool) if keep is None else keep
    states = _gru(given, cell["W_a"], cell["b_n"], start, keep[..., None])
    return states, states[-1]


@jax.custom_vjp
def _gru(
    given: list[jax.Array], W_a: jax.Array, b_n: jax.Array, start: jax.Array, keep: jax.Array
) -> jax.Array:
    return _gru_forward(given, W_a, b_n, start, keep)[0]


def _gru_forward(
    given: list[jax.Array], W_a: jax.Array, b_n: jax.Array, start: jax.Array, keep: jax.Array
) -> Any:
    turned = [W.T for W in jnp.split(W_a, 3)]

    def step(h: jax.Array, now: Any) -> Any:
        (r, z, n), stays = now
        own = [h @ W for W in turned]
        r, z = jax.nn.sigmoid(r + own[0]), jax.nn.sigmoid(z + own[1])
        u = own[2] + b_n
        n = jnp.tanh(n + r * u)
        h = jnp.where(stays, n + z * (h - n), h)
        return h, (h, r, z, n, u)

    _, kept = jax.lax.scan(step, start, (given, keep))
    return kept[0], (kept, W_a, start, keep)


def _gru_backward(kept: Any, gradient: jax.Array) -> Any:
    """As JAX finds it, but that of W_a is one product for all steps."""
    (h, *gates), W_a, start, keep = kept
    before = jnp.concatenate([start[None], h[:-1]])
    rows = jnp.split(W_a, 3)

    def step(dh: jax.Array, now: Any) -> Any:
        dy, before, (r, z, n, u), stays = now
        dh = dh + dy
        here = jnp.where(stays, dh, 0)
        dn = here * (1 - z) * (1 - n * n)
        own = dn * u * r * (1 - r), here * (before - n) * z * (1 - z), dn * r
        dh = jnp.where(stays, dh * z, dh) + sum(d @ W for d, W in zip(own, rows, strict=True))
        return dh, (own, dn)

    last = jnp.zeros_like(start)
    inputs = (gradient, before, gates, keep)
    first, ((dr, dz, du), dn) = jax.lax.scan(step, last, inputs, reverse=True)
    dW = jnp.concatenate([jnp.einsum("tbg,tbh->gh", d, before) for d in (dr, dz, du)])
    return [dr, dz, dn], dW, du.sum((0, 1)), first, None


_gru.defvjp(_gru_forward, _gru_backward)


def lstm(cell: Params, x: jax.Array) -> jax.Array:
    """The outputs (T, B, H) after each step of x (T, B, D), from a state of zeros."""
    gates = zip(jnp.split(cell["W_x"], 4), jnp.split(cell["b"], 4), strict=True)
    return _lstm([x @ W.T + b for W, b in gates], cell["W_a"])


@jax.custom_vjp
def _lstm(given: list[jax.Array], W_a: jax.Array) -> jax.Array:
    return _lstm_forward(given, W_a)[0]


def _lstm_forward(given: list[jax.Array], W_a: jax.Array) -> Any:
    turned = [W.T for W in jnp.split(W_a, 4)]

    def step(state: tuple[jax.Array, jax.Array], now: list[jax.Array]) -> Any:
        h, before = state
        i, f, g, o = (x + h @ W for x, W in zip(now, turned, strict=True))
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        c = f * before + i * g
        t = jnp.tanh(c)
        return (o * t, c), (o * t, before, t, i, f, g, o)

    zeros = jnp.zeros((given[0].shape[1], W_a.shape[-1]))
    _, kept = jax.lax.scan(step, (zeros, zeros), given)
    return kept[0], (kept, W_a)


def _lstm_backward(kept: Any, gradient: jax.Array) -> tuple[list[jax.Array], jax.Array]:
    """As JAX finds it, but that of W_a is one product for all steps."""
    (h, *rest), W_a = kept
    rows = jnp.split(W_a, 4)

    def step(state: tuple[jax.Array, jax.Array], now: Any) -> Any:
        dh, dc = state
        dy, before, t, i, f, g, o = now
        dh = dh + dy
        dc = dc + dh * o * (1 - t * t)
        changes = [
            dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g * g),
            dh * t * o * (1 - o),
        ]  # fmt: skip
        return (sum(d @ W for d, W in zip(changes, rows, strict=True)), dc * f), changes

    zeros = jnp.zeros_like(h[0])
    _, changes = jax.lax.scan(step, (zeros, zeros), (gradient, *rest), reverse=True)
    before = jnp.concatenate([zeros[None], h[:-1]])
    return changes, jnp.concatenate([jnp.einsum("tbg,tbh->gh", d, before) for d in changes])


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
