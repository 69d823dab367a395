"""The plain peers: one state cell per stream and one NumPy step per event, in Beam and bytewax."""

import functools
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.coders import BytesCoder
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec
from numpy.typing import NDArray

import beam_rnn as rnn
from benchmarks import words


def network(H: int, seed: int = 0) -> rnn.Network:
    """A word tagger: Embedding (10,000 x 64), LSTM(H), softmax over 9 labels."""
    draw = np.random.default_rng(seed)

    def weights(*shape: int) -> NDArray[np.float32]:
        return draw.normal(0, 0.1, shape).astype(np.float32)

    return rnn.Network(
        [
            rnn.Embedding(weights(words.VOCABULARY, 64)),
            rnn.LSTM(weights(4 * H, 64), weights(4 * H, H), weights(4 * H)),
            rnn.Dense(weights(9, H), weights(9), "softmax"),
        ]
    )


@functools.cache
def model(H: int) -> str:
    """The path of ``network(H)``."""
    return saved(network(H), f"lstm{H}")


def saved(network: rnn.Network, name: str) -> str:
    """The path of a network in a file that goes with the process.

    Transforms are given the path: a network itself would travel with each pipeline, compressed by
    Beam, and be unpacked while the clock runs.
    """
    path = f"{_folder().name}/{name}.safetensors"
    rnn.save(network, path)
    return path


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="beam-rnn-")


class Cell:
    """The tagger of ``network`` for one event at a time, the LSTM written as in a textbook."""

    def __init__(self, net: rnn.Network) -> None:
        embedding, lstm, dense = net.layers
        self.E = embedding.E
        self.W_x, self.W_a, self.b = lstm.W_x.T.copy(), lstm.W_a.T.copy(), lstm.b
        self.W_y, self.b_y = dense.W_y.T.copy(), dense.b_y
        self.H = lstm.hidden_size

    def step(self, a: NDArray[np.float32], word: int) -> tuple[NDArray[np.float32], int, float]:
        """State and word -> new state, label, score."""
        H = self.H
        h, c = a[:H], a[H:]
        z = self.E[word] @ self.W_x + h @ self.W_a + self.b
        i, f, o = (1 / (1 + np.exp(-z[k * H : (k + 1) * H])) for k in (0, 1, 3))
        c = f * c + i * np.tanh(z[2 * H : 3 * H])
        h = o * np.tanh(c)
        y = h @ self.W_y + self.b_y
        y = np.exp(y - y.max())
        label = int(y.argmax())
        return np.concatenate([h, c]), label, float(y[label] / y.sum())


class PlainTag(beam.DoFn):
    """(stream, id) -> (stream, (label, score))."""

    STATE = ReadModifyWriteStateSpec("a", BytesCoder())

    def __init__(self, path: str) -> None:
        self.path = path

    def setup(self) -> None:
        self.cell = Cell(rnn.load(self.path))
        self.zero = np.zeros(2 * self.cell.H, np.float32)

    def process(
        self, element: tuple[str, int], state: Any = beam.DoFn.StateParam(STATE)
    ) -> Iterator[Any]:
        stream, word = element
        data = state.read()
        a = np.frombuffer(data, np.float32) if data else self.zero
        a, label, score = self.cell.step(a, word)
        state.write(a.tobytes())
        yield stream, (label, score)


def bytewax_rate(net: rnn.Network, count: int, part: int = 1000) -> float:
    """The same in bytewax, one process, no recovery store: events per second.

    Raises:
      ImportError: bytewax is absent.
    """
    import bytewax.operators as op
    from bytewax.dataflow import Dataflow
    from bytewax.inputs import DynamicSource, StatelessSourcePartition
    from bytewax.outputs import DynamicSink, StatelessSinkPartition
    from bytewax.testing import run_main

    class Parts(StatelessSourcePartition):
        def __init__(self) -> None:
            self.start = 0

        def next_batch(self) -> list[tuple[str, int]]:
            if self.start >= count:
                raise StopIteration
            start, self.start = self.start, self.start + part
            return list(words.events((start, min(start + part, count))))

    class Source(DynamicSource):
        def build(self, *_: Any) -> Any:
            return Parts()

    class Answers(StatelessSinkPartition):
        def write_batch(self, items: list[Any]) -> None:
            words.answers.append(len(items))
            words.last.append(time.perf_counter())

    class Sink(DynamicSink):
        def build(self, *_: Any) -> Any:
            return Answers()

    cell = Cell(net)
    zero = np.zeros(2 * cell.H, np.float32)

    def step(a: NDArray[np.float32] | None, word: int) -> tuple[Any, tuple[int, float]]:
        a, label, score = cell.step(zero if a is None else a, word)
        return a, (label, score)

    words.clear()
    flow = Dataflow("tag")
    read = op.input("read", flow, Source())
    op.output("seen", op.stateful_map("step", read, step), Sink())
    run_main(flow)
    return count / words.seconds(count)
