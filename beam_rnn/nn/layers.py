"""Layers without a state: embedding, dense, activations, columns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import InputError, ModelError
from beam_rnn.nn.kernels import Product
from beam_rnn.nn.parameters import Floats, Frozen

Shape = tuple[int, ...]


class Layer(Protocol):
    """Maps rows to rows: ``(n, *shape) -> (n, *out_shape(shape))``, each row on its own."""

    def out_shape(self, shape: Shape) -> Shape: ...

    def apply(self, x: NDArray[Any]) -> Floats: ...


_FEW = 16  # classes up to which a loop over them is faster than NumPy's over rows
_MANY = 1024  # values from which it is


def _softmax(y: Floats) -> None:
    classes = y.shape[-1]
    if classes > _FEW or y.size < _MANY:
        y -= y.max(axis=-1, keepdims=True)
        np.exp(y, y)
        # cumsum sums up in the order of the loop below.
        y /= y.sum(axis=-1, keepdims=True) if classes > _FEW else y.cumsum(axis=-1)[..., -1:]
    else:
        rows = y.reshape(-1, classes)
        each = np.ascontiguousarray(rows.T)
        each -= functools.reduce(np.maximum, each)
        np.exp(each, each)
        each /= functools.reduce(np.add, each)
        rows[...] = each.T


def _sigmoid(y: Floats) -> None:
    y *= 0.5
    np.tanh(y, y)
    y += 1
    y *= 0.5


def _relu(y: Floats) -> None:
    np.maximum(y, 0, out=y)


def _tanh(y: Floats) -> None:
    np.tanh(y, y)


ACTIVATIONS: dict[str, Callable[[Floats], None]] = {
    "softmax": _softmax,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "relu": _relu,
}


def check_activation(layer: Frozen, activation: str | None) -> None:
    """Raises ModelError, by the name of the layer, where the activation is not known."""
    if activation is not None and activation not in ACTIVATIONS:
        raise ModelError(
            f"{type(layer).__name__}.activation is {activation!r}, expected None or one of "
            + ", ".join(ACTIVATIONS)
        )


@dataclass(frozen=True, eq=False)
class Embedding(Frozen):
    """A vector for each id: the product of a one-hot row with E, done by gathering a row.

    Attributes:
      E: (V, D), row i the vector of id i. Ids (...,) give (..., D).

    Raises:
      ModelError: E has the wrong shape. InputError: an id is not in 0..V-1.
    """

    E: Floats

    def __post_init__(self) -> None:
        self._freeze("E", ("V", "D"))

    @property
    def in_shape(self) -> Shape:
        return ()

    @property
    def limits(self) -> tuple[int]:
        return (len(self.E),)

    def out_shape(self, shape: Shape) -> Shape:
        return (*shape, self.E.shape[1])

    def apply(self, x: NDArray[Any]) -> Floats:
        if x.size and (x.min() < 0 or x.max() >= len(self.E)):
            raise InputError(f"Embedding: ids must be in 0..{len(self.E) - 1}")
        rows: Floats = self.E[x]
        return rows


@dataclass(frozen=True, eq=False)
class Dense(Frozen):
    """y = g(W_y x + b_y).

    Attributes:
      W_y: (C, H) weights.
      b_y: (C,) bias.
      activation: g: None, "softmax", "sigmoid", "tanh" or "relu".

    Raises:
      ModelError: an array has the wrong shape, or the activation is not known.
    """

    W_y: Floats
    b_y: Floats
    activation: str | None = None

    def __post_init__(self) -> None:
        C, _ = self._freeze("W_y", ("C", "H"))
        self._freeze("b_y", (C,))
        check_activation(self, self.activation)

    @property
    def in_shape(self) -> Shape:
        return (self.W_y.shape[1],)

    def out_shape(self, shape: Shape) -> Shape:
        if not shape or shape[-1] != self.W_y.shape[1]:
            raise ModelError(
                f"Dense.W_y takes {self.W_y.shape[1]} features, the layer before gives {shape}"
            )
        return (*shape[:-1], self.W_y.shape[0])

    @cached_property
    def _product(self) -> Product:
        return Product(self.W_y)

    def apply(self, x: NDArray[Any]) -> Floats:
        rows = x.reshape(-1, self.W_y.shape[1])
        y = self._product(np.ascontiguousarray(rows, np.float32))
        y += self.b_y
        if self.activation:
            ACTIVATIONS[self.activation](y)
        return y.reshape(*x.shape[:-1], len(self.W_y))


@dataclass(frozen=True, eq=False)
class Activation(Frozen):
    """g alone, of any shape.

    Attributes:
      name: "softmax" (over the last axis), "sigmoid", "tanh" or "relu".

    Raises:
      ModelError: the activation is not known.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ModelError(f"Activation.name is {self.name!r}, expected one of {known}")

    def out_shape(self, shape: Shape) -> Shape:
        return shape

    def apply(self, x: NDArray[Any]) -> Floats:
        y = np.array(x, np.float32)
        ACTIVATIONS[self.name](y)
        return y


