"""What the tests of weight files share: random arrays, networks of every kind, ONNX graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import beam_rnn.nn as nn

STEPS = 200
TOLERANCE = 1e-5


def normal(seed: int, *shape: int, scale: float = 0.3) -> np.ndarray:
    """Float32 numbers of a size at which 200 steps of any cell stay in their range."""
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def cell(kind: str, D: int, H: int, seed: int = 0, **options: Any) -> Any:
    """A random cell of ours."""
    G = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind]
    arrays = normal(seed, G * H, D), normal(seed + 1, G * H, H), normal(seed + 2, G * H)
    return getattr(nn, kind)(*arrays, **options)


def networks() -> dict[str, nn.Network]:
    """A network of every kind of layer, by a name for the test."""
    E, W, b = normal(1, 11, 4), normal(2, 3, 5), normal(3, 3)
    gru = cell("GRU", 4, 5, b_n=normal(9, 5))
    columns = nn.Columns(
        [
            (1, [nn.Embedding(E)]),
            (4, [nn.Embedding(E), nn.Conv1d(normal(4, 6, 3, 4), normal(5, 6)), nn.MaxPool()]),
        ]
    )
    crf = nn.CRF(normal(6, 3, 3), normal(7, 3), normal(8, 3))
    return {
        "rnn": nn.Network([cell("RNN", 4, 5), nn.Dense(W, b)]),
        "relu": nn.Network([cell("RNN", 4, 5, activation="relu"), nn.Dense(W, b, "tanh")]),
        "gru": nn.Network([nn.Embedding(E), gru, nn.Dense(W, b, "softmax")]),
        "gru before": nn.Network([cell("GRU", 4, 5, reset_after=False)]),
        "lstm stack": nn.Network([cell("LSTM", 4, 6), cell("LSTM", 6, 5), nn.Dense(W, b)]),
        "bidirectional": nn.Network(
            [
                nn.Embedding(E),
                nn.Bidirectional(cell("LSTM", 4, 3), cell("LSTM", 4, 2, 5)),
                nn.Dense(W, b, "relu"),
                crf,
            ]
        ),
        "convolutions": nn.Network(
            [
                nn.Context(2, (3, 2)),
                nn.Conv1d(normal(4, 4, 3, 2), normal(5, 4), "relu", 2, (1, 0), "reflect", 1),
                nn.Magnitude(),
                nn.Flatten(),
                nn.Activation("tanh"),
                cell("LSTM", 4, 3),
            ]
        ),
        "crf alone": nn.Network([cell("GRU", 4, 3), nn.CRF(normal(6, 3, 3))]),
        "columns": nn.Network([columns, cell("GRU", 10, 5), nn.Dense(W, b, "sigmoid")]),
        "told": nn.Network(
            [nn.Embedding(E), gru, nn.Dense(W, b, "softmax")],
            labels=["O", "B-PER", "ñ\n😀"],
            vocabulary=[f"word {i}" for i in range(11)],
            lookahead=2,
            card={"data": "CoNLL", "figures": {"f1": 80.5}, "split": [1, None, True]},
        ),
    }


class OnnxGraph:
    """An ONNX model, put together node by node."""

    def __init__(self, opset: int = 17) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.inputs: list[Any] = []

    def input(self, name: str, shape: Sequence[Any], kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def const(self, array: Any) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(
        self, op: str, *inputs: str, outputs: int = 1, name: str = "", **attributes: Any
    ) -> Any:
        """Adds a node; returns the name of its output, or a tuple of names."""
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=name, **attributes))
        return names[0] if outputs == 1 else tuple(names)

    def squeeze(self, value: str, axis: int) -> str:
        if self.opset < 13:
            return self.node("Squeeze", value, axes=[axis])
        return self.node("Squeeze", value, self.const(np.array([axis], np.int64)))

    def recurrent(
        self, op: str, x: str, D: int, H: int, *, seed: int = 0, outputs: int = 1, **attributes: Any
    ) -> Any:
        """Adds a cell with random weights; ``dirs=2`` makes it bidirectional."""
        dirs = attributes.pop("dirs", 1)
        extra = attributes.pop("extra", ())
        G = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
        arrays = [
            normal(seed, dirs, G * H, D),
            normal(seed + 1, dirs, G * H, H),
            normal(seed + 2, dirs, 2 * G * H),
        ]
        name = f"{op.lower()}_{len(self.nodes)}"
        if dirs == 2:
            attributes["direction"] = "bidirectional"
        return self.node(
            op, x, *map(self.const, arrays), *extra, outputs=outputs, name=name,
            hidden_size=H, **attributes,
        )  # fmt: skip

    def model(self, *outputs: str) -> Any:
        infos = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph(self.nodes, "g", self.inputs, infos, self.initializers)
        opset = helper.make_opsetid("", self.opset)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8)

    def save(self, folder: Path, *outputs: str) -> str:
        path = folder / "m.onnx"
        path.write_bytes(self.model(*outputs).SerializeToString())
        return str(path)


def onnx_run(path: str, **inputs: np.ndarray) -> np.ndarray:
    """First output by ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options)
    return session.run(None, inputs)[0]


def onnx_edit(path: str, change: Any) -> str:
    """Applies ``change`` to the model in the file."""
    model = onnx.load_model(path, load_external_data=False)
    change(model)
    Path(path).write_bytes(model.SerializeToString())
    return path
