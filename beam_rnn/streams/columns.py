"""Named columns <-> bytes: what packs and state blocks are made of."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import StateError

Column = NDArray[Any] | Sequence[bytes]
Kinds = Mapping[str, tuple[str, int] | None]  # name -> type and number of axes, or any
STRINGS = ("s_", 1)  # the kind of a list of byte strings

_HEAD = struct.Struct("<H")  # number of columns
_COLUMN = struct.Struct("<B2sBQ")  # length of the name, type, axes, first axis
_AXIS = struct.Struct("<Q")
_TYPES = (b"f4", b"i8", b"i4", b"u4", b"u1", b"b1")
_STRINGS = STRINGS[0].encode()  # written as their lengths, then their bytes


def encode(columns: Mapping[str, Column]) -> bytes:
    """Writes columns one behind the other, little-endian, each preceded by its name and shape."""
    parts: list[bytes | memoryview] = [_HEAD.pack(len(columns))]
    for name, column in columns.items():
        label = name.encode()
        if isinstance(column, np.ndarray):
            kind = column.dtype.str[1:].encode()
            if kind not in _TYPES:
                raise TypeError(f"a column of {column.dtype} cannot be written")
            parts.append(_COLUMN.pack(len(label), kind, column.ndim, len(column)) + label)
            parts.extend(_AXIS.pack(axis) for axis in column.shape[1:])
            parts.append(np.ascontiguousarray(column).reshape(-1).view(np.uint8).data)
        else:
            parts.append(_COLUMN.pack(len(label), _STRINGS, 1, len(column)) + label)
            parts.append(np.fromiter(map(len, column), np.uint32, len(column)).tobytes())
            parts.extend(column)
    return b"".join(parts)


def decode(data: bytes, start: int = 0, kinds: Kinds | None = None) -> dict[str, Any]:
    """Reads what ``encode`` wrote: read-only views of ``data``, and lists of byte strings.

    Args:
      data: the bytes.
      start: where the columns begin.
      kinds: the columns that there may be, if only these.

    Raises:
      StateError: the bytes are truncated, are no columns or hold others; nothing is allocated for
        a size that the bytes do not have.
    """
    reader = _Reader(data, start)
    columns: dict[str, Any] = {}
    for _ in range(reader.unpack(_HEAD)[0]):
        length, kind, axes, first = reader.unpack(_COLUMN)
        name = reader.take(length).decode("utf-8", "replace")
        reader.name = name
        if name in columns:
            raise StateError(f"column {name!r} is there twice")
        found = kind.decode("latin-1"), axes
        if kinds is not None and (name not in kinds or kinds[name] not in (None, found)):
            raise StateError(f"a column {name!r} of type {kind!r} and {axes} axes: not expected")
        if kind == _STRINGS and axes == 1:
            columns[name] = reader.strings(first)
        elif kind in _TYPES and 1 <= axes <= 4:
            shape = (first, *(reader.unpack(_AXIS)[0] for _ in range(axes - 1)))
            columns[name] = reader.array(np.dtype("<" + kind.decode()), shape)
        else:
            raise StateError(f"column {name!r} has the unknown type {kind!r}")
    if reader.at != len(data):
        raise StateError(f"{len(data) - reader.at} bytes follow the last column")
    return columns


class _Reader:
    """A place in bytes that refuses to go past their end."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        self.name = ""

    def take(self, size: int) -> bytes:
        self._need(size)
        self.at += size
        return self.data[self.at - size : self.at]

    def unpack(self, form: struct.Struct) -> tuple[Any, ...]:
        return form.unpack(self.take(form.size))

    def array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        count = 1
        for axis in shape:
            count *= axis
        self._need(count * dtype.itemsize)
        try:
            array = np.frombuffer(self.data, dtype, count, self.at).reshape(shape)
        except ValueError as error:  # an axis beyond what NumPy counts, beside one of 0
            raise StateError(f"column {self.name!r} of shape {shape}: {error}") from None
        self.at += array.nbytes
        return array

    def strings(self, count: int) -> list[bytes]:
        lengths = self.array(np.dtype("<u4"), (count,)).tolist()
        self._need(sum(lengths))
        strings = []
        at = self.at
        for length in lengths:
            strings.append(self.data[at : at + length])
            at += length
        self.at = at
        return strings

    def _need(self, size: int) -> None:
        if size > len(self.data) - self.at:
            raise StateError(
                f"truncated: {size} bytes expected at {self.at}"
                + (f" (column {self.name!r})" if self.name else "")
                + f", {len(self.data) - self.at} there"
            )