def _ids(layer: Any) -> int:
    """How many ids there are for a layer that takes them (Embedding, Spelling), or 0."""
    return len(getattr(layer, "E", ()))


@dataclass(frozen=True, eq=False)
class Columns(Frozen):
    """Parts of a row through layers of their own, side by side: (n, K) -> (n, sum of outputs).

    Attributes:
      branches: pairs (number of columns, layers). A branch of one column that begins with an
        Embedding gets (n,), another (n, columns).

    Raises:
      ModelError: a branch is empty or does not fit.
    """

    branches: Sequence[tuple[int, Sequence[Layer]]]

    def __post_init__(self) -> None:
        branches = tuple((int(n), tuple(layers)) for n, layers in self.branches)
        if not branches or any(n < 1 for n, _ in branches):
            raise ModelError("Columns needs branches of at least one column")
        object.__setattr__(self, "branches", branches)
        self._widths()

    @property
    def in_shape(self) -> Shape:
        return (sum(n for n, _ in self.branches),)

    @property
    def limits(self) -> tuple[int, ...] | None:
        """For rows of ids, how many ids each column has (0: a number, not an id), else None."""
        limits: list[int] = []
        for n, layers in self.branches:
            first = layers[0] if layers else None
            limits += [_ids(first)] * n
        return tuple(limits) if any(limits) else None

    def _widths(self) -> list[int]:
        widths = []
        for place, (n, layers) in enumerate(self.branches):
            single = n == 1 and layers and isinstance(layers[0], Embedding)
            shape: Shape = () if single else (n,)
            for depth, layer in enumerate(layers):
                if not hasattr(layer, "apply"):
                    raise ModelError(
                        f"Columns: branch {place} has {type(layer).__name__}, expected layers "
                        "without a state"
                    )
                inner = isinstance(layer, Columns) and layer.limits is not None
                if inner or (depth and _ids(layer)):
                    raise ModelError(
                        f"Columns: branch {place} takes ids in its layer {depth}: only an "
                        "Embedding or a Spelling in front can"
                    )
                shape = layer.out_shape(shape)
            if len(shape) != 1:
                raise ModelError(f"Columns: branch {place} gives {shape}, expected one axis")
            widths.append(shape[0])
        return widths

    def out_shape(self, shape: Shape) -> Shape:
        if shape != self.in_shape:
            raise ModelError(f"Columns takes {self.in_shape}, the layer before gives {shape}")
        return (sum(self._widths()),)

    def apply(self, x: NDArray[Any]) -> Floats:
        parts = []
        start = 0
        for n, layers in self.branches:
            part = x[:, start : start + n]
            start += n
            if layers and _ids(layers[0]):
                part = part[:, 0] if n == 1 and isinstance(layers[0], Embedding) else part
            else:
                part = part.astype(np.float32)
            for layer in layers:
                part = layer.apply(part)
            parts.append(part)
        return np.ascontiguousarray(np.concatenate(parts, axis=1), np.float32)
