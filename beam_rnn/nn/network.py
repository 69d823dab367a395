"""Network: layers in a row, stepped for many streams at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beam_rnn.errors import InputError, ModelError
from beam_rnn.nn.cells import RNN, Cell
from beam_rnn.nn.convolution import Context
from beam_rnn.nn.inputs import Inputs, rectangular
from beam_rnn.nn.layers import Embedding, Shape
from beam_rnn.nn.parameters import Floats, Frozen, Ints, fingerprint
from beam_rnn.nn.sequences import CRF, Bidirectional, Spelling, Stage, Wave
from beam_rnn.nn.step_model import unroll_together
from beam_rnn.nn.stepping import in_order

MOST_LOOKAHEAD = 1 << 16  # each stream keeps so many events
_FLOAT = np.dtype(np.float32)


@dataclass(frozen=True, eq=False)
class Network(Frozen):
    """A recurrent network: y, a' = step(x, a).

    Attributes:
      layers: applied in a row. A network that begins with an Embedding takes ids (), one that
        begins with Columns rows (K,), another vectors (D,).
      labels: names of the C outputs, or None.
      vocabulary: the token of each id, or None.
      lookahead: y of step t answers x of step t - lookahead; after the last x of a sequence
        that many zero inputs (id 0 or a zero row) are stepped.
      card: what is known of the weights (data, recipe, figures); values that JSON can hold.

    Raises:
      ModelError: the layers do not fit together; the message names the layer and the array.
    """

    layers: Sequence[Any]
    labels: Sequence[str] | None = field(default=None, kw_only=True)
    vocabulary: Sequence[str] | None = field(default=None, kw_only=True)
    lookahead: int = field(default=0, kw_only=True)
    card: dict[str, Any] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        for name in ("labels", "vocabulary"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "card", dict(self.card or {}))
        if not self.layers:
            raise ModelError("a network needs at least one layer")
        if not hasattr(self.layers[0], "in_shape"):
            raise ModelError(f"{type(self.layers[0]).__name__} cannot be the first layer")
        shape: Shape = self.layers[0].in_shape
        for place, layer in enumerate(self.layers):
            if isinstance(layer, CRF) and place != len(self.layers) - 1:
                raise ModelError("CRF must be the last layer")
            if place and isinstance(layer, Embedding | Spelling):
                raise ModelError(f"{type(layer).__name__} takes ids: it must be the first layer")
            if not hasattr(layer, "out_shape"):
                raise ModelError(f"layer {place} is {type(layer).__name__}, which is no layer")
            try:
                shape = layer.out_shape(shape)
            except ModelError as error:
                raise ModelError(f"layer {place}: {error}") from None
        if len(shape) != 1:
            raise ModelError(f"the last layer gives {shape}, expected one axis")
        object.__setattr__(self, "output_size", shape[0])
        if self.labels is not None and len(self.labels) != shape[0]:
            raise ModelError(f"{len(self.labels)} labels, expected one for each of {shape[0]}")
        first = self.layers[0]
        if self.vocabulary is not None and isinstance(first, Embedding):
            V = len(first.E)
            if len(self.vocabulary) != V:
                raise ModelError(f"{len(self.vocabulary)} tokens, expected one for each of {V} ids")
        if not 0 <= self.lookahead <= MOST_LOOKAHEAD:
            raise ModelError(
                f"lookahead is {self.lookahead}, expected 0 or more steps, at most {MOST_LOOKAHEAD}"
            )

    output_size: int = field(init=False, repr=False)

    @cached_property
    def inputs(self) -> Inputs:
        """What x⟨t⟩ must be."""
        first = self.layers[0]
        limits = getattr(first, "limits", None)
        return Inputs(first.in_shape, limits)

    @cached_property
    def _width(self) -> int | None:
        """D where x is (B, D) vectors."""
        inputs = self.inputs
        return inputs.shape[0] if inputs.limits is None and len(inputs.shape) == 1 else None

    @property
    def input_shape(self) -> Shape:
        return self.inputs.shape

    @property
    def input_dtype(self) -> type[np.int64] | type[np.float32]:
        return self.inputs.dtype

    @cached_property
    def state_size(self) -> int:
        """Floats in the state row of a stream."""
        return sum(layer.state_size for layer in self.layers if isinstance(layer, Cell | Context))

    @property
    def state_layout(self) -> list[tuple[str, int]]:
        """What a state row is made of: kinds of layers, and how many floats each has."""
        stateful = [layer for layer in self.layers if isinstance(layer, Cell | Context)]
        return [(type(layer).__name__, layer.state_size) for layer in stateful]

    @cached_property
    def causal(self) -> bool:
        """Whether y of a step needs nothing that comes later: no Bidirectional, no CRF."""
        return not any(isinstance(layer, Bidirectional | CRF) for layer in self.layers)

    @cached_property
    def bounded(self) -> bool:
        """Whether no input that was checked can lead to values that are not finite.

        Ids can not, where every h is bounded; large vectors overflow, and so may a relu over time.
        """
        relu = any(isinstance(layer, RNN) and layer.activation == "relu" for layer in self.layers)
        return isinstance(self.layers[0], Embedding) and not relu

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that tell one network (structure and weights) from another."""
        return fingerprint(self.layers, self.lookahead)

    def initial_state(self, batch: int) -> Floats:
        """The states before the first step: (batch, S) zeros."""
        return np.zeros((batch, self.state_size), np.float32)

    def step(self, x: ArrayLike, a: Floats) -> tuple[Floats, Floats]:
        """One step of B streams.

        Args:
          x: (B,) or (B, K) int ids, or (B, D) float32.
          a: (B, S) float32, left as it is.

        Returns:
          y (B, C) and the new a (B, S).

        Raises:
          InputError: x has the wrong shape, type or values, or a the wrong shape or type.
          ModelError: the network is not causal.
        """
        if not self.causal:
            raise ModelError("step needs a causal network; this one reads whole sequences")
        h = self._quickly_checked(x)
        if not (
            type(a) is np.ndarray and a.dtype is _FLOAT and a.shape == (len(h), self.state_size)
        ):
            a = self._check_state(a, len(h))
        stages, head = self._stages
        if len(stages) == 1:
            h, after = stages[0].step(h, a)
        else:
            after = np.empty(a.shape, np.float32)
            offset = 0
            for stage in stages:
                part = slice(offset, offset + stage.cell.state_size)
                h, after[:, part] = stage.step(h, a[:, part])
                offset = part.stop
        for layer in head:
            h = layer.apply(h)
        return h, after

    def unroll(self, x: ArrayLike, a: Floats | None = None) -> tuple[Floats, Floats]:
        """Steps through whole sequences; the same bits as ``step`` repeated.

        Args:
          x: (T, ...) for one sequence or (B, T, ...) for B of one length, ... as for ``step``.
          a: (S,) or (B, S) float32 to begin from, or None for the initial state.

        Returns:
          y (T, C) or (B, T, C), and the last a (S,) or (B, S).

        Raises:
          InputError: x has the wrong shape, type or values, or a the wrong shape or type.
        """
        x = rectangular("x", x)
        axes = x.ndim - len(self.input_shape)
        if axes not in (1, 2):
            inner = ", ".join(map(str, self.input_shape))
            raise InputError(f"x has shape {x.shape}, expected (T, {inner}) or (B, T, {inner})")
        if axes == 1:
            y, last = self.unroll(x[None], None if a is None else rectangular("a", a)[None])
            return y[0], last[0]
        B, T = x.shape[:2]
        flat = self.inputs.check(x.reshape(B * T, *x.shape[2:]))
        state = self.initial_state(B) if a is None else self._check_state(a, B).copy()
        order = None if B == 1 else np.arange(B * T).reshape(B, T).T.ravel()  # step after step
        if self.causal:
            waves = [Wave(slice(0, B), B)] * T
            y = self.head(self.advance(flat, state, waves, order))
        else:
            if a is not None:
                raise ModelError("a network that reads whole sequences has no state to begin from")
            y = in_order(lambda x: self._over(x, T, B), flat, order)
        return y.reshape(B, T, self.output_size), state

    def unroll_many(self, sequences: Sequence[ArrayLike]) -> list[tuple[Floats, Floats]]:
        """``unroll`` of sequences of different lengths, together and without padding.

        Args:
          sequences: x (T, ...) of each, as for ``unroll``; they begin from the initial state.

        Returns:
          y (T, C) and the last a (S,) of each, the same bits as ``unroll`` of it alone.

        Raises:
          InputError: an x has the wrong shape, type or values.
        """
        checked = [self.inputs.check(x) for x in sequences]
        if self.causal:
            return unroll_together(self, checked)
        return self._by_length(checked)

    def _by_length(self, sequences: list[NDArray[Any]]) -> list[tuple[Floats, Floats]]:
        """Whole sequences: those of one length together."""
        if not sequences:
            return []
        lengths = np.array([len(x) for x in sequences], np.int64)
        order = np.argsort(-lengths, kind="stable")
        result: list[Any] = [None] * len(sequences)
        for alike in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
            y, a = self.unroll(np.stack([sequences[i] for i in alike]))
            for i, y_i, a_i in zip(alike, y, a, strict=True):
                result[i] = y_i, a_i
        return result

    def _over(self, x: NDArray[Any], T: int, B: int) -> Floats:
        for layer in self.layers:
            if T == 0 or B == 0:
                return np.zeros((0, self.output_size), np.float32)
            if isinstance(layer, Cell | Context):
                a = np.zeros((B, layer.state_size), np.float32)
                x = Stage((), layer).run(x, a, [Wave(slice(0, B), B)] * T)
            elif isinstance(layer, Bidirectional | CRF):
                x = layer.over(x.reshape(T, B, -1)).reshape(T * B, -1)
            else:
                x = layer.apply(x)
        return x

    # What the streams build on: many streams, in waves, in place.

    @cached_property
    def _stages(self) -> tuple[list[Stage], list[Any]]:
        """What has a state, each with the layers before it, and the layers after the last."""
        stages: list[Stage] = []
        front: list[Any] = []
        for layer in self.layers:
            if isinstance(layer, Cell | Context):
                stages.append(Stage(tuple(front), layer))
                front = []
            else:
                front.append(layer)
        return stages, front

    def advance(
        self, x: NDArray[Any], a: Floats, waves: Sequence[Wave], order: Ints | None = None
    ) -> NDArray[Any]:
        """Steps the states ``a`` (R, S) in place through ``waves``, without the head.

        Args:
          x: (n, ...) checked inputs, those of the first wave first.
          a: (R, S) the states of all streams.
          waves: which rows of ``a`` step when.
          order: (n,) where in x the inputs are, those of the first wave first, or None: so already.

        Returns:
          (n, H) what the head reads, in the order of ``x``.
        """
        offset = 0
        for stage in self._stages[0]:
            part = a[:, offset : offset + stage.cell.state_size]
            offset += stage.cell.state_size
            x = stage.run(x, part, waves, order)
        return x

    def head(self, h: NDArray[Any]) -> Floats:
        """The layers after the last cell: (n, H) -> y (n, C)."""
        for layer in self._stages[1]:
            h = layer.apply(h)
        return h

    def readout(self, a: Floats) -> Floats:
        """y of the step that led to the states ``a`` (n, S): (n, C)."""
        stages = self._stages[0]
        last = stages[-1].cell if stages else None
        if not isinstance(last, Cell):
            raise ModelError(
                "a network without a cell behind all others cannot answer from its state"
            )
        start = self.state_size - last.state_size
        return self.head(np.ascontiguousarray(a[:, start : start + last.hidden_size]))

    def _quickly_checked(self, x: ArrayLike) -> NDArray[Any]:
        """``inputs.check``, in a sixth of its time for vectors that are as they should be."""
        if (
            type(x) is np.ndarray
            and x.dtype is _FLOAT
            and x.ndim == 2
            and x.shape[1] == self._width
            and x.flags.c_contiguous
            # Zero: a value that is not finite. Searching bytes takes 0.5 us, all() 1.4.
            and 0 not in np.isfinite(x).tobytes()
        ):
            return x
        return self.inputs.check(x)

    def _check_state(self, a: Floats, batch: int) -> Floats:
        a = rectangular("a", a)
        if a.dtype.kind not in "fiu":
            raise InputError(f"a has type {a.dtype}, expected float32")
        if a.shape != (batch, self.state_size):
            raise InputError(f"a has shape {a.shape}, expected ({batch}, {self.state_size})")
        return a.astype(np.float32, copy=False)
