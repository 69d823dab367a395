"""The peer: a plain stateful DoFn, one cell per stream, one step per event."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.coders import BytesCoder
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

import beam_rnn as rnn


class PlainTag(beam.DoFn):
    """(stream, id) -> (stream, (label, score)), the LSTM written as in a textbook."""

    STATE = ReadModifyWriteStateSpec("a", BytesCoder())

    def __init__(self, path: str) -> None:
        self.path = path

    def setup(self) -> None:
        net = rnn.load(self.path)
        embedding, lstm, dense = net.layers
        self.E = embedding.E
        self.W_x, self.W_a, self.b = lstm.W_x.T.copy(), lstm.W_a.T.copy(), lstm.b
        self.W_y, self.b_y = dense.W_y.T.copy(), dense.b_y
        self.H = lstm.hidden_size

    def process(
        self, element: tuple[str, int], state: Any = beam.DoFn.StateParam(STATE)
    ) -> Iterator[Any]:
        stream, word = element
        H = self.H
        data = state.read()
        a = np.frombuffer(data, np.float32) if data else np.zeros(2 * H, np.float32)
        h, c = a[:H], a[H:]
        z = self.E[word] @ self.W_x + h @ self.W_a + self.b
        i, f, o = (1 / (1 + np.exp(-z[k * H : (k + 1) * H])) for k in (0, 1, 3))
        c = f * c + i * np.tanh(z[2 * H : 3 * H])
        h = o * np.tanh(c)
        state.write(np.concatenate([h, c]).tobytes())
        y = h @ self.W_y + self.b_y
        y = np.exp(y - y.max())
        label = int(y.argmax())
        yield stream, (label, float(y[label] / y.sum()))


def network(H: int, seed: int = 0) -> rnn.Network:
    """A word tagger: Embedding (10,000 x 64), LSTM(H), softmax over 9 labels."""
    draw = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return draw.normal(0, 0.1, shape).astype(np.float32)

    return rnn.Network(
        [
            rnn.Embedding(weights(10_000, 64)),
            rnn.LSTM(weights(4 * H, 64), weights(4 * H, H), weights(4 * H)),
            rnn.Dense(weights(9, H), weights(9), "softmax"),
        ]
    )
