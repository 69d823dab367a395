"""What a network takes: the shape, type and range of x⟨t⟩."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beam_rnn.errors import InputError

_WHOLE = int | np.integer


def rectangular(name: str, value: ArrayLike) -> NDArray[Any]:
    """Returns ``value`` as an array, or raises InputError by ``name``: lists may be ragged."""
    try:
        return np.asarray(value)
    except ValueError as error:
        raise InputError(f"{name} is not an array: {error}") from None


@dataclass(frozen=True)
class Inputs:
    """The inputs of a network, without its weights.

    Attributes:
      shape: of one input: () for an id, (K,) for a row, (D,) for a vector.
      limits: for ids, the number of ids in each column (one for shape ()); 0: any integer.
        None for float32 vectors.
    """

    shape: tuple[int, ...]
    limits: tuple[int, ...] | None

    @property
    def dtype(self) -> type[np.int64] | type[np.float32]:
        return np.float32 if self.limits is None else np.int64

    def check(self, x: ArrayLike) -> NDArray[Any]:
        """Returns ``x`` (n, ...) as int64 or float32, C-contiguous.

        Raises:
          InputError: x has the wrong shape, type or values.
        """
        rows = rectangular("x", x)
        if rows.ndim == 0 or rows.shape[1:] != self.shape:
            inner = "".join(f", {axis}" for axis in self.shape)
            raise InputError(f"x has shape {rows.shape}, expected (n{inner})")
        if self.limits is not None:
            return self._ids(rows, self.limits)
        if rows.dtype.kind not in "fiu":
            raise InputError(f"x has type {rows.dtype}, expected numbers")
        if rows.dtype != np.float32:
            with np.errstate(over="ignore"):
                rows = rows.astype(np.float32)
        rows = np.ascontiguousarray(rows)
        if not np.isfinite(rows).all():
            raise InputError("x has NaN or infinite values")
        return rows

    def check_one(self, x: ArrayLike) -> NDArray[Any]:
        """Like ``check`` for one input; returns (1, ...)."""
        if isinstance(x, list | tuple) and len(self.shape) == 1:
            return self.check(self._listed([x]))
        row = rectangular("x", x)
        if row.shape != self.shape:
            raise InputError(f"x has shape {row.shape}, expected {self.shape}")
        return self.check(row[None])

    def stack(self, xs: Sequence[Any]) -> NDArray[Any]:
        """``check_one`` of many inputs of one kind at once, with the same result for each.

        NumPy would make one type for all: of an id and a text two texts, each as long as the
        longest.

        Raises:
          InputError: one of them is wrong, or they are of different kinds.
        """
        kinds = set(map(type, xs))
        if kinds == {np.ndarray} and len({(x.dtype, x.shape) for x in xs}) == 1:
            flat = np.concatenate(xs) if xs[0].ndim else np.array(xs)  # np.stack is slower
            return self.check(flat.reshape(len(xs), *xs[0].shape))
        if len(self.shape) == 1 and kinds <= {list, tuple}:
            return self.check(self._listed(xs))
        if kinds and kinds <= {list, tuple}:
            return np.concatenate([self.check_one(x) for x in xs])
        if not self.shape and all(issubclass(kind, _WHOLE) for kind in kinds) and bool not in kinds:
            return self.check(np.array(xs, None if xs else np.int64))
        raise InputError("inputs of different kinds")

    def _listed(self, xs: Sequence[Any]) -> NDArray[Any]:
        """Lists or tuples of K numbers as rows (n, K)."""
        (K,) = self.shape
        rows = array("d" if self.limits is None else "q")
        for x in xs:
            if len(x) != K:
                raise InputError(f"x has shape ({len(x)},), expected {self.shape}")
            try:
                rows.extend(x)
            except (TypeError, ValueError, OverflowError) as error:
                raise InputError(f"x is not of numbers: {error}") from None
        return np.frombuffer(rows, np.float64 if self.limits is None else np.int64).reshape(-1, K)

    def _ids(self, rows: NDArray[Any], limits: tuple[int, ...]) -> NDArray[Any]:
        if rows.dtype.kind not in "iu":
            raise InputError(f"x has type {rows.dtype}, expected integer ids")
        rows = np.ascontiguousarray(rows, np.int64)
        columns = rows.reshape(len(rows), len(limits))
        bound = np.array(limits)
        wrong = ((columns < 0) | (columns >= bound)) & (bound > 0)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            where = f" in column {column}" if len(limits) > 1 else ""
            raise InputError(
                f"x has the id {columns[row, column]}{where}, expected 0..{limits[column] - 1}"
            )
        return rows
