"""Shapes that an ONNX graph computes for itself, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from beam_rnn.weights.onnx_axes import Axis


class Dims(NamedTuple):
    """Integers of which each is a number or the length of an axis.

    Attributes:
      sizes: the elements.
      scalar: whether there is one, without an axis of its own.
    """

    sizes: tuple[int | Axis, ...]
    scalar: bool = False


def gather(dims: Dims, index: Any, axis: int) -> Dims | None:
    """The elements at ``index``, or None where this is no shape that we can follow."""
    size = len(dims.sizes)
    if dims.scalar or axis != 0 or index.ndim > 1 or index.dtype.kind not in "iu":
        return None
    places = [int(place) for place in index.reshape(-1)]
    if any(not -size <= place < size for place in places):
        return None
    return Dims(tuple(dims.sizes[place] for place in places), scalar=index.ndim == 0)


def cut(
    dims: Dims, starts: Sequence[int], ends: Sequence[int], places: Sequence[int]
) -> Dims | None:
    """The elements from start to end."""
    if dims.scalar or len(starts) != 1 or [*places] not in ([0], [-1]):
        return None
    return Dims(dims.sizes[starts[0] : ends[0]])


def concat(parts: Sequence[Any]) -> Dims | None:
    """One after the other; parts are ``Dims`` or arrays of integers."""
    sizes: list[int | Axis] = []
    for part in parts:
        if isinstance(part, Dims) and not part.scalar:
            sizes += part.sizes
        elif isinstance(part, np.ndarray) and part.ndim == 1 and part.dtype.kind in "iu":
            sizes += [int(n) for n in part]
        else:
            return None
        if len(sizes) > 16:
            return None
    return Dims(tuple(sizes))
