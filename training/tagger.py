"""The tagger in JAX, with the equations of beam_rnn: what is trained, and how it is exported."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import beam_rnn as rnn
from beam_rnn.features.text import Words

Params = dict[str, Any]
State = tuple[tuple[jax.Array, jax.Array], ...]
Sizes = dict[str, int]

SIZES: Sizes = {
    "shape": 8, "affix": 8, "letter": 25, "filters": 50, "hidden": 256, "cells": 1,
}  # fmt: skip


def init_params(
    words: Words, vectors: NDArray[np.float32], labels: int, sizes: Sizes, seed: int
) -> Params:
    """Fresh weights; the word table starts as `vectors` (V, D)."""
    draw = np.random.default_rng(seed)

    def table(rows: int, width: int) -> NDArray[np.float32]:
        values = draw.normal(0, 0.1, (rows, width))
        values[0] = 0
        return values.astype(np.float32)

    def matrix(*shape: int) -> NDArray[np.float32]:
        bound = (6 / (shape[0] + np.prod(shape[1:]))) ** 0.5
        return draw.uniform(-bound, bound, shape).astype(np.float32)

    columns = [ids for _, ids in words.columns]
    params: Params = {
        "word": np.array(vectors, np.float32),
        "shape": table(columns[1], sizes["shape"]),
        "prefix": table(columns[2], sizes["affix"]),
        "suffix": table(columns[3], sizes["affix"]),
        "letter": table(columns[4], sizes["letter"]),
        "conv_W": matrix(sizes["filters"], 3, sizes["letter"]),
        "conv_b": np.zeros(sizes["filters"], np.float32),
    }
    width = vectors.shape[1] + sizes["shape"] + 2 * sizes["affix"] + sizes["filters"]
    hidden = sizes["hidden"]
    for i in range(sizes["cells"]):
        b = np.zeros(4 * hidden, np.float32)
        b[hidden : 2 * hidden] = 1  # the forget gate begins open
        W_a = np.concatenate([np.linalg.qr(draw.normal(size=(hidden, hidden)))[0]] * 4)
        params[f"cell{i}"] = {
            "W_x": matrix(4 * hidden, width), "W_a": W_a.astype(np.float32), "b": b,
        }  # fmt: skip
        width = hidden
    params["dense_W"] = matrix(labels, width)
    params["dense_b"] = np.zeros(labels, np.float32)
    return params


def initial_state(params: Params, batch: int) -> State:
    """The states (h, c) of all cells before the first step."""
    cells = [params[f"cell{i}"] for i in range(_cells(params))]
    zeros = [jnp.zeros((batch, cell["W_a"].shape[1])) for cell in cells]
    return tuple((zero, zero) for zero in zeros)


def forward(
    params: Params,
    rows: jax.Array,
    fresh: jax.Array,
    state: State,
    key: jax.Array | None = None,
    drop: dict[str, float] | None = None,
) -> tuple[jax.Array, State]:
    """Logits (T, B, C) and the last state, of word rows (T, B, 20).

    Args:
      fresh: (T, B) bool: the state is forgotten before this step.
      key, drop: for training: the share of dropped units of "word", "letter", "input" and
        "hidden". The mask of an input or hidden unit is one for all steps of a stream.
    """
    keys = iter(jax.random.split(key, 16)) if key is not None else None
    drop = drop or {}

    def dropped(x: jax.Array, name: str, steps: bool = False) -> jax.Array:
        rate = drop.get(name, 0.0)
        if keys is None or rate == 0:
            return x
        shape = x.shape if steps else (1, *x.shape[1:])
        return x * jax.random.bernoulli(next(keys), 1 - rate, shape) / (1 - rate)

    ids = rows[..., 0]
    if keys is not None and drop.get("word"):
        unknown = jax.random.bernoulli(next(keys), drop["word"], ids.shape) & (ids > 0)
        ids = jnp.where(unknown, 1, ids)
    letters = dropped(params["letter"][rows[..., 4:]], "letter", steps=True)
    padded = jnp.pad(letters, ((0, 0), (0, 0), (1, 1), (0, 0)))
    L = letters.shape[2]
    windows = jnp.concatenate([padded[:, :, i : i + L] for i in range(3)], axis=-1)
    W = params["conv_W"]
    spelled = jax.nn.relu(windows @ W.reshape(len(W), -1).T + params["conv_b"]).max(axis=2)
    tables = ("shape", "prefix", "suffix")
    others = [params[name][rows[..., 1 + i]] for i, name in enumerate(tables)]
    x = jnp.concatenate([params["word"][ids], *others, spelled], axis=-1)
    x = dropped(x, "input")
    last = []
    for i in range(_cells(params)):
        x, end = _lstm(params[f"cell{i}"], x, fresh, state[i])
        x = dropped(x, "hidden")
        last.append(end)
    return x @ params["dense_W"].T + params["dense_b"], tuple(last)


def _lstm(
    cell: Params, x: jax.Array, fresh: jax.Array, start: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    def step(
        state: tuple[jax.Array, jax.Array], now: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        gates, forget = now
        h, c = (jnp.where(forget[:, None], 0, part) for part in state)
        i, f, g, o = jnp.split(gates + h @ cell["W_a"].T, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    end, h = jax.lax.scan(step, start, (x @ cell["W_x"].T + cell["b"], fresh))
    return h, end


def _cells(params: Params) -> int:
    return sum(name.startswith("cell") for name in params)


def to_network(
    params: Params, words: Words, labels: list[str], lookahead: int, card: dict[str, Any]
) -> rnn.Network:
    """The trained weights as a network of beam_rnn."""
    p = jax.tree.map(lambda a: np.asarray(a, np.float32), params)
    front: list[list[Any]] = [
        [rnn.Embedding(p[name])] for name in ("word", "shape", "prefix", "suffix")
    ]
    spelled = [rnn.Embedding(p["letter"]), rnn.Conv1d(p["conv_W"], p["conv_b"], "relu")]
    branches = [*front, [*spelled, rnn.MaxPool()]]
    columns = [n for n, _ in words.columns]
    cells = [rnn.LSTM(**p[f"cell{i}"]) for i in range(_cells(p))]
    return rnn.Network(
        [
            rnn.Columns(list(zip(columns, branches, strict=True))),
            *cells,
            rnn.Dense(p["dense_W"], p["dense_b"], "softmax"),
        ],
        labels=labels,
        vocabulary=words.vocabulary,
        lookahead=lookahead,
        card=card,
    )
