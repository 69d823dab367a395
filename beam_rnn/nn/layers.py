"""Layers without a state: embedding, dense, activations, convolution, columns."""

from __future__ import annotations

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


def _softmax(y: Floats) -> None:
    y -= y.max(axis=-1, keepdims=True)
    np.exp(y, y)
    y /= y.sum(axis=-1, keepdims=True)


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


def _check_activation(layer: Frozen, activation: str | None) -> None:
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
        _check_activation(self, self.activation)

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
class Conv1d(Frozen):
    """A convolution over positions with zero padding: (n, L, D) -> (n, L, F).

    Attributes:
      W: (F, k, D) filters, k odd.
      b: (F,) bias.
      activation: None, "softmax", "sigmoid", "tanh" or "relu".

    Raises:
      ModelError: an array has the wrong shape, k is even, or the activation is not known.
    """

    W: Floats
    b: Floats
    activation: str | None = None

    def __post_init__(self) -> None:
        F, k, _ = self._freeze("W", ("F", "k", "D"))
        self._freeze("b", (F,))
        if k % 2 == 0:
            raise ModelError(f"Conv1d.W has {k} positions, expected an odd number")
        _check_activation(self, self.activation)

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2 or shape[1] != self.W.shape[2]:
            raise ModelError(
                f"Conv1d.W takes (L, {self.W.shape[2]}) features, the layer before gives {shape}"
            )
        return (shape[0], self.W.shape[0])

    @cached_property
    def _product(self) -> Product:
        return Product(self.W.reshape(len(self.W), -1))

    def apply(self, x: NDArray[Any]) -> Floats:
        n, L, D = x.shape
        k = self.W.shape[1]
        padded = np.zeros((n, L + k - 1, D), np.float32)
        padded[:, k // 2 : k // 2 + L] = x
        windows = np.concatenate([padded[:, i : i + L] for i in range(k)], axis=2)
        y = self._product(windows.reshape(n * L, k * D))
        y += self.b
        if self.activation:
            ACTIVATIONS[self.activation](y)
        return y.reshape(n, L, len(self.W))


@dataclass(frozen=True, eq=False)
class MaxPool(Frozen):
    """The largest value over all positions: (n, L, F) -> (n, F)."""

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ModelError(f"MaxPool takes (L, F) features, the layer before gives {shape}")
        return shape[1:]

    def apply(self, x: NDArray[Any]) -> Floats:
        return np.ascontiguousarray(x.max(axis=1), np.float32)


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
            limits += [len(first.E) if isinstance(first, Embedding) else 0] * n
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
                if inner or (depth and isinstance(layer, Embedding)):
                    raise ModelError(
                        f"Columns: branch {place} takes ids in its layer {depth}: only an "
                        "Embedding in front can"
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
            if layers and isinstance(layers[0], Embedding):
                part = part[:, 0] if n == 1 else part
            else:
                part = part.astype(np.float32)
            for layer in layers:
                part = layer.apply(part)
            parts.append(part)
        return np.ascontiguousarray(np.concatenate(parts, axis=1), np.float32)
