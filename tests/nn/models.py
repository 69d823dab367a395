"""What the tests of nn share: random cells, layers and networks of every kind, and bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from beam_rnn import nn

CELLS = (
    "RNN tanh",
    "RNN relu",
    "GRU after",
    "GRU after b_n",
    "GRU before",
    "LSTM",
)


def normal(seed: int, *shape: int, scale: float = 0.3) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def cell(kind: str, D: int, H: int, seed: int = 0) -> Any:
    """A random cell; the scale keeps 200 steps of relu in their range, whatever H."""
    name, *options = kind.split()
    rows = {"RNN": 1, "GRU": 3, "LSTM": 4}[name] * H
    scale = min(0.5, 0.8 / H**0.5)
    arrays = normal(seed, rows, D), normal(seed + 1, rows, H, scale=scale), normal(seed + 2, rows)
    if name == "RNN":
        return nn.RNN(*arrays, activation=options[0])
    if name == "GRU":
        b_n = normal(seed + 3, H) if "b_n" in options else None
        return nn.GRU(*arrays, b_n=b_n, reset_after="after" in options)
    return nn.LSTM(*arrays)


def columns() -> nn.Columns:
    """A word (9 ids), two spellings of 3 letters (6 ids) together, and one number: 7 columns."""
    letters: list[Any] = [
        nn.Embedding(normal(31, 6, 3)),
        nn.Conv1d(normal(32, 5, 3, 3), normal(33, 5)),
    ]
    return nn.Columns(
        [
            (1, [nn.Embedding(normal(34, 9, 4))]),
            (5, [*letters, nn.MaxPool()]),
            (1, []),
        ]
    )


def spelled() -> nn.Columns:
    """A word (9 ids) and its five letters (6 ids, 0 fills up): 6 columns."""
    cells = nn.Bidirectional(
        cell("LSTM", 3, 2, 66), cell("GRU after", 3, 2, 67), normal(68, 4), normal(69, 2)
    )
    letters: list[Any] = [nn.Spelling(normal(70, 6, 3), cells)]
    return nn.Columns([(5, letters), (1, [nn.Embedding(normal(71, 9, 4))])])


def networks() -> dict[str, nn.Network]:
    """Every kind of cell, of layer, and of whole network, by a name for the test."""
    D, H, C = 5, 6, 3
    dense = nn.Dense(normal(11, C, H), normal(12, C), "softmax")
    embedding = nn.Embedding(normal(13, 9, D))
    floats = [(2, [nn.Dense(normal(14, 4, 2), normal(15, 4), "tanh")]), (3, [])]
    both = nn.Bidirectional(cell("LSTM", D, 2, 40), cell("GRU after b_n", D, 4, 50))
    learned = nn.Bidirectional(
        cell("LSTM", 8, 2, 60), cell("GRU after", 8, 4, 61), normal(62, 4), normal(63, 4)
    )
    dense_of_6 = nn.Dense(normal(64, C, 6), normal(65, C))
    crf = nn.CRF(normal(16, C, C), normal(17, C), normal(18, C))
    return {
        **{kind: nn.Network([cell(kind, D, H)]) for kind in CELLS},
        "Dense": nn.Network([nn.Dense(normal(14, C, D), normal(15, C), "sigmoid")]),
        "Embedding": nn.Network([embedding]),
        "Columns of ids": nn.Network([columns()]),
        "Columns of floats": nn.Network([nn.Columns(floats)]),
        "Bidirectional": nn.Network([both]),
        "CRF": nn.Network([crf]),
        "speller": nn.Network([spelled(), learned, dense_of_6]),
        "reader of ids": nn.Network([embedding, cell("LSTM", D, H), dense]),
        "stack": nn.Network(
            [
                nn.Dense(normal(19, 4, D), normal(20, 4), "relu"),
                cell("GRU before", 4, 7),
                cell("LSTM", 7, 5),
                nn.Dense(normal(21, 8, 5), normal(22, 8)),
                cell("RNN tanh", 8, H),
                dense,
            ]
        ),
        "convolutions": nn.Network(
            [
                nn.Context(2, (3, 2)),
                nn.Conv1d(normal(23, 4, 3, 2), normal(24, 4), "relu", 2, (1, 0), "reflect"),
                nn.Magnitude(),
                nn.Flatten(),
                nn.Activation("tanh"),
                cell("LSTM", 4, H),
                dense,
            ]
        ),
        "tagger": nn.Network(
            [columns(), cell("LSTM", 10, H), dense],
            labels=["O", "B", "I"],
            lookahead=2,
            card={"data": "made up"},
        ),
        "tagger of sentences": nn.Network([embedding, both, dense, crf]),
    }


def inputs(net: nn.Network, *shape: int, seed: int = 0) -> np.ndarray:
    """Random inputs of the network, (*shape, ...)."""
    rng = np.random.default_rng(seed)
    wanted = net.inputs
    if wanted.limits is None:
        return rng.normal(size=shape + wanted.shape).astype(np.float32)
    bounds = np.array(wanted.limits if wanted.shape else wanted.limits[0])
    return rng.integers(0, np.where(bounds > 0, bounds, 4), size=shape + wanted.shape)


def states(net: nn.Network, batch: int, seed: int = 0) -> np.ndarray:
    """Random states, (batch, S)."""
    return normal(seed, batch, net.state_size, scale=0.5)


def bits(array: np.ndarray) -> np.ndarray:
    """The bit patterns, which tell 0 from -0."""
    assert array.dtype == np.float32
    return np.ascontiguousarray(array).view(np.uint32)


def assert_same_bits(got: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(bits(got), bits(expected))
