"""Recurrent cells: the parameters and the step equation of RNN, GRU and LSTM."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from beam_rnn.errors import ModelError
from beam_rnn.nn.gates import GRUKernel, LSTMKernel, RNNKernel
from beam_rnn.nn.parameters import Floats, Frozen
from beam_rnn.nn.stepping import Kernel, Steps, fastest


class Cell(Frozen):
    """What the three cells share: weights W_x (G*H, D), W_a (G*H, H), b (G*H), rows stacked."""

    W_x: Floats
    W_a: Floats
    b: Floats
    gates: ClassVar[int]
    states: ClassVar[int] = 1  # vectors of H units in a state row

    def __post_init__(self) -> None:
        GH, _ = self._freeze("W_a", (f"{self.gates}*H", "H"))
        H = self.W_a.shape[1]
        if self.gates * H != GH:
            raise ModelError(
                f"{type(self).__name__}.W_a has shape {self.W_a.shape}, expected "
                f"({self.gates} * H, H) = ({self.gates * H}, {H})"
            )
        self._freeze("W_x", (GH, "D"))
        self._freeze("b", (GH,))

    @property
    def input_size(self) -> int:
        return int(self.W_x.shape[1])

    @property
    def hidden_size(self) -> int:
        return int(self.W_a.shape[1])

    @property
    def output_size(self) -> int:
        return self.hidden_size

    @cached_property
    def state_size(self) -> int:
        return self.states * self.hidden_size

    @property
    def in_shape(self) -> tuple[int, ...]:
        return (self.input_size,)

    def out_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if shape != (self.input_size,):
            raise ModelError(
                f"{type(self).__name__}.W_x takes {self.input_size} features, the layer before "
                f"gives {shape}"
            )
        return (self.hidden_size,)

    @cached_property
    def kernel(self) -> Steps:
        return fastest(self.numpy_kernel())

    def numpy_kernel(self) -> Kernel:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class RNN(Cell):
    """The plain cell: a' = g(W_a a + W_x x + b) (Elman, 1990).

    Attributes:
      W_x: (H, D) input weights.
      W_a: (H, H) recurrent weights.
      b: (H,) bias.
      activation: g, "tanh" or "relu".

    Raises:
      ModelError: an array has the wrong shape, or the activation is not known.
    """

    W_x: Floats
    W_a: Floats
    b: Floats
    activation: str = "tanh"
    gates: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.activation not in ("tanh", "relu"):
            raise ModelError(f'RNN.activation is {self.activation!r}, expected "tanh" or "relu"')

    def numpy_kernel(self) -> Kernel:
        return RNNKernel(self.W_x, self.W_a, self.b, self.activation)


@dataclass(frozen=True, eq=False)
class GRU(Cell):
    """The gated recurrent unit (Cho et al., 2014), gates r, z, n stacked in this order.

    r, z = sigmoid(W_a h + W_x x + b), h' = (1 - z) n + z h, and
    n = tanh(W_x x + b + r (W_a h + b_n)) with ``reset_after`` (PyTorch, Keras, cuDNN), else
    n = tanh(W_x x + b + W_a (r h)) (the paper, Haiku).

    Attributes:
      W_x: (3H, D) input weights.
      W_a: (3H, H) recurrent weights.
      b: (3H,) bias.
      b_n: (H,) the bias inside the reset product, or None; only with ``reset_after``.
      reset_after: whether the reset gate acts after the hidden product.

    Raises:
      ModelError: an array has the wrong shape, or ``b_n`` is given without ``reset_after``.
    """

    W_x: Floats
    W_a: Floats
    b: Floats
    b_n: Floats | None = None
    reset_after: bool = True
    gates: ClassVar[int] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.b_n is not None:
            if not self.reset_after:
                raise ModelError("GRU.b_n is the bias inside the reset product: reset_after only")
            self._freeze("b_n", (self.hidden_size,))

    def numpy_kernel(self) -> Kernel:
        return GRUKernel(self.W_x, self.W_a, self.b, self.b_n, self.reset_after)


@dataclass(frozen=True, eq=False)
class LSTM(Cell):
    """Long short-term memory without peepholes (Gers et al., 2000), gates i, f, g, o stacked.

    i, f, o = sigmoid(W_a h + W_x x + b), g = tanh(...), c' = f c + i g, h' = o tanh(c').
    A state row is [h | c].

    Attributes:
      W_x: (4H, D) input weights.
      W_a: (4H, H) recurrent weights.
      b: (4H,) bias.

    Raises:
      ModelError: an array has the wrong shape.
    """

    W_x: Floats
    W_a: Floats
    b: Floats
    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def numpy_kernel(self) -> Kernel:
        return LSTMKernel(self.W_x, self.W_a, self.b)
