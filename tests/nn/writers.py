"""Networks that write what they read, one that labels whole sequences, and what they draw."""

import numpy as np

from beam_rnn import nn
from beam_rnn.nn import Sampling
from beam_rnn.nn.draws import stream_numbers
from tests.nn.models import cell, normal

WRITER = nn.Network(
    [
        nn.Embedding(normal(1, 10, 5, scale=1)),
        cell("LSTM", 5, 9, 2),
        cell("GRU after", 9, 8, 3),
        nn.Dense(normal(4, 10, 8, scale=1), normal(5, 10), "softmax"),
    ]
)
READER = nn.Network(
    [
        nn.Embedding(normal(1, 10, 5, scale=1)),
        nn.Bidirectional(cell("LSTM", 5, 6, 2), cell("GRU after", 5, 3, 7)),
        nn.Dense(normal(4, 4, 9), normal(5, 4)),
        nn.CRF(normal(6, 4, 4), normal(7, 4), normal(8, 4)),
    ],
    labels=["O", "B", "I", "E"],
)


def plainly(
    a: np.ndarray, most: int, how: Sampling, seed: int, stream: int, step: int, stop: int | None
) -> tuple[list[int], float, np.ndarray]:
    """What WRITER draws from the states a (1, S), by NumPy's generator: tokens, score, states."""
    key = np.array([seed, stream], np.uint64)
    draws = np.random.Generator(np.random.Philox(key=key)).random(step + most + 1)
    tokens: list[int] = []
    score = 0.0
    y = WRITER.readout(a)
    while len(tokens) < most:
        u = draws[step + len(tokens) : step + len(tokens) + 1]
        token = int(how.choose(np.log(y), u)[0])
        score += float(np.log(y[0, token]))
        if token == stop:
            break
        tokens.append(token)
        y, a = WRITER.step([token], a)
    return tokens, score, a


def continued(
    stream: str,
    read: list[int],
    most: int,
    how: Sampling,
    start: int | None = None,
    stop: int | None = None,
    seed: int = 5,
) -> tuple[list[int], float]:
    """The tokens that a stream draws after a prompt, one step after the other, and their score."""
    a = WRITER.initial_state(1)
    for x in [*([] if start is None else [start]), *read]:
        a = WRITER.step([x], a)[1]
    number = int(stream_numbers([stream.encode()])[0])
    tokens, score, _ = plainly(a, most, how, seed, number, len(read), stop)
    return tokens, score
