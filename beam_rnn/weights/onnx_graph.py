"""The nodes of an ONNX graph, followed one by one -> the layers of a chain.

A value of the graph is an array (``NDArray``), all zeros of any shape (``Zeros``), what came
through layers (``Rows``), a computed shape (``Dims``), an input that was only moved about
(``Fed``), or not understood (``Unknown``, which says why; an error only if the answer depends on
it). The axes of ``Rows`` are followed by name, so that a graph whose time axis is not where the
cells run is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from beam_rnn import nn
from beam_rnn.errors import WeightsError
from beam_rnn.weights import onnx_axes as axes
from beam_rnn.weights.arrays import build, floats
from beam_rnn.weights.onnx_axes import Axis
from beam_rnn.weights.onnx_shapes import Dims

RECURRENT = (nn.RNN, nn.GRU, nn.LSTM, nn.Bidirectional)


class Node(NamedTuple):
    """One node: ``title`` names it in errors; ``inputs`` that are left out are ""."""

    title: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """The input ``source`` after ``layers``.

    Attributes:
      source: the graph input.
      ids: whether this input is integers.
      axes: the axes of the value.
      layers: from the input to here.
      time: the name of the axis that the cells run over, once there was a cell.
      feeds: graph inputs that were taken as initial states.
      open: whether the last layer is a Dense that may still get its bias.
    """

    source: str
    ids: bool
    axes: tuple[Axis, ...]
    layers: tuple[Any, ...] = ()
    time: str | None = None
    feeds: frozenset[str] = frozenset()
    open: bool = False


class Zeros(NamedTuple):
    """Zeros of a shape that does not matter here."""


class Fed(NamedTuple):
    """A graph input, or a part of it, in another shape."""

    source: str


class Unknown(NamedTuple):
    """Why the value is not understood."""

    reason: str


Value = NDArray[Any] | Rows | Dims | Zeros | Fed | Unknown

_MOVES = {"Identity", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Cast", "Expand",
          "Tile", "Concat", "Gather", "Split"}  # fmt: skip


Operator = Callable[["Graph", "Node", "list[Value | None]"], "Sequence[Value]"]


class Unsupported(Exception):
    """Raised while a node is read; its text becomes the reason of an ``Unknown``."""


@dataclass
class Graph:
    """Values of the graph so far, by name."""

    path: str
    opset: int
    file_size: int
    operators: Mapping[str, Operator]
    values: dict[str, Value] = field(default_factory=dict)
    _made: int = 0

    def constant(self, name: str, value: NDArray[Any] | str, title: str) -> None:
        """Sets an initializer, or what is not supported about it."""
        self.values[name] = Unknown(f"{title} {value}") if isinstance(value, str) else value

    def input(self, name: str, kind: str, sizes: Sequence[int | None] | None) -> None:
        """Sets a graph input; old files list initializers among them."""
        if name in self.values:
            return
        if sizes is None:
            self.values[name] = Unknown(f"input {name!r} has no shape")
        elif kind in ("FLOAT", "FLOAT16", "DOUBLE", "INT32", "INT64"):
            named = tuple(Axis(f"{name}.{place}", size) for place, size in enumerate(sizes))
            self.values[name] = Rows(name, kind.startswith("INT"), named)
        else:
            self.values[name] = Unknown(f"input {name!r} holds {kind}, which is not supported")

    def run(self, node: Node) -> None:
        """Sets the outputs of a node."""
        inputs = [self.values.get(name) if name else None for name in node.inputs]
        for name, value in zip(node.inputs, inputs, strict=True):
            if name and value is None:
                raise WeightsError(f"{self.path}: {node.title}: input {name!r} comes from nowhere")
        outputs: Sequence[Value]
        try:
            outputs = self._outputs(node, inputs)
        except Unsupported as error:
            outputs = [Unknown(f"{node.title}: {error}")] * len(node.outputs)
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            if isinstance(error, WeightsError):
                raise
            raise WeightsError(f"{self.path}: {node.title}: is broken: {error}") from error
        if len(outputs) < len(node.outputs):
            extra = Unknown(f"{node.title}: output {len(outputs)} is not supported")
            outputs = [*outputs, *[extra] * (len(node.outputs) - len(outputs))]
        for name, value in zip(node.outputs, outputs, strict=False):
            if name:
                self.values[name] = value

    def _outputs(self, node: Node, inputs: list[Value | None]) -> Sequence[Value]:
        if node.op in _MOVES:
            kinds = {type(value) for value in inputs[: None if node.op == "Concat" else 1]}
            if kinds == {Zeros}:
                return [Zeros()] * len(node.outputs)
            if kinds == {Fed}:
                sources = {value.source for value in inputs if isinstance(value, Fed)}
                if len(sources) == 1:
                    return [Fed(sources.pop())] * len(node.outputs)
        # The shape of zeros does not matter, so neither does how it was computed.
        needed = {"ConstantOfShape": 0, "Expand": 1}.get(node.op)
        for value in inputs[:needed]:
            if isinstance(value, Unknown):
                return [value] * len(node.outputs)
        try:
            if node.op not in self.operators:
                raise Unsupported("the operator is not supported")
            return self.operators[node.op](self, node, inputs)
        except Unsupported:
            first = inputs[0] if inputs else None
            moves = node.op in _MOVES - {"Cast", "Concat"}
            if moves and isinstance(first, Rows) and not first.layers:
                return [Fed(first.source)] * len(node.outputs)
            raise

    def layers(self, output: str) -> tuple[Any, ...]:
        """The layers from an input to this output.

        Raises:
          WeightsError: the output is not understood, with the node that is the cause.
        """
        value = self.values.get(output)
        where = f"{self.path}: output {output!r}"
        if isinstance(value, Unknown):
            raise WeightsError(f"{self.path}: {value.reason}")
        if not isinstance(value, Rows):
            raise WeightsError(f"{where}: expected a value that comes from the input")
        if not any(isinstance(layer, RECURRENT) for layer in value.layers):
            raise WeightsError(f"{where}: expected an RNN, GRU or LSTM before it, found none")
        if value.axes[-1].name not in (axes.FEATURES, axes.DIRECTIONS):
            raise WeightsError(f"{where}: expected the features as its last axis")
        if value.source in value.feeds:
            raise WeightsError(f"{where}: input {value.source!r} is both x and an initial state")
        return value.layers

    # What operators ask for.

    def reserve(self, node: Node, size: int) -> None:
        """Counts bytes of a new constant: Concat upon Concat could double them forever."""
        self._made += size
        if self._made > 8 * self.file_size + (1 << 20):
            raise WeightsError(f"{self.path}: {node.title}: constants outgrow the file")

    def array(self, value: Value | None, what: str) -> NDArray[Any]:
        if not isinstance(value, np.ndarray):
            raise Unsupported(f"{what} is not constant")
        return value

    def floats(self, node: Node, place: int, value: Value | None, shape: Any) -> NDArray[Any]:
        """A constant input as float32 of the given shape."""
        array = self.array(value, f"input {place}")
        return floats(self.path, f"{node.title}: {node.inputs[place]!r}", array, shape)

    def ints(self, node: Node, inputs: list[Value | None], place: int, name: str) -> Any:
        """Integers that are an attribute in old opsets, an input in new ones; None if absent."""
        if name in node.attributes:
            return node.attributes[name]
        if len(inputs) <= place or inputs[place] is None:
            return None
        array = self.array(inputs[place], name)
        if array.dtype.kind not in "iu" or array.ndim > 1 or array.size > 16:
            raise Unsupported(f"{name} holds {array.dtype} {array.shape}, expected integers")
        return [int(n) for n in array.reshape(-1)]

    def dense(self, node: Node, rows: Rows, W: Any, b: Any, *, open: bool) -> Rows:
        """``rows`` through a Dense of weights W (C, H) and bias b (C,)."""
        self.check_features(rows)
        layer = build(self.path, node.title, nn.Dense, W, b)
        features = (*rows.axes[:-1], Axis(axes.FEATURES, len(W)))
        return replace(rows, layers=(*rows.layers, layer), axes=features, open=open)

    def check_features(self, rows: Rows) -> None:
        """The last axis must be what the layers before gave, or else that of a float input."""
        names = [axis.name for axis in rows.axes]
        if rows.ids and not rows.layers:
            raise Unsupported("its input is integers that went through no embedding")
        if not names or names[-1] in (rows.time, axes.DIRECTIONS, axes.ONE):
            raise Unsupported(f"its last axis is not the features: {axes.text(rows.axes)}")
        if axes.FEATURES in names[:-1] or (rows.layers and names[-1] != axes.FEATURES):
            raise Unsupported(f"its last axis is not the features: {axes.text(rows.axes)}")
