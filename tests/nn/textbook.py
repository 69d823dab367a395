"""The equations of the cells as textbooks write them, in float64, one vector at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from beam_rnn import nn


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def step(cell: Any, x: np.ndarray, a: np.ndarray) -> np.ndarray:
    """The next state row of one stream."""
    H = cell.hidden_size
    W_x, W_a, b = (w.astype(np.float64) for w in (cell.W_x, cell.W_a, cell.b))

    def gate(k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = slice(k * H, (k + 1) * H)
        return W_x[rows], W_a[rows], b[rows]

    def plain(k: int, h: np.ndarray) -> np.ndarray:
        U, W, bias = gate(k)
        return U @ x + W @ h + bias

    if isinstance(cell, nn.RNN):
        z = plain(0, a)
        return np.tanh(z) if cell.activation == "tanh" else np.where(z > 0, z, 0)
    if isinstance(cell, nn.LSTM):
        h, c = a[:H], a[H:]
        i, f, o = sigmoid(plain(0, h)), sigmoid(plain(1, h)), sigmoid(plain(3, h))
        c = f * c + i * np.tanh(plain(2, h))
        return np.concatenate([o * np.tanh(c), c])
    assert isinstance(cell, nn.GRU)
    r, z = sigmoid(plain(0, a)), sigmoid(plain(1, a))
    U, W, bias = gate(2)
    if cell.reset_after:
        inside = 0 if cell.b_n is None else cell.b_n.astype(np.float64)
        n = np.tanh(U @ x + bias + r * (W @ a + inside))
    else:
        n = np.tanh(U @ x + bias + W @ (r * a))
    return (1 - z) * n + z * a


def unroll(cell: Any, x: np.ndarray, a: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(T, D) -> the hidden vectors (T, H) and the last state row (S,)."""
    a = np.zeros(cell.state_size) if a is None else a.astype(np.float64)
    hidden = []
    for x_t in x.astype(np.float64):
        a = step(cell, x_t, a)
        hidden.append(a[: cell.hidden_size])
    return np.array(hidden).reshape(len(x), cell.hidden_size), a


def activated(z: np.ndarray, activation: str | None) -> np.ndarray:
    if activation == "softmax":
        e = np.exp(z - z.max())
        return e / e.sum()
    if activation == "sigmoid":
        return sigmoid(z)
    if activation == "tanh":
        return np.tanh(z)
    return z if activation is None else np.where(z > 0, z, 0)


def convolved(layer: nn.Conv1d, x: np.ndarray) -> np.ndarray:
    """(L, D) -> (L, F), 'same' zero padding."""
    W = layer.W.astype(np.float64)
    F, k, _ = W.shape
    y = np.zeros((len(x), F))
    for position in range(len(x)):
        z = layer.b.astype(np.float64)
        for j in range(k):
            at = position + j - k // 2
            if 0 <= at < len(x):
                z = z + W[:, j] @ x[at].astype(np.float64)
        y[position] = activated(z, layer.activation)
    return y
