"""Layers over positions: convolution, pooling, and what came before a step as its state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import ModelError
from beam_rnn.nn.kernels import Product
from beam_rnn.nn.layers import ACTIVATIONS, Shape, check_activation
from beam_rnn.nn.parameters import Floats, Frozen, later

if TYPE_CHECKING:
    from beam_rnn.nn.sequences import Wave

_BLOCK = 1 << 17  # floats of windows that are copied at once: they stay in cache


@dataclass(frozen=True, eq=False)
class Conv1d(Frozen):
    """A convolution over positions: (n, L, D), or (n, L) where D is 1, -> (n, L', F).

    L' = (L + before + behind - dilation (k - 1) - 1) // stride + 1. Behind a ``Context`` of
    dilation (k - 1) positions and with ``padding=(0, 0)`` it is causal over time.

    Attributes:
      W: (F, k, D) filters.
      b: (F,) bias.
      activation: None, "softmax", "sigmoid", "tanh" or "relu".
      stride: positions from one window to the next.
      padding: (before, behind) positions added; None: so many zeros that L' = L, k odd.
      mode: what is added, "zeros" or "reflect" (the positions inside, mirrored at the edge).
      dilation: positions from one tap of a filter to the next.

    Raises:
      ModelError: an array has the wrong shape, a number is out of its range, k is even where the
        padding is None, or the activation is not known.
    """

    W: Floats
    b: Floats
    activation: str | None = None
    stride: int = later(1)
    padding: Sequence[int] | None = later(None)
    mode: str = later("zeros")
    dilation: int = later(1)

    def __post_init__(self) -> None:
        F, k, _ = self._freeze("W", ("F", "k", "D"))
        self._freeze("b", (F,))
        check_activation(self, self.activation)
        if self.stride < 1 or self.dilation < 1:
            raise ModelError(
                f"Conv1d.stride is {self.stride}, dilation {self.dilation}: expected 1 or more"
            )
        if self.mode not in ("zeros", "reflect"):
            raise ModelError(f'Conv1d.mode is {self.mode!r}, expected "zeros" or "reflect"')
        if self.padding is None:
            if k % 2 == 0:
                raise ModelError(f"Conv1d.W has {k} positions, expected an odd number")
            return
        padding = tuple(int(number) for number in self.padding)
        if len(padding) != 2 or min(padding) < 0:
            raise ModelError(f"Conv1d.padding is {self.padding}, expected (before, behind)")
        object.__setattr__(self, "padding", padding)

    @property
    def reach(self) -> int:
        """Positions from the first tap of a filter to its last."""
        return self.dilation * (int(self.W.shape[1]) - 1)

    @property
    def _edges(self) -> tuple[int, int]:
        if self.padding is None:
            return self.reach // 2, self.reach // 2
        before, behind = self.padding
        return before, behind

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) == 1:
            shape = (*shape, 1)
        if len(shape) != 2 or shape[1] != self.W.shape[2]:
            raise ModelError(
                f"Conv1d.W takes (L, {self.W.shape[2]}) features, the layer before gives {shape}"
            )
        L = shape[0]
        if self.mode == "reflect" and max(self._edges) >= L:
            raise ModelError(f"Conv1d.padding is {self.padding}: {L} positions are too few for it")
        windows = (L + sum(self._edges) - self.reach - 1) // self.stride + 1
        if windows < 1:
            raise ModelError(
                f"Conv1d.W reaches over {self.reach + 1} positions, the layer before gives {L}"
            )
        return (windows, self.W.shape[0])

    @cached_property
    def _product(self) -> Product:
        return Product(self.W.reshape(len(self.W), -1))

    def apply(self, x: NDArray[Any]) -> Floats:
        n, L = x.shape[:2]
        F, k, D = self.W.shape
        x = x.reshape(n, L, D)
        before, behind = self._edges
        if self.mode == "reflect":
            padded = np.pad(x, ((0, 0), (before, behind), (0, 0)), mode="reflect")
        else:
            padded = np.zeros((n, L + before + behind, D), np.float32)
            padded[:, before : before + L] = x
        taken = (padded.shape[1] - self.reach - 1) // self.stride + 1
        row, position, feature = padded.strides
        windows = np.lib.stride_tricks.as_strided(
            padded,
            (n, taken, k, D),
            (row, self.stride * position, self.dilation * position, feature),
        )
        y = np.empty((n * taken, F), np.float32)
        block = max(1, _BLOCK // (taken * k * D))
        for low in range(0, n, block):
            part = windows[low : low + block].reshape(-1, k * D)
            self._product(part, y[low * taken : low * taken + len(part)])
        y += self.b
        if self.activation:
            ACTIVATIONS[self.activation](y)
        return y.reshape(n, taken, F)


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
class Flatten(Frozen):
    """All positions side by side: (n, L, F) -> (n, L F)."""

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ModelError(f"Flatten takes (L, F) features, the layer before gives {shape}")
        return (shape[0] * shape[1],)

    def apply(self, x: NDArray[Any]) -> Floats:
        return np.ascontiguousarray(x.reshape(len(x), x.shape[1] * x.shape[2]), np.float32)


@dataclass(frozen=True, eq=False)
class Magnitude(Frozen):
    """|re + i im| of features [re | im]: (n, L, 2F) -> (n, L, F), behind a transform."""

    def out_shape(self, shape: Shape) -> Shape:
        if not shape or shape[-1] % 2:
            raise ModelError(f"Magnitude takes [re | im] features, the layer before gives {shape}")
        return (*shape[:-1], shape[-1] // 2)

    def apply(self, x: NDArray[Any]) -> Floats:
        squares = np.square(x, dtype=np.float32)
        F = x.shape[-1] // 2
        y: Floats = np.sqrt(squares[..., :F] + squares[..., F:])
        return y


@dataclass(frozen=True, eq=False)
class Context(Frozen):
    """The last positions of the steps before, in front of those of a step.

    (n, L, D) -> (n, size + L, D), or (n, L) -> (n, size + L). They are the state, zeros at the
    beginning of a sequence, so a Conv1d behind it is causal and gives the same whatever the cut of
    time into steps. (Frame splicing: Waibel et al., 1989; Peddinti et al., 2015.)

    Attributes:
      size: positions of before.
      shape: (L, D) or (L,) of a step.

    Raises:
      ModelError: a number is less than 1.
    """

    size: int
    shape: Sequence[int]

    def __post_init__(self) -> None:
        shape = tuple(int(axis) for axis in self.shape)
        object.__setattr__(self, "shape", shape)
        if len(shape) not in (1, 2) or min(self.size, *shape) < 1:
            raise ModelError(f"Context of {self.size} before {shape}, expected size and (L, D)")

    @property
    def in_shape(self) -> Shape:
        return tuple(self.shape)

    @property
    def state_size(self) -> int:
        return self.size * math.prod(self.shape[1:])

    def out_shape(self, shape: Shape) -> Shape:
        if shape != self.in_shape:
            raise ModelError(f"Context takes {self.in_shape}, the layer before gives {shape}")
        return (self.size + shape[0], *shape[1:])

    def run(self, x: NDArray[Any], a: Floats, waves: Sequence[Wave]) -> Floats:
        """Steps through waves: ``a`` (R, S) in place, x (n, L, ...) -> (n, size + L, ...)."""
        L, *features = self.shape
        known = np.empty((len(x), self.size + L, *features), np.float32)
        known[:, self.size :] = x
        start = 0
        for rows, m, fresh in waves:
            if fresh is not None:
                a[fresh] = 0
            step = known[start : start + m]
            step[:, : self.size] = a[rows].reshape(m, self.size, *features)
            a[rows] = step[:, L:].reshape(m, self.state_size)
            start += m
        return known
