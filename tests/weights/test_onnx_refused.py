"""What from_onnx refuses, by node and operator; broken and foreign files."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from beam_rnn.errors import WeightsError
from beam_rnn.weights import from_onnx
from tests.weights.builders import OnnxGraph, normal, onnx_edit

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


@pytest.fixture
def model(tmp_path: Path) -> str:
    g = OnnxGraph()
    return g.save(tmp_path, graph_with()(g))


def set_first(**fields: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        tensor = model.graph.initializer[0]
        for name, value in fields.items():
            if name == "dims":
                del tensor.dims[:]
                tensor.dims.extend(value)
            else:
                setattr(tensor, name, value)

    return change


def external(location: str, **more: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    return change


def old_opset(model: Any) -> None:
    model.opset_import[0].version = 6


def doubling(model: Any) -> None:
    """Concat upon Concat: 2**60 times the size of the file."""
    name = model.graph.initializer[0].name
    for k in range(60):
        model.graph.node.insert(k, helper.make_node("Concat", [name, name], [f"d{k}"], axis=0))
        name = f"d{k}"


def unknown_input(model: Any) -> None:
    model.graph.node[0].input[1] = "nowhere"


def hidden_size(model: Any) -> None:
    for attribute in model.graph.node[0].attribute:
        attribute.i = 6


BROKEN: dict[str, tuple[Callable[[Any], None], str]] = {
    "bfloat16": (set_first(data_type=16), "initializer 'c0' holds BFLOAT16, which is not suppor"),
    "float8": (set_first(data_type=17), "initializer 'c0' holds FLOAT8E4M3FN, which is not supp"),
    "unknown type": (set_first(data_type=99), "initializer 'c0' holds type 99"),
    "integers": (set_first(data_type=6), r"'c0' holds int32, expected float16"),
    "huge shape": (
        set_first(dims=[1 << 40, 1 << 20]),
        r"tensor 'c0': shape \(1099511627776, 1048576\) needs \d+ bytes, found 240",
    ),
    "negative shape": (set_first(dims=[-1, 20]), r"tensor 'c0' has shape \(-1, 20\)"),
    "wrong width": (set_first(dims=[1, 10, 6]), r"'c0' has shape \(1, 10, 6\), expected \(1, 20"),
    "hidden size": (hidden_size, r"'c0' has shape \(1, 20, 3\), expected \(1, 24, D\)"),
    "opset": (old_opset, "opset 6 is not supported, expected 7 on"),
    "doubling": (doubling, r"node \d+ \(Concat\): constants outgrow the file"),
    "unknown input": (unknown_input, r"\(LSTM\): input 'nowhere' comes from nowhere"),
    "parent": (external("../secret"), "external data '../secret': expected a file inside the fo"),
    "absolute": (external("/etc/passwd"), "external data '/etc/passwd': expected a file inside"),
    "backslash": (external("..\\secret"), "expected a file inside the folder of the model"),
    "url": (external("gs://b/x"), "expected a file inside the folder of the model"),
    "no location": (external(""), "external data '': expected a file inside the folder"),
    "link": (external("link"), "external data 'link': expected a file inside the folder"),
    "absent": (external("absent.bin"), "absent.bin: no such file"),
    "short": (external("short.bin"), r"shape \(1, 20, 3\) needs 240 bytes, found 10"),
    "offset": (
        external("short.bin", offset="5", length="240"),
        "external data 'short.bin': bytes 5 to 245 expected, it holds 10",
    ),
    "no number": (external("short.bin", offset="five"), "external data 'short.bin': invalid lit"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_models(tmp_path: Path, model: str, name: str) -> None:
    (tmp_path / "short.bin").write_bytes(bytes(10))
    (tmp_path.parent / "secret").write_bytes(bytes(240))
    (tmp_path / "link").symlink_to(tmp_path.parent / "secret")
    change, message = BROKEN[name]
    with pytest.raises(WeightsError, match=message) as caught:
        from_onnx(onnx_edit(model, change))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95abc.", b"PK\x03\x04", b"{}", bytes(100)])
def test_foreign_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"{re.escape(str(path))}: expected an ONNX model"):
        from_onnx(path)


def test_every_truncation_and_many_changed_bytes(model: str) -> None:
    """A broken file gives our error, or (a changed weight) a network; nothing else."""
    data = Path(model).read_bytes()
    random = np.random.default_rng(0)
    variants = [data[:n] for n in range(0, len(data), 37)]
    for _ in range(300):
        changed = bytearray(data)
        changed[random.integers(len(data))] = random.integers(256)
        variants.append(bytes(changed))
    refused = 0
    for variant in variants:
        Path(model).write_bytes(variant)
        try:
            from_onnx(model)
        except WeightsError:
            refused += 1
    assert refused > len(data) // 37


def test_unknown_output(model: str) -> None:
    with pytest.raises(WeightsError, match=r"output 'z' is missing, found \['v1_0'\]"):
        from_onnx(model, output="z")


def test_missing_package(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kw: Any) -> Any:
        if name == "onnx":
            raise ImportError(name)
        return real(name, *args, **kw)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'beam-rnn\[onnx\]'"):
        from_onnx(model)
