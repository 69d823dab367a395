"""Networks whose weights are exact on any machine: what golden files were made of."""

from __future__ import annotations

import numpy as np

from beam_rnn import nn


def exact(seed: int, *shape: int) -> np.ndarray:
    """Float32 numbers that are whole multiples of 1/64, so that no library rounds them."""
    count = int(np.prod(shape))
    numbers = (np.arange(count) * 7919 + seed * 104_729) % 101 - 50
    return (numbers / 64).astype(np.float32).reshape(shape)


def words() -> nn.Network:
    """Ids through an embedding and two cells; everything that a file can tell is told."""
    return nn.Network(
        [
            nn.Embedding(exact(1, 6, 2)),
            nn.LSTM(exact(2, 8, 2), exact(3, 8, 2), exact(4, 8)),
            nn.GRU(exact(5, 3, 2), exact(6, 3, 1), exact(7, 3), b_n=exact(8, 1)),
            nn.Dense(exact(9, 2, 1), exact(10, 2), "softmax"),
        ],
        labels=["O", "ñ 😀"],
        vocabulary=[f"word {i}" for i in range(6)],
        lookahead=1,
        card={"data": "none", "figures": {"f1": 0.5}, "split": [1, None, True]},
    )


def vectors() -> nn.Network:
    """Vectors (2,) through one plain cell."""
    return nn.Network(
        [
            nn.RNN(exact(11, 3, 2), exact(12, 3, 3), exact(13, 3), activation="relu"),
            nn.Dense(exact(14, 1, 3), exact(15, 1), "sigmoid"),
        ]
    )


def layers() -> nn.Network:
    """Every other kind of layer that a file holds."""
    front = nn.Columns(
        [
            (1, [nn.Embedding(exact(16, 4, 2))]),
            (
                3,
                [
                    nn.Embedding(exact(17, 5, 2)),
                    nn.Conv1d(exact(18, 2, 3, 2), exact(19, 2), "tanh"),
                    nn.MaxPool(),
                ],
            ),
        ]
    )
    both = nn.Bidirectional(
        nn.GRU(exact(20, 6, 4), exact(21, 6, 2), exact(22, 6), reset_after=False),
        nn.LSTM(exact(23, 4, 4), exact(24, 4, 1), exact(25, 4)),
    )
    crf = nn.CRF(exact(26, 2, 2), exact(27, 2), exact(28, 2))
    return nn.Network([front, both, nn.Dense(exact(29, 2, 3), exact(30, 2)), crf])
