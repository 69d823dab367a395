"""ONNX RNN, GRU and LSTM nodes -> cells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from beam_rnn import nn
from beam_rnn.weights import onnx_axes as axes
from beam_rnn.weights.arrays import Cell, build, cell
from beam_rnn.weights.onnx_axes import Axis
from beam_rnn.weights.onnx_graph import Fed, Graph, Node, Rows, Unknown, Unsupported, Value, Zeros

_ORDER = {"RNN": "n", "GRU": "zrn", "LSTM": "iofg"}
_ACTIVATIONS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
_KNOWN = {"activations", "direction", "hidden_size", "layout"}
_OF_KIND = {"RNN": set(), "GRU": {"linear_before_reset"}, "LSTM": {"input_forget"}}


def recurrent(graph: Graph, node: Node, inputs: list[Value | None]) -> list[Value]:
    """Outputs Y, Y_h (of the last step) and Y_c of a recurrent node."""
    given = dict(zip(_INPUTS, inputs, strict=False))
    rows = given.get("X")
    if not isinstance(rows, Rows):
        raise Unsupported("X does not come from the input")
    directions = _directions(node)
    time, batch, layout = _time(graph, node, rows)
    feeds = rows.feeds | _check_state(node, given)
    layer = _layer(graph, node, given, directions)
    H = layer.hidden_size if directions == 1 else layer.forward.hidden_size
    made = replace(rows, layers=(*rows.layers, layer), time=time.name, feeds=feeds, open=False)
    side, features = Axis(axes.DIRECTIONS, directions), Axis(axes.FEATURES, H)
    all_steps = (batch, time, side, features) if layout else (time, side, batch, features)
    last_step = (batch, side, features) if layout else (side, batch, features)
    last: Value = replace(made, axes=last_step)
    if directions == 2:
        last = Unknown(f"{node.title}: output Y_h of two directions is not supported")
    return [replace(made, axes=all_steps), last]


def _directions(node: Node) -> int:
    for name, value in node.attributes.items():
        if name not in _KNOWN | _OF_KIND[node.op]:
            raise Unsupported(f"attribute {name} = {value!r} is not supported")
    direction = node.attributes.get("direction", b"forward")
    if direction not in (b"forward", b"bidirectional"):
        raise Unsupported(
            f"attribute direction = {direction!r} is not supported, expected forward or "
            "bidirectional"
        )
    return 1 if direction == b"forward" else 2


def _time(graph: Graph, node: Node, rows: Rows) -> tuple[Axis, Axis, int]:
    """The axis that the cell runs over, the other one, and the layout."""
    graph.check_features(rows)
    layout = node.attributes.get("layout", 0)
    if layout not in (0, 1):
        raise Unsupported(f"attribute layout = {layout!r} is not supported, expected 0 or 1")
    if len(rows.axes) != 3:
        raise Unsupported(f"X has axes {axes.text(rows.axes)}, expected three")
    time, batch = rows.axes[layout], rows.axes[1 - layout]
    wrong = rows.time is not None and time.name != rows.time
    if wrong or (axes.DIRECTIONS, 2) in (time, batch):
        raise Unsupported(
            f"it runs over the axis {time.name} of {axes.text(rows.axes)}, the cell before over "
            f"{rows.time}"
        )
    return time, batch, layout


def _check_state(node: Node, given: dict[str, Value | None]) -> frozenset[str]:
    """Refuses inputs that would change the result; returns the graph inputs that are states."""
    if given.get("sequence_lens") is not None:
        raise Unsupported("input sequence_lens is not supported")
    peepholes = given.get("P")
    if peepholes is not None and not _zero(peepholes):
        raise Unsupported("input P (peepholes) is not supported")
    feeds = set()
    for name in ("initial_h", "initial_c"):
        state = given.get(name)
        if isinstance(state, Fed) or (isinstance(state, Rows) and not state.layers):
            feeds.add(state.source)
        elif state is not None and not _zero(state):
            raise Unsupported(f"input {name} is not zero: a stream begins with zeros")
    return frozenset(feeds)


def _zero(value: Value) -> bool:
    return isinstance(value, Zeros) or (isinstance(value, np.ndarray) and not value.any())


def _layer(graph: Graph, node: Node, given: dict[str, Value | None], directions: int) -> Any:
    order = _ORDER[node.op]
    R = graph.array(given.get("R"), "input R")
    H = int(node.attributes.get("hidden_size") or (R.shape[-1] if R.ndim else 0))
    GH = len(order) * H
    W = graph.floats(node, 1, given.get("W"), (directions, GH, "D"))
    R = graph.floats(node, 2, R, (directions, GH, H))
    B = np.zeros((directions, 2 * GH), np.float32)
    if given.get("B") is not None:
        B = graph.floats(node, 3, given["B"], (directions, 2 * GH))
    activations = _activations(node, directions)
    cells = [_cell(graph, node, W[i], R[i], B[i], activations[i]) for i in range(directions)]
    return cells[0] if directions == 1 else build(graph.path, node.title, nn.Bidirectional, *cells)


def _activations(node: Node, directions: int) -> list[str]:
    """The activation of each direction's n (of an RNN; the others allow no choice)."""
    usual = _ACTIVATIONS[node.op]
    names = [
        name.decode(errors="replace").lower()
        for name in node.attributes.get("activations") or [n.encode() for n in usual * directions]
    ]
    size = len(usual)
    chunks = [tuple(names[i : i + size]) for i in range(0, len(names), size)]
    allowed = [tuple(name.lower() for name in usual)]
    if node.op == "RNN":
        allowed.append(("relu",))
    if len(chunks) != directions or any(chunk not in allowed for chunk in chunks):
        raise Unsupported(
            f"attribute activations = {names} is not supported, expected {[*usual]} for each "
            "direction" + (" (or Relu)" if node.op == "RNN" else "")
        )
    return [chunk[-1] for chunk in chunks]


def _cell(graph: Graph, node: Node, W: Any, R: Any, B: Any, activation: str) -> Cell:
    order = _ORDER[node.op]
    parts = [W, R, *np.split(B, 2)]
    if node.attributes.get("input_forget", 0):
        # f = 1 - i: the rows of f are not used.
        parts = [np.delete(part, slice(2 * R.shape[1], 3 * R.shape[1]), axis=0) for part in parts]
        order = order.replace("f", "")
    reset_after = bool(node.attributes.get("linear_before_reset", 0))
    return build(
        graph.path, node.title, cell, node.op, *parts,
        order=order, activation=activation, reset_after=reset_after,
    )  # fmt: skip
