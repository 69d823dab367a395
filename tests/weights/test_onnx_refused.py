"""What from_onnx refuses, by node and operator; broken and foreign files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from beam_rnn.errors import WeightsError
from beam_rnn.weights import from_onnx
from tests.weights.builders import OnnxGraph, normal

H = 5


def graph_with(op: str = "LSTM", extra: tuple[Any, ...] = (), **attributes: Any):
    """A graph of one cell whose optional inputs are the arrays ``extra``, or None."""

    def build(g: OnnxGraph) -> str:
        names = tuple("" if value is None else g.const(value) for value in extra)
        y = g.recurrent(op, g.input("x", ["T", "B", 3]), 3, H, extra=names, **attributes)
        return g.squeeze(y, 1)

    return build


def after(op: str, *arrays: Any, **attributes: Any):
    """A graph of a cell and one more node."""

    def build(g: OnnxGraph) -> str:
        y = g.squeeze(g.recurrent("GRU", g.input("x", ["T", "B", 3]), 3, H), 1)
        return g.node(op, y, *map(g.const, arrays), name="odd", **attributes)

    return build


def before(op: str, *arrays: Any, kind: int = TensorProto.FLOAT, **attributes: Any):
    """A graph of one node and a cell."""

    def build(g: OnnxGraph) -> str:
        x = g.node(op, g.input("x", ["T", "B", 3], kind), *map(g.const, arrays), name="odd",
                   **attributes)  # fmt: skip
        return g.squeeze(g.recurrent("GRU", x, 3, H), 1)

    return build


def two_directions_last_state(g: OnnxGraph) -> str:
    return g.recurrent("LSTM", g.input("x", ["T", "B", 3]), 3, H, dirs=2, outputs=2)[1]


def cell_state(g: OnnxGraph) -> str:
    return g.recurrent("LSTM", g.input("x", ["T", "B", 3]), 3, H, outputs=3)[2]


def time_turned_between_cells(g: OnnxGraph) -> str:
    y = g.squeeze(g.recurrent("GRU", g.input("x", ["T", "B", 3]), 3, H), 1)
    y = g.node("Transpose", y, perm=[1, 0, 2])
    return g.squeeze(g.recurrent("GRU", y, H, H), 1)


def last_state_through_another_cell(g: OnnxGraph) -> str:
    y_h = g.recurrent("GRU", g.input("x", ["T", "B", 3]), 3, H, outputs=2)[1]
    return g.squeeze(g.recurrent("GRU", y_h, H, H), 1)


def first_step_alone(g: OnnxGraph) -> str:
    y = g.squeeze(g.recurrent("GRU", g.input("x", ["T", "B", 3]), 3, H), 1)
    return g.node("Gather", y, g.const(np.int64(0)), axis=0, name="odd")


def computed_shape(g: OnnxGraph) -> str:
    y = g.squeeze(g.recurrent("GRU", g.input("x", ["T", "B", 3]), 3, H), 1)
    size = g.node("Mul", g.node("Shape", y), g.const(np.array([1, 1, 1], np.int64)), name="odd")
    return g.node("Reshape", y, size)


def shape_of_another_input(g: OnnxGraph) -> str:
    """Its batch axis may be longer or shorter, for all that the graph says."""
    y = g.squeeze(g.recurrent("GRU", g.input("x", ["T", "B", 3]), 3, H), 1)
    return g.node("Reshape", y, g.node("Shape", g.input("z", ["T", "B", H])), name="odd")


def steps_into_batch(g: OnnxGraph) -> str:
    """A cell over rows whose time went into one axis with the batch."""
    y = g.squeeze(g.recurrent("GRU", g.input("x", ["T", "B", 3]), 3, H), 1)
    y = g.node("Reshape", y, g.const(np.array([-1, H], np.int64)))
    y = g.node("Unsqueeze", y, g.const(np.array([1], np.int64)))
    return g.squeeze(g.recurrent("GRU", y, H, H), 1)


def residual(g: OnnxGraph) -> str:
    y = g.squeeze(g.recurrent("GRU", g.input("x", ["T", "B", H]), H, H), 1)
    return g.node("Add", y, "x", name="odd")


def bare_ids(g: OnnxGraph) -> str:
    return g.squeeze(g.recurrent("GRU", g.input("x", ["T", "B", 3], TensorProto.INT64), 3, H), 1)


def ids_as_floats(g: OnnxGraph) -> str:
    x = g.input("x", ["T", "B", 3], TensorProto.INT64)
    x = g.node("Cast", x, to=TensorProto.FLOAT, name="odd")
    return g.squeeze(g.recurrent("GRU", x, 3, H), 1)


def no_cell(g: OnnxGraph) -> str:
    return g.node("MatMul", g.input("x", ["T", "B", 3]), g.const(normal(1, 3, 2)))


def input_that_is_state_too(g: OnnxGraph) -> str:
    x = g.input("x", ["T", "B", H])
    return g.squeeze(g.recurrent("GRU", x, H, H, extra=("", x)), 1)


def scaled_weights(g: OnnxGraph) -> str:
    """W comes from a node that is no mere move, as after quantization."""
    x = g.input("x", ["T", "B", 3])
    W = g.node("Mul", g.const(normal(1, 1, 15, 3)), g.const(np.float32(2)), name="odd")
    y = g.node("GRU", x, W, g.const(normal(2, 1, 15, H)), hidden_size=H)
    return g.squeeze(y, 1)


def one_step_squeezed(g: OnnxGraph) -> str:
    """The axis of time has one element here, but is still time."""
    y = g.squeeze(g.recurrent("GRU", g.input("x", [1, "B", 3]), 3, H), 1)
    return g.node("Squeeze", y, g.const(np.array([0], np.int64)), name="odd")


def one_score_squeezed(g: OnnxGraph) -> str:
    y = g.squeeze(g.recurrent("GRU", g.input("x", ["T", "B", 3]), 3, H), 1)
    y = g.node("MatMul", y, g.const(normal(1, H, 1)))
    return g.node("Squeeze", y, g.const(np.array([2], np.int64)), name="odd")


def feature_axis_lost(g: OnnxGraph) -> str:
    y = g.squeeze(g.recurrent("GRU", g.input("x", ["T", "B", 3]), 3, H), 1)
    return g.node("Transpose", y, perm=[0, 2, 1])


def microsoft(g: OnnxGraph) -> str:
    y = g.squeeze(g.recurrent("GRU", g.input("x", ["T", "B", 3]), 3, H), 1)
    return g.node("FastGelu", y, name="odd", domain="com.microsoft")


CELL = r"node 'lstm_0' \(LSTM\): "
GRU = r"node 'gru_0' \(GRU\): "
ODD = r"node 'odd' "
UNSUPPORTED: dict[str, tuple[Callable[[OnnxGraph], str], str]] = {
    "clip": (graph_with(clip=3.0), CELL + "attribute clip = 3.0 is not supported"),
    "peepholes": (
        graph_with(extra=(None, None, None, normal(4, 1, 3 * H))),
        CELL + r"input P \(peepholes\) is not supported",
    ),
    "lengths": (
        graph_with(extra=(np.array([2], np.int32),)),
        CELL + "input sequence_lens is not supported",
    ),
    "state": (
        graph_with(extra=(None, normal(4, 1, 1, H))),
        CELL + "input initial_h is not zero",
    ),
    "cell state in": (
        graph_with(extra=(None, None, normal(4, 1, 1, H))),
        CELL + "input initial_c is not zero",
    ),
    "reverse": (
        graph_with(direction="reverse"),
        CELL + "attribute direction = b'reverse' is not supported, expected forward or bidir",
    ),
    "layout": (graph_with(layout=2), CELL + "attribute layout = 2 is not supported"),
    "activations": (
        graph_with(activations=["HardSigmoid", "Tanh", "Tanh"]),
        CELL + r"attribute activations = \['hardsigmoid', 'tanh', 'tanh'\] is not supported, "
        r"expected \['Sigmoid', 'Tanh', 'Tanh'\]",
    ),
    "one activation": (graph_with(activations=["Sigmoid"]), CELL + "attribute activations"),
    "rnn activation": (
        graph_with("RNN", activations=["Affine"]),
        r"\(RNN\): attribute activations = \['affine'\] .*\(or Relu\)",
    ),
    "alpha": (
        graph_with(activation_alpha=[0.1]),
        CELL + r"attribute activation_alpha = \[0.1.*\] is not supported",
    ),
    "input_forget of a GRU": (
        graph_with("GRU", input_forget=1),
        GRU + "attribute input_forget = 1 is not supported",
    ),
    "Y_h of two directions": (two_directions_last_state, "Y_h of two directions is not supp"),
    "Y_c": (cell_state, CELL + "output 2 is not supported"),
    "time turned": (
        time_turned_between_cells,
        r"node 'gru_3' \(GRU\): it runs over the axis x.1 of \(x.1, x.0, features\), .* over x.0",
    ),
    "last state on": (last_state_through_another_cell, "it runs over the axis directions"),
    "first step": (first_step_alone, ODD + r"\(Gather\): index 0 is not the last step"),
    "computed shape": (computed_shape, ODD + r"\(Mul\): the operator is not supported"),
    "one step": (one_step_squeezed, ODD + r"\(Squeeze\): from axes \(x.0, x.1, features\)"),
    "one score": (one_score_squeezed, ODD + r"\(Squeeze\): from axes \(x.0, x.1, features\)"),
    "other shape": (
        shape_of_another_input,
        ODD + r"\(Reshape\): from axes \(x.0, x.1, features\) to \(z.0, z.1, z.2\): is not",
    ),
    "steps into batch": (steps_into_batch, r"it runs over the axis x.0\+x.1 of"),
    "residual": (residual, ODD + r"\(Add\): input 1 is not constant"),
    "conv": (
        before("Conv", normal(1, 3, 3, 3)),
        ODD + r"\(Conv\): the operator is not supported",
    ),
    "quantized": (scaled_weights, ODD + r"\(Mul\): the operator is not supported"),
    "domain": (microsoft, ODD + r"\(com.microsoft.FastGelu\): the operator is not supported"),
    "ids": (bare_ids, GRU + "its input is integers that went through no embedding"),
    "ids as floats": (ids_as_floats, ODD + r"\(Cast\): it changes between integers and floats"),
    "no cell": (no_cell, "expected an RNN, GRU or LSTM before it, found none"),
    "x as state": (input_that_is_state_too, "input 'x' is both x and an initial state"),
    "feature axis": (feature_axis_lost, "expected the features as its last axis"),
    "relu of a cell": (after("Relu"), ODD + r"\(Relu\): expected MatMul or Gemm just before it"),
    "log softmax": (after("LogSoftmax"), ODD + r"\(LogSoftmax\): the operator is not supported"),
    "reshape": (
        after("Reshape", np.array([-1, 2, 7], np.int64)),
        ODD + r"\(Reshape\): from axes \(x.0, x.1, features\) to \(-1, 2, 7\): is not supported",
    ),
    "squeeze features": (after("Squeeze", np.array([2], np.int64)), ODD + r"\(Squeeze\)"),
    "bias of nothing": (after("Add", normal(1, H)), ODD + r"\(Add\): expected the bias of a Mat"),
    "gemm of three axes": (after("Gemm", normal(1, H, 2)), ODD + r"\(Gemm\): expected rows"),
    "matmul width": (after("MatMul", normal(1, H + 1, 2)), "layer 1: Dense.W_y takes 6 features"),
    "matmul axes": (
        after("MatMul", normal(1, 2, H, 2)),
        ODD + r"\(MatMul\): 'c\d' has shape \(2, 5, 2\), expected \(H, C\)",
    ),
    "not finite": (
        after("MatMul", np.full((H, 2), np.inf, np.float32)),
        ODD + r"\(MatMul\): 'c\d' holds values that are not finite",
    ),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_refused_by_name(tmp_path: Path, name: str) -> None:
    build, message = UNSUPPORTED[name]
    g = OnnxGraph()
    path = g.save(tmp_path, build(g))
    with pytest.raises(WeightsError, match=message) as caught:
        from_onnx(path)
    assert str(caught.value).startswith(f"{path}: ")


def softmax_over_time(g: OnnxGraph) -> str:
    y = g.node("MatMul", graph_with()(g), g.const(normal(1, H, 2)))
    return g.node("Softmax", y, name="odd", axis=0)


def test_softmax_axis(tmp_path: Path) -> None:
    g = OnnxGraph()
    path = g.save(tmp_path, softmax_over_time(g))
    with pytest.raises(WeightsError, match=ODD + r"\(Softmax\): attribute axis = 0 is not the fe"):
        from_onnx(path)


def test_zero_peepholes_are_no_peepholes(tmp_path: Path) -> None:
    g = OnnxGraph()
    zero = np.zeros((1, 3 * H), np.float32)
    assert from_onnx(g.save(tmp_path, graph_with(extra=(None, None, None, zero))(g)))
