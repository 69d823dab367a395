"""from_onnx against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from beam_rnn import nn
from beam_rnn.weights import from_onnx
from tests.weights.builders import STEPS, TOLERANCE, OnnxGraph, normal, onnx_edit, onnx_run

CELLS: dict[str, tuple[str, dict[str, Any]]] = {
    "tanh": ("RNN", {}),
    "relu": ("RNN", {"activations": ["Relu"]}),
    "gru-before": ("GRU", {}),
    "gru-after": ("GRU", {"linear_before_reset": 1}),
    "lstm": ("LSTM", {"activations": ["Sigmoid", "Tanh", "tanh"]}),
    "lstm-coupled": ("LSTM", {"input_forget": 1}),
}


def stack(g: OnnxGraph, x: str, D: int, op: str, options: dict[str, Any], depth: int, dirs: int):
    """Cells as PyTorch exports them, time first; returns the value and its width."""
    for k in range(depth):
        H = 6 - k
        given = dict(options)
        if dirs == 2 and "activations" in given:
            given["activations"] = given["activations"] * 2
        y = g.recurrent(op, x, D, H, seed=10 * k, dirs=dirs, **given)
        if dirs == 1:
            x = g.squeeze(y, 1)
        else:
            x = g.node("Transpose", y, perm=[0, 2, 1, 3])
            x = g.node("Reshape", x, g.const(np.array([0, 0, -1], np.int64)))
        D = H * dirs
    return x, D


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("dirs", [1, 2])
def test_cells_equal_onnx_runtime(tmp_path: Path, name: str, depth: int, dirs: int) -> None:
    g = OnnxGraph()
    y, _ = stack(g, g.input("x", ["T", "B", 3]), 3, *CELLS[name], depth, dirs)
    path = g.save(tmp_path, y)
    x = normal(5, STEPS, 2, 3, scale=1)
    net = from_onnx(path)
    expected = nn.Bidirectional if dirs == 2 else (nn.RNN, nn.GRU, nn.LSTM)
    assert len(net.layers) == depth
    assert all(isinstance(layer, expected) for layer in net.layers)
    mine = net.unroll(x.swapaxes(0, 1))[0].swapaxes(0, 1)
    np.testing.assert_allclose(mine, onnx_run(path, x=x), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("op", ["Softmax", "Sigmoid", "Tanh", "Relu", None])
@pytest.mark.parametrize("opset", [11, 17])
def test_embedding_cell_head(tmp_path: Path, op: str | None, opset: int) -> None:
    g = OnnxGraph(opset)
    ids = g.node("Cast", g.input("ids", ["B", "T"], TensorProto.INT32), to=TensorProto.INT64)
    x = g.node("Gather", g.const(normal(1, 9, 4)), ids)
    x = g.node("Transpose", x, perm=[1, 0, 2])
    y, _ = stack(g, x, 4, "LSTM", {}, 2, 1)
    y = g.node("Dropout", g.node("Transpose", y, perm=[1, 0, 2]))
    y = g.node("MatMul", y, g.const(normal(2, 5, 7)))
    y = g.node("Add", g.const(normal(3, 7)), y)
    y = g.node("Relu", y)
    y = g.node("MatMul", y, g.const(normal(4, 7, 3)))
    y = g.node("Add", y, g.const(normal(5, 3)))
    if op == "Softmax":
        y = g.node(op, y, axis=2)
    elif op:
        y = g.node(op, y)
    path = g.save(tmp_path, y)
    ids = np.random.default_rng(0).integers(9, size=(3, STEPS)).astype(np.int32)
    net = from_onnx(path, labels=["a", "b", "c"], lookahead=1, card={"from": "here"})
    assert (net.labels, net.lookahead, net.card) == (("a", "b", "c"), 1, {"from": "here"})
    np.testing.assert_allclose(
        net.unroll(ids.astype(np.int64))[0], onnx_run(path, ids=ids), atol=TOLERANCE, rtol=0
    )


def last_by_gather(g: OnnxGraph, y: str, y_h: str) -> str:
    return g.node("Gather", g.squeeze(y, 1), g.const(np.int64(-1)), axis=0)


def last_by_gather_known(g: OnnxGraph, y: str, y_h: str) -> str:
    return g.node("Gather", g.squeeze(y, 1), g.const(np.int64(STEPS - 1)), axis=0)


def last_by_slice(g: OnnxGraph, y: str, y_h: str) -> str:
    places = [g.const(np.array([n], np.int64)) for n in (-1, 2**62, 0)]
    return g.squeeze(g.node("Slice", g.squeeze(y, 1), *places), 0)


def last_by_state(g: OnnxGraph, y: str, y_h: str) -> str:
    return g.squeeze(y_h, 0)


def last_by_reshape(g: OnnxGraph, y: str, y_h: str) -> str:
    return g.node("Reshape", y_h, g.const(np.array([-1, 5], np.int64)))


@pytest.mark.parametrize(
    "last",
    [last_by_gather, last_by_gather_known, last_by_slice, last_by_state, last_by_reshape],
)
@pytest.mark.parametrize("flipped", [0, 1])
def test_last_step_alone(tmp_path: Path, last: Any, flipped: int) -> None:
    g = OnnxGraph()
    y, y_h = g.recurrent("GRU", g.input("x", [STEPS, "B", 3]), 3, 5, outputs=2)
    W = normal(7, 2, 5) if flipped else normal(7, 5, 2)
    head = g.node(
        "Gemm", last(g, y, y_h), g.const(W), g.const(normal(8, 2)),
        transB=flipped, alpha=0.5, beta=2.0,
    )  # fmt: skip
    path = g.save(tmp_path, g.node("Softmax", head))
    x = normal(5, STEPS, 2, 3, scale=1)
    mine = from_onnx(path).unroll(x.swapaxes(0, 1))[0][:, -1]
    np.testing.assert_allclose(mine, onnx_run(path, x=x), atol=TOLERANCE, rtol=0)


def test_zero_state_made_by_the_graph_and_state_outputs(tmp_path: Path) -> None:
    g = OnnxGraph()
    x = g.input("x", ["T", "B", 3])
    size = g.node("Gather", g.node("Shape", x), g.const(np.array([1], np.int64)))
    shape = g.node("Concat", g.const(np.array([1], np.int64)), size,
                   g.const(np.array([5], np.int64)), axis=0)  # fmt: skip
    zeros = g.node("ConstantOfShape", shape, value=helper.make_tensor("v", 1, [1], [0.0]))
    more = g.node("Expand", g.const(np.zeros((1, 1, 1), np.float32)), shape)
    y, y_h, y_c = g.recurrent("LSTM", x, 3, 5, outputs=3, extra=("", zeros, more))
    path = g.save(tmp_path, g.squeeze(y, 1), y_h, y_c)
    x = normal(5, STEPS, 2, 3, scale=1)
    mine = from_onnx(path).unroll(x.swapaxes(0, 1))[0].swapaxes(0, 1)
    np.testing.assert_allclose(mine, onnx_run(path, x=x), atol=TOLERANCE, rtol=0)


def test_state_that_the_caller_feeds(tmp_path: Path) -> None:
    g = OnnxGraph()
    x = g.input("x", ["T", "B", 3])
    states = g.input("h", [2, "B", 5])
    cuts = [[g.const(np.array([n], np.int64)) for n in (k, k + 1, 0)] for k in (0, 1)]
    y = x
    for k, D in enumerate((3, 5)):
        y = g.recurrent("GRU", y, D, 5, seed=k, extra=("", g.node("Slice", states, *cuts[k])))
        y = g.squeeze(y, 1)
    path = g.save(tmp_path, y)
    x = normal(5, STEPS, 2, 3, scale=1)
    mine = from_onnx(path).unroll(x.swapaxes(0, 1))[0].swapaxes(0, 1)
    theirs = onnx_run(path, x=x, h=np.zeros((2, 2, 5), np.float32))
    np.testing.assert_allclose(mine, theirs, atol=TOLERANCE, rtol=0)


def test_batch_first_layout_is_the_same_network(tmp_path: Path) -> None:
    """ONNX Runtime does not run layout 1, so it is compared with layout 0."""
    nets = []
    for layout in (0, 1):
        g = OnnxGraph()
        y = g.recurrent("GRU", g.input("x", ["a", "b", 3]), 3, 5, layout=layout)
        y = g.node("MatMul", g.squeeze(y, 1 + layout), g.const(normal(2, 5, 7)))
        nets.append(from_onnx(g.save(tmp_path, y)))
    assert nets[0].fingerprint == nets[1].fingerprint


def test_weights_that_go_through_nodes_first(tmp_path: Path) -> None:
    """Exporters reorder gates with Slice and Concat, and store Constant nodes."""
    g = OnnxGraph()
    x = g.input("x", ["T", "B", 3])
    W, R = normal(1, 3 * 5, 3), normal(2, 3 * 5, 5)
    one = g.const(np.array([0], np.int64))
    stored = helper.make_tensor("w", TensorProto.FLOAT, W.shape, W.reshape(-1))
    W_node = g.node("Unsqueeze", g.node("Constant", value=stored), one)
    parts = []
    for k in (1, 0, 2):
        cut = [g.const(np.array([n], np.int64)) for n in (5 * k, 5 * k + 5, 0)]
        parts.append(g.node("Slice", g.const(R), *cut))
    R_node = g.node("Unsqueeze", g.node("Concat", *parts, axis=0), one)
    half = g.node("Cast", g.const(normal(3, 1, 30).astype(np.float16)), to=TensorProto.FLOAT)
    y = g.node("GRU", x, W_node, R_node, half, hidden_size=5, linear_before_reset=1)
    path = g.save(tmp_path, g.squeeze(y, 1))
    x = normal(5, STEPS, 2, 3, scale=1)
    mine = from_onnx(path).unroll(x.swapaxes(0, 1))[0].swapaxes(0, 1)
    np.testing.assert_allclose(mine, onnx_run(path, x=x), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("dirs", [1, 2])
def test_shapes_that_the_graph_computes(tmp_path: Path, dirs: int) -> None:
    """Exporters write reshapes by Shape, Gather, Slice and Concat; Dense over flattened steps."""
    g = OnnxGraph()
    x = g.input("x", ["T", "B", 3])
    y = g.node("Transpose", g.recurrent("LSTM", x, 3, 5, dirs=dirs), perm=[0, 2, 1, 3])
    zero, one = (g.const(np.array([n], np.int64)) for n in (0, 1))
    size = g.node("Shape", x)
    T = g.node("Unsqueeze", g.node("Gather", size, g.const(np.int64(0)), axis=0), zero)
    B = g.node("Slice", size, one, g.const(np.array([2], np.int64)), zero)
    width = g.const(np.array([5 * dirs], np.int64))
    y = g.node("Reshape", y, g.node("Concat", T, B, width, axis=0))
    y = g.node("Reshape", y, g.const(np.array([-1, 5 * dirs], np.int64)))
    y = g.node("Gemm", y, g.const(normal(7, 5 * dirs, 4)))
    both = g.node("Cast", g.node("Shape", x, end=2), to=TensorProto.INT64)
    y = g.node("Reshape", y, g.node("Concat", both, g.const(np.array([4], np.int64)), axis=0))
    y = g.squeeze(g.recurrent("GRU", y, 4, 5, seed=9), 1)
    path = g.save(tmp_path, y)
    x = normal(5, STEPS, 2, 3, scale=1)
    mine = from_onnx(path).unroll(x.swapaxes(0, 1))[0].swapaxes(0, 1)
    np.testing.assert_allclose(mine, onnx_run(path, x=x), atol=TOLERANCE, rtol=0)


def test_another_output(tmp_path: Path) -> None:
    g = OnnxGraph()
    y = g.squeeze(g.recurrent("RNN", g.input("x", ["T", "B", 3]), 3, 5), 1)
    scores = g.node("MatMul", y, g.const(normal(2, 5, 7)))
    path = g.save(tmp_path, g.node("ArgMax", scores, axis=2), scores)
    assert from_onnx(path, output=scores).output_size == 7


def test_external_data_in_the_same_folder(tmp_path: Path) -> None:
    g = OnnxGraph()
    y = g.squeeze(g.recurrent("LSTM", g.input("x", ["T", "B", 3]), 3, 5), 1)
    path = g.save(tmp_path, y)
    inside = from_onnx(path)
    onnx.save_model(
        g.model(y), path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    assert (tmp_path / "weights.bin").stat().st_size > 0
    assert from_onnx(path).fingerprint == inside.fingerprint

    def move(model: Any) -> None:
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                entry.value = entry.value.replace("weights.bin", "sub/weights.bin")

    (tmp_path / "sub").mkdir()
    (tmp_path / "weights.bin").rename(tmp_path / "sub" / "weights.bin")
    assert from_onnx(onnx_edit(path, move)).fingerprint == inside.fingerprint
