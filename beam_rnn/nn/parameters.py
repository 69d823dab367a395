"""Weights as checked, frozen arrays."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import Field, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beam_rnn.errors import ModelError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def later(default: Any) -> Any:
    """A field that came after the first release: at its default, models are as they were before.

    Files do not name it, and the fingerprint does not know it.
    """
    return field(default=default, metadata={"later": True})


def is_later(part: Field[Any]) -> bool:
    """Whether a field was made by ``later``."""
    return "later" in part.metadata


class Frozen:
    """Base of what is built once from arrays: what is derived from them is not pickled."""

    def __getstate__(self) -> dict[str, Any]:
        derived = {
            name
            for kind in type(self).__mro__
            for name, value in vars(kind).items()
            if isinstance(value, cached_property)
        }
        return {name: value for name, value in vars(self).items() if name not in derived}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)

    def _freeze(self, name: str, expected: tuple[str | int, ...]) -> tuple[int, ...]:
        """Makes the field ``name`` float32, C-contiguous and read-only; returns its shape.

        ``expected`` gives each axis as a number, or as a letter where any length is right.
        """
        array = frozen(f"{type(self).__name__}.{name}", getattr(self, name), expected)
        object.__setattr__(self, name, array)
        return array.shape


def frozen(name: str, value: ArrayLike, expected: tuple[str | int, ...]) -> Floats:
    """Returns ``value`` as float32, C-contiguous, read-only, or raises ModelError by ``name``."""
    try:
        array = np.array(value, dtype=np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name} is not an array of numbers: {error}") from None
    fits = len(array.shape) == len(expected) and all(
        length >= 1 if isinstance(axis, str) else length == axis
        for length, axis in zip(array.shape, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join(str(axis) for axis in expected)
        raise ModelError(f"{name} has shape {array.shape}, expected ({wanted})")
    if not np.isfinite(array).all():
        raise ModelError(f"{name} has values that are not finite")
    array.flags.writeable = False
    return array


def fingerprint(*parts: Any) -> str:
    """16 hex digits that tell one model (structure and weights) from another."""
    digest = hashlib.sha256()
    _digest(digest, parts)
    return digest.hexdigest()[:16]


def _digest(digest: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        digest.update(repr(value.shape).encode())
        digest.update(value.tobytes())
    elif dataclasses.is_dataclass(value):
        digest.update(type(value).__name__.encode())
        for part in dataclasses.fields(value):
            inner = getattr(value, part.name)
            new = isinstance(inner, np.ndarray) or inner != part.default
            if not is_later(part) or new:
                _digest(digest, inner)
    elif isinstance(value, Iterable) and not isinstance(value, str):
        digest.update(b"(")
        for part in value:
            _digest(digest, part)
        digest.update(b")")
    else:
        digest.update(repr(value).encode())
