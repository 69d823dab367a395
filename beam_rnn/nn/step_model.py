"""What streams step: a network, or a model of any kind that has an explicit state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beam_rnn.errors import InputError, ModelError
from beam_rnn.nn.inputs import Inputs, rectangular
from beam_rnn.nn.parameters import Floats, fingerprint
from beam_rnn.nn.sequences import Wave


@runtime_checkable
class Recurrent(Protocol):
    """What the streams need of a model; ``Network`` and ``StepModel`` have it.

    Attributes:
      inputs: the shape, type and range of x.
      state_size: S, float32 numbers in a state row; all zero before the first step.
      state_layout: what a row is made of.
      output_size: C, numbers of y.
      labels: names of the C outputs, or None.
      lookahead: y of step t answers x of step t - lookahead.
      causal: whether it steps at all.
      bounded: whether no checked input can lead to values that are not finite.
      fingerprint: 16 hex digits that tell one model from another.
    """

    @property
    def inputs(self) -> Inputs: ...
    @property
    def state_size(self) -> int: ...
    @property
    def state_layout(self) -> list[tuple[str, int]]: ...
    @property
    def output_size(self) -> int: ...
    @property
    def labels(self) -> Sequence[str] | None: ...
    @property
    def lookahead(self) -> int: ...
    @property
    def causal(self) -> bool: ...
    @property
    def bounded(self) -> bool: ...
    @property
    def fingerprint(self) -> str: ...

    def advance(self, x: NDArray[Any], a: Floats, waves: Sequence[Wave]) -> NDArray[Any]:
        """Steps the states a (R, S) in place through waves; returns what ``head`` reads (n, H)."""

    def head(self, h: NDArray[Any]) -> Floats:
        """y (n, C)."""

    def readout(self, a: Floats) -> Floats:
        """y (n, C) of the steps that led to the states a (n, S)."""


def unroll_together(
    model: Recurrent, sequences: Sequence[NDArray[Any]]
) -> list[tuple[Floats, Floats]]:
    """Steps through sequences of different lengths in shared waves, without padding.

    Args:
      model: what steps them, from its initial state.
      sequences: checked x (T, ...) of each.

    Returns:
      y (T, C) and the last a (S,) of each, the same bits as of each alone.
    """
    if not len(sequences):
        return []
    lengths = np.array([len(x) for x in sequences], np.int64)
    order = np.argsort(-lengths, kind="stable")  # the longest first: all waves are prefixes
    lengths = lengths[order]
    stop = np.cumsum(lengths)
    t = np.arange(stop[-1]) - np.repeat(stop - lengths, lengths)
    in_waves = np.argsort(t, kind="stable")
    a = np.zeros((len(sequences), model.state_size), np.float32)
    waves = [Wave(slice(0, int(m)), int(m)) for m in np.bincount(t)]
    h = model.advance(np.concatenate([sequences[i] for i in order])[in_waves], a, waves)
    y = np.empty((len(h), model.output_size), np.float32)
    y[in_waves] = model.head(h)
    result: list[Any] = [None] * len(sequences)
    for i, part, last in zip(order, np.split(y, stop[:-1]), a, strict=True):
        result[i] = part, last
    return result


@dataclass(frozen=True, eq=False)
class StepModel:
    """Any model with an explicit state, in the transforms as a Network is.

    ``step(x, state) -> (y, state)`` works on rows: x (n, *shape) and state (n, state) float32 give
    y (n, output) and the next state, row i from row i alone. The state is zero before the first
    step of a sequence. The row that is kept is [state | y].

    That an answer has the same bits alone and in company is for the step to give. Where it does
    not, because a library computes other numbers of rows in another way, ``batch`` helps: every
    call then has exactly as many rows, filled up with zeros.

    Attributes:
      step: a function, or an object with the method ``step``. It is pickled with the transform: it
        should load what is heavy when it is first called, once per process.
      state: numbers of the state of a stream.
      output: C, numbers of y.
      version: tells the model from others, as a digest of its weights does: state of another one
        is refused.
      shape: of one x; () for ids.
      ids: how many ids there are (in each column), where x are ids; None: x is float32.
      batch: rows of every call, or None: any number.
      labels, vocabulary, lookahead, card: as for ``Network``.

    Raises:
      ModelError: the step can not be called, or a number is out of its range.
    """

    step: Any
    state: int
    output: int
    version: str
    shape: Sequence[int] = ()
    ids: int | Sequence[int] | None = None
    batch: int | None = None
    labels: Sequence[str] | None = field(default=None, kw_only=True)
    vocabulary: Sequence[str] | None = field(default=None, kw_only=True)
    lookahead: int = field(default=0, kw_only=True)
    card: dict[str, Any] = field(default_factory=dict, kw_only=True)

    causal = True
    bounded = False

    def __post_init__(self) -> None:
        if not callable(self._call):
            raise ModelError(f"step is {self.step!r}, expected a function or an object with step()")
        if self.state < 0 or self.output < 1 or self.lookahead < 0:
            raise ModelError(
                f"state is {self.state}, output {self.output}, lookahead {self.lookahead}: "
                "expected 0.., 1.. and 0.."
            )
        if self.batch is not None and self.batch < 1:
            raise ModelError(f"batch is {self.batch}, expected 1 or more rows")
        if not self.version or not isinstance(self.version, str):
            raise ModelError(f"version is {self.version!r}, expected a text that names the weights")
        for name in ("labels", "vocabulary"):
            given = getattr(self, name)
            object.__setattr__(self, name, None if given is None else tuple(given))
        if self.labels is not None and len(self.labels) != self.output:
            raise ModelError(f"{len(self.labels)} labels, expected one for each of {self.output}")
        object.__setattr__(self, "shape", tuple(self.shape))
        limits = self.inputs.limits
        if limits is not None and len(limits) != int(np.prod(self.shape)):
            raise ModelError(f"ids is {self.ids}, expected a number for each of x {self.shape}")

    @property
    def _call(self) -> Any:
        return getattr(self.step, "step", self.step)

    @property
    def inputs(self) -> Inputs:
        """What x must be."""
        ids = self.ids
        if ids is None:
            return Inputs(tuple(self.shape), None)
        return Inputs(tuple(self.shape), (ids,) if isinstance(ids, int) else tuple(ids))

    @property
    def state_size(self) -> int:
        """Floats in the row of a stream: its state and its last y."""
        return self.state + self.output

    @property
    def state_layout(self) -> list[tuple[str, int]]:
        """What a row is made of: a state, which only steps of this version know, and y."""
        return [(f"StepModel {self.version}", self.state), ("y", self.output)]

    @property
    def output_size(self) -> int:
        return self.output

    @property
    def fingerprint(self) -> str:
        """16 hex digits, of the version and the sizes."""
        sizes = self.state, self.output, self.shape, self.ids, self.batch, self.lookahead
        return fingerprint("StepModel", self.version, sizes)

    def initial_state(self, batch: int) -> Floats:
        """The rows before the first step: (batch, state_size) zeros."""
        return np.zeros((batch, self.state_size), np.float32)

    def unroll(self, x: ArrayLike) -> tuple[Floats, Floats]:
        """Steps through one sequence x (T, *shape): y (T, C) and the last row (state_size,)."""
        checked = self.inputs.check(x)
        a = self.initial_state(1)
        y = self.advance(checked, a, [Wave(slice(0, 1), 1)] * len(checked))
        return y, a[0]

    def unroll_many(self, sequences: Sequence[ArrayLike]) -> list[tuple[Floats, Floats]]:
        """``unroll`` of sequences of different lengths, in shared calls of the step."""
        return unroll_together(self, [self.inputs.check(x) for x in sequences])

    def advance(self, x: NDArray[Any], a: Floats, waves: Sequence[Wave]) -> Floats:
        """Steps the rows a (R, state_size) in place through waves; returns y (n, C).

        Raises:
          ModelError: y or the state have another shape or type than was said.
          FloatingPointError: the state is not finite.
        """
        y = np.empty((len(x), self.output), np.float32)
        start = 0
        for rows, m, fresh in waves:
            if fresh is not None:
                a[fresh] = 0
            if not m:
                continue
            part = slice(start, start + m)
            y[part], state = self._rows(x[part], a[rows, : self.state])
            a[rows] = np.concatenate([state, y[part]], axis=1)
            start += m
        return y

    def _rows(self, x: NDArray[Any], state: Floats) -> tuple[Floats, Floats]:
        n, batch = len(x), self.batch
        if batch is None or n == batch:
            return self._checked(x, np.ascontiguousarray(state))
        y = np.empty((n, self.output), np.float32)
        after = np.empty((n, self.state), np.float32)
        for low in range(0, n, batch):
            m = min(batch, n - low)
            full_x = np.zeros((batch, *x.shape[1:]), x.dtype)
            full_state = np.zeros((batch, self.state), np.float32)
            full_x[:m], full_state[:m] = x[low : low + m], state[low : low + m]
            full_y, full_after = self._checked(full_x, full_state)
            y[low : low + m], after[low : low + m] = full_y[:m], full_after[:m]
        return y, after

    def _checked(self, x: NDArray[Any], state: Floats) -> tuple[Floats, Floats]:
        """One call of the step."""
        n = len(x)
        result = self._call(x, state)
        if not isinstance(result, tuple) or len(result) != 2:
            raise ModelError(f"the step gave a {type(result).__name__}, expected (y, state)")
        y, after = (
            _numbers(name, value, (n, size))
            for name, value, size in zip(
                ("y", "state"), result, (self.output, self.state), strict=True
            )
        )
        if not np.isfinite(after).all():
            raise FloatingPointError("the step gives a state that is not finite")
        return y, after

    def head(self, h: NDArray[Any]) -> Floats:
        """y as it is."""
        return h

    def readout(self, a: Floats) -> Floats:
        """y (n, C) of the steps that led to the rows a (n, state_size)."""
        return np.ascontiguousarray(a[:, self.state :])


def _numbers(name: str, value: Any, shape: tuple[int, ...]) -> Floats:
    try:
        array = rectangular(name, value)
    except InputError as error:
        raise ModelError(f"the step gave no array: {error}") from None
    if array.shape != shape or array.dtype.kind not in "fiub":
        raise ModelError(
            f"the step gave {name} of shape {array.shape} and type {array.dtype}, expected "
            f"{shape} numbers"
        )
    return array.astype(np.float32, copy=False)
