"""The peer without Beam: a dictionary of streams and ONNX Runtime in batches, nothing durable."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import beam_rnn as rnn

BATCH = 256


def onnx_model(net: rnn.Network) -> bytes:
    """One step of ``benchmarks.plain.network`` in ONNX: (ids, h, c) -> (y, h', c')."""
    from onnx import TensorProto, helper, numpy_helper

    embedding, lstm, dense = net.layers
    H = lstm.hidden_size
    i, f, g, o = (slice(k * H, (k + 1) * H) for k in range(4))

    def iofc(w: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate([w[i], w[o], w[f], w[g]])  # ONNX's order of gates

    bias = np.concatenate([iofc(lstm.b), np.zeros(4 * H, np.float32)])
    weights = {
        "E": embedding.E,
        "W": iofc(lstm.W_x)[None],
        "R": iofc(lstm.W_a)[None],
        "B": bias[None],
        "W_y": dense.W_y,
        "b_y": dense.b_y,
        "axis": np.array([0], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["E", "ids"], ["rows"]),
        helper.make_node("Unsqueeze", ["rows", "axis"], ["x"]),
        helper.make_node(
            "LSTM", ["x", "W", "R", "B", "", "h", "c"], ["", "h2", "c2"], hidden_size=H
        ),
        helper.make_node("Squeeze", ["h2", "axis"], ["top"]),
        helper.make_node("Gemm", ["top", "W_y", "b_y"], ["z"], transB=1),
        helper.make_node("Softmax", ["z"], ["y"], axis=1),
    ]
    state = [1, "B", H]
    values = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "step",
        [
            values("ids", TensorProto.INT64, ["B"]),
            values("h", TensorProto.FLOAT, state),
            values("c", TensorProto.FLOAT, state),
        ],
        [
            values("y", TensorProto.FLOAT, ["B", 9]),
            values("h2", TensorProto.FLOAT, state),
            values("c2", TensorProto.FLOAT, state),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(w), name) for name, w in weights.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    model: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return model


class OnnxDict:
    """Tags words of many streams, with their states in arrays that a dictionary points into.

    Raises:
      ImportError: onnx or onnxruntime is absent.
    """

    def __init__(self, net: rnn.Network) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(
            onnx_model(net), options, providers=["CPUExecutionProvider"]
        )
        self.rows: dict[Any, int] = {}
        self.h = np.zeros((1024, net.layers[1].hidden_size), np.float32)
        self.c = self.h.copy()

    def tag(self, streams: list[Any], ids: list[int]) -> list[tuple[Any, int, float]]:
        """Steps events in batches of 256: in a batch, first the first of each stream, and so on."""
        found: list[tuple[Any, int, float]] = []
        for start in range(0, len(streams), BATCH):
            found += self._batch(streams[start : start + BATCH], ids[start : start + BATCH])
        return found

    def _batch(self, streams: list[Any], ids: list[int]) -> list[tuple[Any, int, float]]:
        rows = [self.rows.setdefault(stream, len(self.rows)) for stream in streams]
        while len(self.rows) > len(self.h):
            self.h = np.concatenate([self.h, np.zeros_like(self.h)])
            self.c = np.concatenate([self.c, np.zeros_like(self.c)])
        n = len(rows)
        words = np.array(ids, np.int64)
        label, score = np.empty(n, np.int64), np.empty(n, np.float32)
        for places in _waves(rows):
            at = np.array(rows)[places]
            feed = {"ids": words[places], "h": self.h[at][None], "c": self.c[at][None]}
            y, h, c = self.session.run(None, feed)
            self.h[at], self.c[at] = h[0], c[0]
            label[places] = best = y.argmax(axis=1)
            score[places] = y[np.arange(len(y)), best]
        return list(zip(streams, label.tolist(), score.tolist(), strict=True))


def _waves(rows: list[int]) -> list[Any]:
    """Places of the first event of every row, then of the second, and so on."""
    if len(set(rows)) == len(rows):
        return [slice(None)]
    seen: dict[int, int] = {}
    waves: list[list[int]] = []
    for place, row in enumerate(rows):
        turn = seen.get(row, 0)
        seen[row] = turn + 1
        if turn == len(waves):
            waves.append([])
        waves[turn].append(place)
    return waves
