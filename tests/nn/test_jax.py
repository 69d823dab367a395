"""The cells against an independent implementation: a scan in jax, in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from beam_rnn import nn
from tests.nn.models import cell, inputs, states

jax = pytest.importorskip("jax")
jnp = jax.numpy

B, T, D, H = 4, 200, 6, 24


def scanned(step: Callable[[Any, Any], Any], x: np.ndarray, start: Any) -> tuple[Any, Any]:
    """``step(a, x_t) -> (a, h)`` over (B, T, D) -> (B, T, H) and the last a."""
    last, h = jax.jit(lambda a, x: jax.lax.scan(step, a, x))(start, jnp.swapaxes(x, 0, 1))
    return jnp.swapaxes(h, 0, 1), last


def agree(ours: tuple[np.ndarray, np.ndarray], theirs: tuple[Any, Any]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, np.asarray(other), atol=1e-5, rtol=0)


def test_lstm() -> None:
    layer = cell("LSTM", D, H)
    net = nn.Network([layer])
    x, a = inputs(net, B, T), states(net, B)

    def step(state: Any, x_t: Any) -> Any:
        h, c = state
        z = jnp.concatenate([x_t, h], axis=1) @ jnp.concatenate([layer.W_x, layer.W_a], axis=1).T
        i, f, g, o = jnp.split(z + layer.b, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    y, (h, c) = scanned(step, x, (a[:, :H], a[:, H:]))
    agree(net.unroll(x, a), (y, jnp.concatenate([h, c], axis=1)))


@pytest.mark.parametrize("kind", ["GRU after b_n", "GRU before"])
def test_gru(kind: str) -> None:
    layer = cell(kind, D, H)
    net = nn.Network([layer])
    x, a = inputs(net, B, T), states(net, B)
    W_r, W_z, W_n = jnp.split(layer.W_a, 3)

    def step(h: Any, x_t: Any) -> Any:
        x_r, x_z, x_n = jnp.split(x_t @ layer.W_x.T + layer.b, 3, axis=1)
        r, z = jax.nn.sigmoid(x_r + h @ W_r.T), jax.nn.sigmoid(x_z + h @ W_z.T)
        hidden = r * (h @ W_n.T + layer.b_n) if layer.reset_after else (r * h) @ W_n.T
        h = z * h + (1 - z) * jnp.tanh(x_n + hidden)
        return h, h

    agree(net.unroll(x, a), scanned(step, x, a))
