"""Silhouettes of people -> vectors: a small grid of the shape, and how it changes."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beam_rnn.errors import InputError, StateError

__all__ = ["Silhouette"]

_ROWS, _COLUMNS = 12, 12


class Silhouette:
    """A Feature: the mask of a person in one frame -> [(None, vector)].

    A value is (rows, columns), 0 where there is no person. The vector is float32, (290,): how much
    of each cell of a 12 x 12 grid is covered, which is as high as the shape and as wide, around
    the shape's middle; how that differs from the last value's grid (0 at the first); the width of
    the shape in its heights, and the same of its middle, from the left.
    """

    width = 2 * _ROWS * _COLUMNS + 2

    def feed(self, value: ArrayLike, memory: bytes = b"") -> tuple[list[tuple[None, Any]], bytes]:
        """The vector of a mask; the new memory is its grid.

        Raises InputError if value is no mask, or nobody is in it.
        """
        grid, shape = _grid(value)
        if memory and len(memory) != 4 * grid.size:
            raise StateError("the memory of Silhouette is broken")
        before = np.frombuffer(memory, "<f4") if memory else grid
        return [(None, np.concatenate([grid, grid - before, shape]))], grid.astype("<f4").tobytes()

    def finish(self, memory: bytes) -> list[tuple[None, Any]]:
        """Nothing: no mask waits."""
        return []

    def rows(self, masks: "list[NDArray[Any]]") -> NDArray[np.float32]:
        """The vectors (T, 290) of the masks of one stream."""
        rows, memory = [], b""
        for mask in masks:
            pairs, memory = self.feed(mask, memory)
            rows += [x for _, x in pairs]
        return np.stack(rows) if rows else np.zeros((0, self.width), np.float32)


def _grid(value: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The grid (144,) of a mask, and its width and middle in heights (2,)."""
    mask = np.asarray(value)
    if mask.ndim != 2 or mask.dtype.kind not in "bui":
        raise InputError(
            f"a mask has shape {mask.shape} and type {mask.dtype}, expected (rows, columns)"
        )
    mask = mask != 0
    y, x = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not y.size:
        raise InputError("a mask is empty: no person was seen")
    top, bottom, left, right = int(y[0]), int(y[-1]) + 1, int(x[0]), int(x[-1]) + 1
    part = mask[top:bottom, left:right].astype(np.float64)
    height, width = part.shape
    middle = (part.sum(axis=0) @ (np.arange(width) + 0.5)) / part.sum()
    rows = np.linspace(0, height, _ROWS + 1)
    columns = middle + height * (np.arange(_COLUMNS + 1) / _COLUMNS - 0.5)
    grid = _between(_between(part, rows).T, columns).T * (_ROWS * _COLUMNS / height**2)
    shape = np.array([width / height, middle / height], np.float32)
    return grid.astype(np.float32).reshape(-1), shape


def _between(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums of rows of `values` between edges, which may cut rows; 0 outside."""
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    at = edges.clip(0, len(values))
    first = np.minimum(at.astype(int), len(values) - 1)
    share = (at - first)[:, None]
    sums = total[first] * (1 - share) + total[first + 1] * share
    return sums[1:] - sums[:-1]
