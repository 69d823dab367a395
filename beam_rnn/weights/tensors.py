"""Safetensors bytes <-> named arrays and metadata, every size checked before it is used."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import WeightsError

Arrays = dict[str, NDArray[Any]]

_LARGEST_HEADER = 100_000_000  # the format's own limit
_ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
    "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip


def encode(
    arrays: Mapping[str, NDArray[np.float32]], metadata: Mapping[str, str], *, half: bool = False
) -> bytes:
    """Returns a safetensors file, of float16 numbers if ``half``; equal arguments, equal bytes.

    The library's own writer puts metadata in a random order, which would make two files of one
    model differ.
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    body = bytearray()
    kind, dtype = ("<f2", "F16") if half else ("<f4", "F32")
    for name in sorted(arrays):
        start = len(body)
        with np.errstate(over="ignore"):
            stored = arrays[name].astype(kind, copy=False)
        if half and not np.isfinite(stored).all():
            raise WeightsError(f"tensor {name!r} has values that are too large for float16")
        body += stored.tobytes()
        shape = list(arrays[name].shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, len(body)]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _LARGEST_HEADER:
        raise WeightsError(f"labels, vocabulary and card take {len(text)} bytes: too many")
    return len(text).to_bytes(8, "little") + text + bytes(body)


def decode(path: str, data: bytes) -> tuple[Arrays, dict[str, str]]:
    """Returns the arrays and the metadata of a safetensors file.

    Raises:
      WeightsError: the file is truncated, broken or another format, or has a tensor of a type
        that NumPy does not know (bfloat16, float8).
    """
    import safetensors
    import safetensors.numpy

    header = _header(path, data)
    metadata = header.pop("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())):
        raise WeightsError(f"{path}: header field '__metadata__': expected texts by name")
    size = len(data) - 8 - int.from_bytes(data[:8], "little")
    for name, entry in header.items():
        _check_entry(f"{path}: tensor {name!r}", entry, size)
    try:
        return safetensors.numpy.load(data), metadata
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: not a sound safetensors file: {error}") from error


def _header(path: str, data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or data[8:9] != b"{" or length > _LARGEST_HEADER:
        raise WeightsError(
            f"{path}: expected a safetensors file, found {len(data)} bytes that begin with "
            f"{data[:9]!r}"
        )
    if len(data) < 8 + length:
        raise WeightsError(
            f"{path}: truncated: the header has {length} bytes, the file ends after {len(data)}"
        )
    try:
        header = json.loads(data[8 : 8 + length].decode())
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: the header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise WeightsError(f"{path}: the header is not a JSON object")
    return header


def _check_entry(where: str, entry: Any, size: int) -> None:
    fields = entry if isinstance(entry, dict) else {}
    dtype, shape, place = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not (isinstance(dtype, str) and _naturals(shape) and _naturals(place) and len(place) == 2):
        raise WeightsError(f"{where}: expected dtype, shape and data_offsets, found {entry!r:.200}")
    if dtype not in _ITEM_BYTES:
        raise WeightsError(f"{where}: dtype {dtype} is not supported, expected F32, F16 or F64")
    start, end = place
    if end > size:
        raise WeightsError(f"{where}: truncated: ends at byte {end}, the file holds {size}")
    needed = math.prod(shape) * _ITEM_BYTES[dtype]
    if end - start != needed:
        raise WeightsError(
            f"{where}: shape {shape} of {dtype} takes {needed} bytes, data_offsets give "
            f"{end - start}"
        )


def _naturals(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)
