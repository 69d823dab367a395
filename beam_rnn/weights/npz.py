""".npz archives of arrays -> Network, by a description of what each array is."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np

from beam_rnn import nn
from beam_rnn.errors import WeightsError
from beam_rnn.weights import files
from beam_rnn.weights.arrays import GATES, Cell, Floats, build, cell, floats, network

_CELL_KEYS = {
    "layer", "W_x", "W_a", "W_xa", "b", "b_a", "gates", "transposed", "activation", "reset_after",
    "forget_bias", "z_keeps",
}  # fmt: skip
_KEYS = {
    "Embedding": {"layer", "E"},
    "Dense": {"layer", "W_y", "b_y", "transposed", "activation"},
    "RNN": _CELL_KEYS - {"gates", "reset_after", "forget_bias", "z_keeps"},
    "GRU": _CELL_KEYS - {"activation", "forget_bias"},
    "LSTM": _CELL_KEYS - {"activation", "reset_after", "z_keeps"},
    "Bidirectional": {"layer", "forward", "backward"},
}


def from_npz(
    path: files.PathLike,
    layers: Sequence[Mapping[str, Any]],
    *,
    labels: Sequence[str] | None = None,
    vocabulary: Sequence[str] | None = None,
    lookahead: int = 0,
    card: dict[str, Any] | None = None,
) -> nn.Network:
    """Builds a network from the arrays of an .npz file. Nothing is ever unpickled.

    Each layer is a dict of array names, for instance::

        [{"layer": "Embedding", "E": "enc_emb"},
         {"layer": "GRU", "W_x": "enc_w_ih", "W_a": "enc_w_hh", "b": "enc_b_ih",
          "b_a": "enc_b_hh"},
         {"layer": "Dense", "W_y": "fc_w", "b_y": "fc_b", "activation": "softmax"}]

    Args:
      path: the archive, on any filesystem that Beam knows.
      layers: "RNN", "GRU", "LSTM", "Embedding", "Dense", or "Bidirectional" with the cells
        "forward" and "backward". Keys of a cell:

        * ``W_x`` (G*H, D), ``W_a`` (G*H, H), or ``W_xa`` (G*H, D + H) for both side by side;
          (D, G*H) and so on with ``transposed=True``. ``b`` and ``b_a``: the biases of the input
          side and of the hidden side (G*H,), either may be missing. In place of a name a list
          gives one array for each gate, None for a bias that is zero.
        * ``gates``: their order, by default "rzn" and "ifgo". "fgo" is an LSTM with i = 1 - f,
          "igo" one with f = 1 - i.
        * ``reset_after`` (GRU, True), ``activation`` (RNN, "tanh"), ``forget_bias`` (LSTM, 0:
          what its code adds to the forget gate at run time), ``z_keeps`` (GRU, True; False where
          h' = (1 - z) h + z n, as in Haiku).
      labels, vocabulary, lookahead, card: as for ``Network``.

    Raises:
      WeightsError: the archive is broken, holds pickled objects, or does not fit ``layers``.
    """
    name = os.fspath(path)
    source = _Arrays(name, files.read(name))
    built = [_layer(source, entry, f"layers[{i}]") for i, entry in enumerate(layers)]
    return network(name, built, labels, vocabulary, lookahead, card)


class _Arrays:
    """The arrays of an .npz file, each read when it is asked for."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self._archive = files.Archive(path, data, "an .npz archive")

    def read(self, name: str, shape: tuple[int | str, ...]) -> Floats:
        if f"{name}.npy" not in self._archive.names():
            known = [key.removesuffix(".npy") for key in self._archive.names()]
            raise WeightsError(f"{self.path}: array {name!r} is missing, found {known!s:.500}")
        where = f"{self.path}: array {name!r}"
        data = self._archive.read(f"{name}.npy")
        stream = BytesIO(data)
        try:
            version = np.lib.format.read_magic(stream)
            if version == (1, 0):
                dims, _, dtype = np.lib.format.read_array_header_1_0(stream)
            elif version == (2, 0):
                dims, _, dtype = np.lib.format.read_array_header_2_0(stream)
            else:
                raise WeightsError(f"{where}: .npy version {version}, expected (1, 0) or (2, 0)")
            if dtype.hasobject:
                raise WeightsError(f"{where} holds pickled objects: refused")
            needed, found = math.prod(dims) * dtype.itemsize, len(data) - stream.tell()
            if needed != found:
                raise WeightsError(f"{where}: shape {dims} needs {needed} bytes, found {found}")
            stream.seek(0)
            value = np.lib.format.read_array(stream, allow_pickle=False)
        except WeightsError:
            raise
        except Exception as error:  # a header is parsed as Python: errors of many kinds
            raise WeightsError(f"{where}: not a sound .npy array: {error}") from error
        return floats(self.path, f"array {name!r}", value, shape)


def _layer(source: _Arrays, entry: Mapping[str, Any], where: str) -> Any:
    kind = entry.get("layer")
    if kind not in _KEYS:
        raise WeightsError(f"{source.path}: {where}: layer is {kind!r}, expected one of {[*_KEYS]}")
    for key in entry:
        if key not in _KEYS[kind]:
            raise WeightsError(f"{source.path}: {where}: {kind} has no {key!r}")
    if kind == "Embedding":
        return build(source.path, where, nn.Embedding, _array(source, entry, "E", where))
    if kind == "Dense":
        W = _array(source, entry, "W_y", where)
        W = W.T if entry.get("transposed") else W
        b = source.read(entry["b_y"], (len(W),)) if entry.get("b_y") else np.zeros(len(W))
        return build(source.path, where, nn.Dense, W, b, entry.get("activation"))
    if kind == "Bidirectional":
        cells = [_layer(source, entry.get(key, {}), f"{where}.{key}") for key in _BOTH]
        if not all(isinstance(inner, nn.RNN | nn.GRU | nn.LSTM) for inner in cells):
            raise WeightsError(f"{source.path}: {where}: expected two cells")
        return build(source.path, where, nn.Bidirectional, *cells)
    return _cell(source, entry, where)


_BOTH = ("forward", "backward")


def _cell(source: _Arrays, entry: Mapping[str, Any], where: str) -> Cell:
    kind = entry["layer"]
    order = entry.get("gates", GATES[kind])
    orders = [GATES[kind], "fgo", "igo"] if kind == "LSTM" else [GATES[kind]]
    if not isinstance(order, str) or sorted(order) not in [sorted(gates) for gates in orders]:
        raise WeightsError(
            f"{source.path}: {where}: gates are {order!r}, expected the letters of {GATES[kind]!r}"
        )
    if "W_xa" in entry:
        W = _stacked(source, entry, "W_xa", where, order)
        H = len(W) // len(order)
        if W.shape[1] <= H or len(W) % len(order):
            raise WeightsError(
                f"{source.path}: {where}: W_xa gives rows {W.shape}, expected "
                f"({len(order)}*H, D + H)"
            )
        W_x, W_a = W[:, :-H], W[:, -H:]
    else:
        W_x = _stacked(source, entry, "W_x", where, order)
        W_a = _stacked(source, entry, "W_a", where, order)
    rows, H = W_a.shape
    if rows != len(order) * H or len(W_x) != rows:
        raise WeightsError(
            f"{source.path}: {where}: W_x gives rows {W_x.shape}, W_a {W_a.shape}, expected "
            f"({len(order)}*H, D) and ({len(order)}*H, H); see transposed"
        )
    b_x = _bias(source, entry, "b", where, order, H)
    b_a = _bias(source, entry, "b_a", where, order, H)
    if entry.get("forget_bias"):
        if "f" not in order:
            raise WeightsError(f"{source.path}: {where}: forget_bias needs the gate 'f'")
        start = order.index("f") * H
        b_x[start : start + H] += np.float32(entry["forget_bias"])
    if not entry.get("z_keeps", True):
        start = order.index("z") * H
        W_x, W_a = W_x.copy(), W_a.copy()
        for part in (W_x, W_a, b_x, b_a):
            part[start : start + H] *= -1  # 1 - sigmoid(u) = sigmoid(-u)
    return build(
        source.path, where, cell, kind, W_x, W_a, b_x, b_a,
        order=order,
        activation=entry.get("activation", "tanh"),
        reset_after=bool(entry.get("reset_after", True)),
    )  # fmt: skip


def _stacked(source: _Arrays, entry: Mapping[str, Any], key: str, where: str, order: str) -> Floats:
    """The matrix of all gates, rows stacked, from one array or one for each gate."""
    names = entry.get(key)
    if isinstance(names, str):
        W = _array(source, entry, key, where)
        return W.T if entry.get("transposed") else W
    if not isinstance(names, Sequence) or len(names) != len(order):
        raise WeightsError(
            f"{source.path}: {where}: {key} is {names!r}, expected a name or {len(order)} names"
        )
    parts = [source.read(name, ("H", "D")) for name in names]
    parts = [W.T if entry.get("transposed") else W for W in parts]
    if len({part.shape for part in parts}) != 1:
        raise WeightsError(f"{source.path}: {where}: {key}: the gates differ in shape")
    return np.concatenate(parts)


def _bias(
    source: _Arrays, entry: Mapping[str, Any], key: str, where: str, order: str, H: int
) -> Floats:
    names = entry.get(key)
    if names is None:
        return np.zeros(len(order) * H, np.float32)
    if isinstance(names, str):
        return source.read(names, (len(order) * H,)).copy()
    if not isinstance(names, Sequence) or len(names) != len(order):
        raise WeightsError(
            f"{source.path}: {where}: {key} is {names!r}, expected a name or {len(order)} names"
        )
    zero = np.zeros(H, np.float32)
    return np.concatenate([zero if name is None else source.read(name, (H,)) for name in names])


def _array(source: _Arrays, entry: Mapping[str, Any], key: str, where: str) -> Floats:
    name = entry.get(key)
    if not isinstance(name, str):
        raise WeightsError(f"{source.path}: {where}: {key} is {name!r}, expected an array's name")
    return source.read(name, ("N", "M"))
