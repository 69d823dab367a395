"""ONNX operators other than the cells: layers, and what only moves the axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from beam_rnn import nn
from beam_rnn.weights import onnx_axes as axes
from beam_rnn.weights import onnx_shapes as shapes
from beam_rnn.weights.arrays import build
from beam_rnn.weights.onnx_axes import Axis
from beam_rnn.weights.onnx_cells import recurrent
from beam_rnn.weights.onnx_graph import Graph, Node, Operator, Rows, Unsupported, Value, Zeros
from beam_rnn.weights.onnx_shapes import Dims

Inputs = list[Value | None]

_INTEGERS = {6: "<i4", 7: "<i8"}  # TensorProto.DataType
_FLOATS = {1: "<f4", 10: "<f2", 11: "<f8"}
_TO_THE_END = 1 << 30  # a slice to here or beyond means to the end


def _rows(inputs: Inputs, place: int = 0) -> Rows:
    value = inputs[place] if place < len(inputs) else None
    if not isinstance(value, Rows):
        raise Unsupported(f"input {place} does not come from the graph's input")
    return value


def _constant(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    for name, dtype in (("value", None), ("value_int", "<i8"), ("value_ints", "<i8"),
                        ("value_float", "<f4"), ("value_floats", "<f4")):  # fmt: skip
        value = node.attributes.get(name)
        if isinstance(value, str):
            raise Unsupported(value)
        if value is not None:
            return [np.asarray(value, dtype)]
    raise Unsupported("its value is not a tensor of numbers")


def _constant_of_shape(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    value = node.attributes.get("value", np.zeros(1, np.float32))
    if isinstance(value, np.ndarray) and not value.any():
        return [Zeros()]
    raise Unsupported("its value is not zero")


def _expand(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    if isinstance(inputs[0], np.ndarray) and not inputs[0].any():
        return [Zeros()]
    raise Unsupported("only zeros may be expanded")


def _identity(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    if inputs[0] is None:
        raise Unsupported("it has no input")
    return [inputs[0]]


def _dropout(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    training = inputs[2] if len(inputs) > 2 else None
    if training is not None and graph.array(training, "training_mode").any():
        raise Unsupported("training_mode is on")
    return [_rows(inputs)]


def _cast(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    to = node.attributes.get("to", 0)
    value = inputs[0]
    if isinstance(value, Dims) and to in _INTEGERS:
        return [value]
    if isinstance(value, np.ndarray) and (dtype := {**_INTEGERS, **_FLOATS}.get(to)):
        graph.reserve(node, value.size * 8)
        return [value.astype(dtype)]
    rows = _rows(inputs)
    if to in (_INTEGERS if rows.ids and not rows.layers else _FLOATS):
        return [rows]
    raise Unsupported("it changes between integers and floats")


def _shape(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    start, end = (node.attributes.get(name) for name in ("start", "end"))
    if isinstance(inputs[0], np.ndarray):
        return [np.array(inputs[0].shape[start:end], np.int64)]
    return [Dims(tuple(_rows(inputs).axes[start:end]))]


def _followed(dims: Dims | None) -> Dims:
    if dims is None:
        raise Unsupported("the shape that it computes cannot be followed")
    return dims


def _moved(graph: Graph, node: Node, rows: Rows, result: axes.Axes | None) -> list[Value]:
    if result is None:
        raise Unsupported(f"from axes {axes.text(rows.axes)}: is not supported")
    return [replace(rows, axes=result)]


def _transpose(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    order = node.attributes.get("perm")
    if isinstance(inputs[0], np.ndarray):
        if order is not None and sorted(order) != [*range(inputs[0].ndim)]:
            raise Unsupported(f"perm = {order} does not fit")
        return [inputs[0].transpose(order)]
    rows = _rows(inputs)
    return _moved(graph, node, rows, axes.transpose(rows.axes, order))


def _squeeze(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    places = graph.ints(node, inputs, 1, "axes")
    if isinstance(inputs[0], Dims):
        if len(inputs[0].sizes) != 1:
            raise Unsupported("it does not fit")
        return [inputs[0]._replace(scalar=True)]
    if isinstance(inputs[0], np.ndarray):
        shape = axes.squeeze(_plain(inputs[0]), places, None)
        return [_shaped(inputs[0], shape)]
    rows = _rows(inputs)
    return _moved(graph, node, rows, axes.squeeze(rows.axes, places, rows.time))


def _unsqueeze(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    places = graph.ints(node, inputs, 1, "axes") or []
    if isinstance(inputs[0], Dims) and inputs[0].scalar:
        return [inputs[0]._replace(scalar=False)]
    if isinstance(inputs[0], np.ndarray):
        return [_shaped(inputs[0], axes.unsqueeze(_plain(inputs[0]), places))]
    rows = _rows(inputs)
    return _moved(graph, node, rows, axes.unsqueeze(rows.axes, places))


def _plain(array: Any) -> axes.Axes:
    return tuple(Axis(str(place), size) for place, size in enumerate(array.shape))


def _shaped(array: Any, shape: axes.Axes | None) -> Any:
    if shape is None:
        raise Unsupported(f"axes do not fit the shape {array.shape}")
    return array.reshape([axis.size for axis in shape])


def _reshape(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    if node.attributes.get("allowzero", 0):
        raise Unsupported("attribute allowzero is not supported")
    shape = inputs[1] if len(inputs) > 1 else None
    target: list[int | Axis] | None
    if isinstance(shape, Dims) and not shape.scalar:
        target = [*shape.sizes]
    else:
        target = graph.ints(node, inputs, 1, "shape")
    if target is None:
        raise Unsupported("shape is missing")
    if isinstance(inputs[0], np.ndarray):
        old = inputs[0].shape
        try:
            lengths: list[Any] = [old[i] if n == 0 else n for i, n in enumerate(target)]
            return [inputs[0].reshape(lengths)]
        except (ValueError, IndexError, TypeError):
            raise Unsupported(f"shape {target} does not fit {old}") from None
    rows = _rows(inputs)
    result = axes.reshape(rows.axes, target, rows.time)
    if result is None:
        wanted = ", ".join(str(n.name if isinstance(n, Axis) else n) for n in target)
        raise Unsupported(f"from axes {axes.text(rows.axes)} to ({wanted}): is not supported")
    return [replace(rows, axes=result)]


def _concat(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    if any(isinstance(value, Dims) for value in inputs):
        return [_followed(shapes.concat(inputs))]
    parts = [graph.array(value, f"input {place}") for place, value in enumerate(inputs)]
    graph.reserve(node, sum(part.nbytes for part in parts))
    try:
        return [np.concatenate(parts, node.attributes.get("axis", 0))]
    except ValueError as error:
        raise Unsupported(str(error)) from None


def _slice(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    names = ("starts", "ends", "axes", "steps")
    starts, ends, places, steps = (
        graph.ints(node, inputs, place + 1, name) for place, name in enumerate(names)
    )
    value = inputs[0]
    if isinstance(value, Rows):
        rank = len(value.axes)
    else:
        rank = 1 if isinstance(value, Dims) else graph.array(value, "input 0").ndim
    places = list(range(len(starts or []))) if places is None else places
    steps = [1] * len(places) if steps is None else steps
    if not (starts and ends and len(starts) == len(ends) == len(places) == len(steps)) or any(
        not -rank <= place < rank for place in places
    ):
        raise Unsupported("starts, ends, axes and steps do not fit")
    if isinstance(value, Dims) and steps == [1]:
        return [_followed(shapes.cut(value, starts, ends, places))]
    if isinstance(value, np.ndarray):
        cut: list[Any] = [slice(None)] * rank
        for start, end, place, step in zip(starts, ends, places, steps, strict=True):
            if step != 1:
                raise Unsupported(f"steps = {steps} is not supported")
            cut[place] = slice(start, end)
        return [value[tuple(cut)]]
    rows = _rows(inputs)
    place = places[0]
    if len(places) > 1 or steps != [1] or starts != [-1] or ends[0] < _TO_THE_END:
        raise Unsupported("expected the last step of time alone")
    return [_last_step(rows, place, keep=True)]


def _gather(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    axis = node.attributes.get("axis", 0)
    table, ids = inputs
    if isinstance(table, Dims):
        return [_followed(shapes.gather(table, graph.array(ids, "indices"), axis))]
    if isinstance(table, np.ndarray) and isinstance(ids, Rows):
        if not ids.ids or ids.layers or axis != 0:
            raise Unsupported("expected integers of the graph's input that choose rows")
        E = graph.floats(node, 0, table, ("V", "D"))
        layer = build(graph.path, node.title, nn.Embedding, E)
        features = (*ids.axes, Axis(axes.FEATURES, E.shape[1]))
        return [replace(ids, layers=(layer,), axes=features)]
    rows = _rows(inputs)
    index = graph.array(ids, "indices")
    if not -len(rows.axes) <= axis < len(rows.axes) or index.size != 1 or index.ndim > 1:
        raise Unsupported("expected the last step of time alone")
    size = rows.axes[axis].size
    if int(index.reshape(())) not in (-1, *([] if size is None else [size - 1])):
        raise Unsupported(f"index {index!s} is not the last step of time")
    return [_last_step(rows, axis, keep=index.ndim == 1)]


def _last_step(rows: Rows, place: int, *, keep: bool) -> Rows:
    """The last step of time: the answer of a network that reads a whole sequence."""
    if rows.time is None or rows.axes[place].name != rows.time:
        raise Unsupported(f"axis {rows.axes[place].name} is not the time that a cell runs over")
    place %= len(rows.axes)
    left = (Axis(axes.ONE, 1),) if keep else ()
    return replace(rows, axes=rows.axes[:place] + left + rows.axes[place + 1 :])


def _matmul(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    rows = _rows(inputs)
    W = graph.floats(node, 1, inputs[1], ("H", "C"))
    return [graph.dense(node, rows, W.T, np.zeros(W.shape[1]), open=True)]


def _add(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    place = 1 if isinstance(inputs[0], Rows) else 0
    rows = _rows(inputs, 1 - place)
    b = graph.array(inputs[place], f"input {place}")
    if not rows.open:
        raise Unsupported("expected the bias of a MatMul just before it")
    layer = rows.layers[-1]
    if b.size not in (1, len(layer.b_y)) or b.size != (b.shape[-1] if b.ndim else 1):
        raise Unsupported(f"the bias has shape {b.shape}, expected ({len(layer.b_y)},)")
    b = graph.floats(node, place, b.reshape(-1), ("C",))
    layer = replace(layer, b_y=np.broadcast_to(b, layer.b_y.shape))
    return [replace(rows, layers=(*rows.layers[:-1], layer), open=False)]


def _gemm(graph: Graph, node: Node, inputs: Inputs) -> list[Value]:
    rows = _rows(inputs)
    if node.attributes.get("transA", 0) or len(rows.axes) != 2:
        raise Unsupported(f"expected rows of features, found axes {axes.text(rows.axes)}")
    W = graph.floats(node, 1, inputs[1], ("H", "C"))
    W = W if node.attributes.get("transB", 0) else W.T
    W = W * np.float32(node.attributes.get("alpha", 1.0))
    b = np.zeros(len(W), np.float32)
    if len(inputs) > 2 and inputs[2] is not None:
        C = graph.array(inputs[2], "input 2")
        if C.size not in (1, len(W)) or C.size != (C.shape[-1] if C.ndim else 1):
            raise Unsupported(f"C has shape {C.shape}, expected ({len(W)},)")
        b = b + graph.floats(node, 2, C.reshape(-1), ("C",))
        b = b * np.float32(node.attributes.get("beta", 1.0))
    return [graph.dense(node, rows, W, b, open=False)]


def _activation(name: str) -> Operator:
    def apply(graph: Graph, node: Node, inputs: Inputs) -> Sequence[Value]:
        rows = _rows(inputs)
        layer = rows.layers[-1] if rows.layers else None
        if not isinstance(layer, nn.Dense) or layer.activation is not None:
            raise Unsupported("expected MatMul or Gemm just before it")
        if name == "softmax":
            rank = len(rows.axes)
            axis = node.attributes.get("axis", -1 if graph.opset >= 13 else 1)
            if axis % rank != rank - 1 or rows.axes[-1].name != axes.FEATURES:
                raise Unsupported(f"attribute axis = {axis} is not the features")
        layers = (*rows.layers[:-1], replace(layer, activation=name))
        return [replace(rows, layers=layers, open=False)]

    return apply


OPERATORS: dict[str, Operator] = {
    "Add": _add,
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Dropout": _dropout,
    "Expand": _expand,
    "GRU": recurrent,
    "Gather": _gather,
    "Gemm": _gemm,
    "Identity": _identity,
    "LSTM": recurrent,
    "MatMul": _matmul,
    "RNN": recurrent,
    "Relu": _activation("relu"),
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": _activation("sigmoid"),
    "Slice": _slice,
    "Softmax": _activation("softmax"),
    "Squeeze": _squeeze,
    "Tanh": _activation("tanh"),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
