"""ONNX files -> Network: the file, its arrays and its opset; the graph is read in onnx_graph."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_rnn import nn
from beam_rnn.errors import WeightsError
from beam_rnn.weights import files
from beam_rnn.weights.arrays import network
from beam_rnn.weights.onnx_graph import Graph, Node
from beam_rnn.weights.onnx_ops import OPERATORS

_OLDEST_OPSET = 7  # where RNN, GRU and LSTM took their present form
_TYPES: dict[str, str] = {
    "FLOAT": "<f4", "FLOAT16": "<f2", "DOUBLE": "<f8", "INT8": "<i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4",
    "UINT64": "<u8", "BOOL": "?",
}  # fmt: skip


def from_onnx(
    path: files.PathLike,
    *,
    output: str | None = None,
    labels: Sequence[str] | None = None,
    vocabulary: Sequence[str] | None = None,
    lookahead: int = 0,
    card: dict[str, Any] | None = None,
) -> nn.Network:
    """Builds a network from an ONNX graph.

    Understood are chains of Gather (embedding), RNN, GRU, LSTM (forward or bidirectional), MatMul
    and Add, Gemm, Softmax, Sigmoid, Tanh, Relu, with Transpose, Squeeze, Unsqueeze, Reshape,
    Cast, Dropout and Identity where they only move the axes. A graph that keeps the last step
    alone gives the same network: its answer is y of the last step. An initial state that is a
    graph input begins at zero.

    Args:
      path: on any filesystem that Beam knows. External data is read from the same folder only.
      output: the graph output that is y; by default the first one.
      labels, vocabulary, lookahead, card: as for ``Network``.

    Raises:
      WeightsError: a broken file, or something that is not supported, by node and operator.
      ImportError: the package onnx is not installed.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise files.needs("onnx", "onnx", "from_onnx") from error
    name = os.fspath(path)
    data = files.read(name)
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise WeightsError(f"{name}: expected an ONNX model: {error}") from error
    if not model.graph.node:
        raise WeightsError(f"{name}: expected an ONNX model, found a graph without nodes")
    opset = max((s.version for s in model.opset_import if s.domain in ("", "ai.onnx")), default=0)
    if opset < _OLDEST_OPSET:
        raise WeightsError(f"{name}: opset {opset} is not supported, expected {_OLDEST_OPSET} on")
    tensors = _Tensors(name, onnx)
    graph = Graph(name, opset, len(data), OPERATORS)
    for tensor in model.graph.initializer:
        graph.constant(tensor.name, tensors.array(tensor), f"initializer {tensor.name!r}")
    for value in model.graph.sparse_initializer:
        graph.constant(value.values.name, "is sparse", f"initializer {value.values.name!r}")
    for value in model.graph.input:
        tensor_type = value.type.tensor_type
        sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in
                 tensor_type.shape.dim]  # fmt: skip
        kind = _name_of(onnx, tensor_type.elem_type)
        graph.input(value.name, kind, sizes if tensor_type.HasField("shape") else None)
    for place, node in enumerate(model.graph.node):
        graph.run(_node(tensors, node, place))
    outputs = [value.name for value in model.graph.output]
    if output is not None and output not in outputs:
        raise WeightsError(f"{name}: output {output!r} is missing, found {outputs}")
    layers = graph.layers(output or outputs[0] if outputs else "")
    return network(name, layers, labels, vocabulary, lookahead, card)


class _Tensors:
    """TensorProto -> array, with its data in the model or in a file beside it."""

    def __init__(self, path: str, onnx: Any) -> None:
        self._path = path
        self._onnx = onnx
        self._files: dict[str, bytes] = {}

    def array(self, tensor: Any) -> NDArray[Any] | str:
        """The array, or what is not supported about it."""
        type_name = _name_of(self._onnx, tensor.data_type)
        where = f"{self._path}: tensor {tensor.name!r}"
        if type_name not in _TYPES:
            return f"holds {type_name}, which is not supported, expected FLOAT, FLOAT16 or DOUBLE"
        dtype = np.dtype(_TYPES[type_name])
        shape = tuple(tensor.dims)
        if any(n < 0 for n in shape):
            raise WeightsError(f"{where} has shape {shape}")
        if tensor.data_location == self._onnx.TensorProto.EXTERNAL:
            raw = self._external(where, tensor)
        elif tensor.HasField("raw_data"):
            raw = tensor.raw_data
        else:
            try:
                return self._onnx.numpy_helper.to_array(tensor)
            except (ValueError, TypeError, OverflowError) as error:
                raise WeightsError(f"{where}: shape {shape} does not fit: {error}") from error
        needed = math.prod(shape) * dtype.itemsize
        if len(raw) != needed:
            raise WeightsError(f"{where}: shape {shape} needs {needed} bytes, found {len(raw)}")
        return np.frombuffer(raw, dtype).reshape(shape)

    def _external(self, where: str, tensor: Any) -> bytes:
        fields = {entry.key: entry.value for entry in tensor.external_data}
        location = fields.get("location", "")
        target = files.beside(self._path, location)
        if target not in self._files:
            self._files[target] = files.read(target)
        data = self._files[target]
        try:
            offset = int(fields.get("offset") or 0)
            length = int(fields.get("length") or len(data) - offset)
        except ValueError as error:
            raise WeightsError(f"{where}: external data {location!r}: {error}") from error
        if not 0 <= offset <= offset + length <= len(data):
            raise WeightsError(
                f"{where}: external data {location!r}: bytes {offset} to {offset + length} "
                f"expected, it holds {len(data)}"
            )
        return data[offset : offset + length]


def _node(tensors: _Tensors, node: Any, place: int) -> Node:
    """A NodeProto as plain values; attributes that hold graphs are left to their operator."""
    attributes: dict[str, Any] = {}
    kinds = tensors._onnx.AttributeProto
    for attribute in node.attribute:
        if attribute.type == kinds.TENSOR:
            attributes[attribute.name] = tensors.array(attribute.t)
        elif attribute.type in (kinds.FLOAT, kinds.INT, kinds.STRING):
            attributes[attribute.name] = tensors._onnx.helper.get_attribute_value(attribute)
        elif attribute.type in (kinds.FLOATS, kinds.INTS, kinds.STRINGS):
            attributes[attribute.name] = [*tensors._onnx.helper.get_attribute_value(attribute)]
        else:
            attributes[attribute.name] = None
    op = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    title = f"node {node.name!r} ({op})" if node.name else f"node {place} ({op})"
    return Node(title, op, tuple(node.input), tuple(node.output), attributes)


def _name_of(onnx: Any, data_type: int) -> str:
    try:
        return str(onnx.TensorProto.DataType.Name(data_type))
    except ValueError:
        return f"type {data_type}"
