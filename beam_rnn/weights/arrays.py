"""Arrays of a weight file -> layers and networks: checks, gate orders, merged biases."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import ModelError, WeightsError
from beam_rnn.nn import GRU, LSTM, RNN, Network
from beam_rnn.weights.files import PathLike

Floats = NDArray[np.float32]
Cell = RNN | GRU | LSTM
Layer = TypeVar("Layer")

GATES = {"RNN": "n", "GRU": "rzn", "LSTM": "ifgo"}  # the order of our row blocks


def floats(path: PathLike, name: str, value: NDArray[Any], shape: tuple[int | str, ...]) -> Floats:
    """Returns the array ``name`` of the file as float32.

    Args:
      path: the file, for the error.
      name: the array's name in the file.
      value: float16, float32 or float64 of any shape.
      shape: what is expected: a number an axis, or a letter where any length will do.

    Raises:
      WeightsError: wrong dtype or shape, or a value that is not finite.
    """
    where = f"{os.fspath(path)}: {name}"
    if value.dtype.kind != "f" or value.dtype.itemsize > 8:
        raise WeightsError(f"{where} holds {value.dtype}, expected float16, float32 or float64")
    fits = len(shape) == value.ndim and all(
        length == axis if isinstance(axis, int) else length > 0
        for length, axis in zip(value.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(str(axis) for axis in shape) + "," * (len(shape) == 1)
        raise WeightsError(f"{where} has shape {value.shape}, expected ({wanted})")
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(value, np.float32)
    if not np.isfinite(result).all():
        raise WeightsError(f"{where} holds values that are not finite in float32")
    return result


def cell(
    kind: str,
    W_x: Floats,
    W_a: Floats,
    b_x: Floats | None,
    b_a: Floats | None,
    *,
    order: str,
    activation: str = "tanh",
    reset_after: bool = True,
) -> Cell:
    """Returns a cell from row-stacked weights whose gates lie in another order.

    Args:
      kind: "RNN", "GRU" or "LSTM".
      W_x: (G*H, D) input weights.
      W_a: (G*H, H) recurrent weights.
      b_x: (G*H,) bias of the input side, or None.
      b_a: (G*H,) bias of the hidden side, or None. It is added to ``b_x``, except that of n in a
        GRU with ``reset_after``: this one acts inside the reset product.
      order: the order of the gates in these arrays, in our letters. An LSTM without "i" (or "f")
        has coupled gates: i = 1 - f (or f = 1 - i).
      activation: of the RNN.
      reset_after: of the GRU.
    """
    W_x, W_a = (reorder(W, order, GATES[kind]) for W in (W_x, W_a))
    zeros = np.zeros(len(W_a), np.float32)
    b_x, b_a = (zeros if b is None else reorder(b, order, GATES[kind]) for b in (b_x, b_a))
    if kind == "RNN":
        return RNN(W_x, W_a, b_x + b_a, activation=activation)
    if kind == "LSTM":
        return LSTM(W_x, W_a, b_x + b_a)
    if not reset_after:
        return GRU(W_x, W_a, b_x + b_a, reset_after=False)
    H = W_a.shape[1]
    inner = b_a[2 * H :].copy()
    b = b_x + b_a
    b[2 * H :] = b_x[2 * H :]
    return GRU(W_x, W_a, b, b_n=inner if inner.any() else None)


def reorder(rows: Floats, source: str, target: str) -> Floats:
    """Returns the row blocks of ``rows``, one a gate in the order ``source``, as in ``target``.

    Of a pair of coupled gates only one is stored: sigmoid(-u) = 1 - sigmoid(u) gives the other.
    """
    blocks = dict(zip(source, np.split(rows, len(source)), strict=True))
    for gate, partner in ("if", "fi"):
        if gate in target and gate not in blocks:
            blocks[gate] = -blocks[partner]
    return np.concatenate([blocks[gate] for gate in target])


def build(path: PathLike, where: str, make: Callable[..., Layer], *args: Any, **kw: Any) -> Layer:
    """Returns ``make(*args, **kw)``; what does not fit is an error of the file's ``where``."""
    try:
        return make(*args, **kw)
    except ModelError as error:
        raise WeightsError(f"{os.fspath(path)}: {where}: {error}") from error


def network(
    path: PathLike,
    layers: Sequence[Any],
    labels: Sequence[str] | None,
    vocabulary: Sequence[str] | None,
    lookahead: int,
    card: dict[str, Any] | None,
) -> Network:
    """Returns the network of these layers; what does not fit is an error of the file."""
    return build(
        path,
        "the network",
        Network,
        list(layers),
        labels=labels,
        vocabulary=vocabulary,
        lookahead=lookahead,
        card=card,
    )
