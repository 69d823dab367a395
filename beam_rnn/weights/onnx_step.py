"""ONNX models with an explicit state -> step models, run by ONNX Runtime."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beam_rnn.errors import ModelError, WeightsError
from beam_rnn.nn.parameters import Floats
from beam_rnn.nn.step_model import StepModel
from beam_rnn.weights import files

_TYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64,
    "tensor(int32)": np.int32, "tensor(bool)": np.bool_,
}  # fmt: skip
_LARGEST = 1 << 22  # numbers of a stream in one tensor
_EXACT = 1 << 24  # whole numbers up to which float32 has them all
_BATCHES = (0, 16, 1)  # rows of a call; 0: any number


def from_onnx_step(
    path: files.PathLike,
    state: Mapping[str, str],
    *,
    constants: Mapping[str, ArrayLike] | None = None,
    shapes: Mapping[str, Sequence[int | None]] | None = None,
    output: str | None = None,
    ids: int | None = None,
    labels: Sequence[str] | None = None,
    vocabulary: Sequence[str] | None = None,
    lookahead: int = 0,
    card: dict[str, Any] | None = None,
) -> StepModel:
    """Makes a step model of an ONNX model that takes its state and gives the next.

    Such are voice activity detectors, streaming transducers, and keyword spotters. The model runs
    on one thread of ONNX Runtime, its session made once per process, many streams in a call. A
    state tensor of whole numbers or booleans is kept as float32, so up to 2^24.

    Whether the bits of a row depend on the company in its call is tried when the session is made,
    on random rows: if so, calls have 16 rows, filled up; if that does not help either, one row.

    Args:
      path: on any filesystem that Beam knows.
      state: the outputs that become the inputs of the next step, {input: output, ...}.
      constants: other inputs, the same for every step, such as a rate.
      shapes: of inputs, None for the axis of the batch; needed where the model has not exactly one
        axis of unknown length, {"state": (2, None, 128), ...}.
      output: y; default: the first output that is no state. Its axes behind the batch are
        flattened.
      ids: how many ids there are, where x are ids.
      labels, vocabulary, lookahead, card: as for ``Network``.

    Raises:
      WeightsError: a broken file, a name that the model does not have, a shape or type that can
        not be a state; the message names it and what the model has.
      ImportError: the package onnxruntime is not installed.
    """
    name = os.fspath(path)
    data = files.read(name)
    try:
        session = _session(name, data)
    except ImportError as error:
        raise files.needs("onnxruntime", "onnx", "from_onnx_step") from error
    inputs = {value.name: value for value in session.get_inputs()}
    outputs = {value.name: value for value in session.get_outputs()}
    for kind, wanted, known in (
        ("input", state, inputs),
        ("input", constants or {}, inputs),
        ("input", shapes or {}, inputs),
        ("output", state.values(), outputs),
        ("output", [output] if output else [], outputs),
    ):
        missing = [key for key in wanted if key not in known]
        if missing:
            raise WeightsError(f"{name}: no {kind} {missing[0]!r}, the model has {sorted(known)}")
    if not state:
        raise WeightsError(f"{name}: state is empty: a model without one needs no streams")
    free = [key for key in inputs if key not in state and key not in (constants or {})]
    if len(free) != 1:
        raise WeightsError(
            f"{name}: the inputs {free} are neither state nor constant, expected one: x"
        )
    answers = [key for key in outputs if key not in state.values()]
    if not answers:
        raise WeightsError(f"{name}: every output is a state, expected one that is y")
    tensors = {
        key: _tensor(name, inputs[key], (shapes or {}).get(key)) for key in [free[0], *state]
    }
    sizes = [math.prod(tensors[key].inner) for key in state]
    step = _OnnxStep(
        name,
        hashlib.sha256(data).hexdigest(),
        tensors[free[0]],
        tuple(tensors[key] for key in state),
        tuple(state.values()),
        tuple((key, np.asarray(value)) for key, value in (constants or {}).items()),
        output or answers[0],
    )
    y = step.trial(session)
    settings = (sorted(state.items()), [tensors[key] for key in state], step.output)
    told = [(key, value.dtype.str, value.tolist()) for key, value in step.constants]
    x = tensors[free[0]].inner
    return StepModel(
        step,
        state=sum(sizes),
        output=y.shape[1],
        version=f"{step.digest} {settings} {told}",
        shape=x,
        ids=(ids,) * math.prod(x) if ids and x else ids,
        labels=labels,
        vocabulary=vocabulary,
        lookahead=lookahead,
        card=card or {},
    )


class _Tensor(NamedTuple):
    """An input that has a row for each stream."""

    name: str
    kind: str
    batch: int  # the axis of the streams
    inner: tuple[int, ...]  # the other axes

    def given(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows (n, ...) as the model takes them."""
        kind: Any = _TYPES[self.kind]
        array = rows.reshape(len(rows), *self.inner).astype(kind, copy=False)
        return np.ascontiguousarray(np.moveaxis(array, 0, self.batch))

    def taken(self, array: NDArray[Any], n: int, source: str) -> Floats:
        """What the model gave, as rows (n, size).

        Raises:
          ModelError: its shape is not that of the input, or it has numbers that float32 has not.
        """
        shape = (*self.inner[: self.batch], n, *self.inner[self.batch :])
        if array.shape != shape:
            raise ModelError(
                f"output {source!r} has shape {array.shape}, the state {self.name!r} {shape}"
            )
        if array.dtype.kind in "iu" and array.size and np.abs(array).max() > _EXACT:
            raise ModelError(f"output {source!r} has whole numbers beyond 2^24: no state")
        return np.moveaxis(array, self.batch, 0).reshape(n, -1).astype(np.float32)


def _tensor(path: str, value: Any, told: Sequence[int | None] | None) -> _Tensor:
    if value.type not in _TYPES:
        raise WeightsError(
            f"{path}: input {value.name!r} is a {value.type}, expected one of {', '.join(_TYPES)}"
        )
    shape = value.shape if told is None else list(told)
    unknown = [axis for axis, length in enumerate(shape) if not isinstance(length, int)]
    if len(unknown) != 1:
        raise WeightsError(
            f"{path}: input {value.name!r} has shape {value.shape}: say its lengths, with None for "
            f"the axis of the batch, as in shapes={{{value.name!r}: (None, ...)}}"
        )
    inner = tuple(int(length) for length in shape if isinstance(length, int))
    if not 1 <= math.prod(inner) <= _LARGEST or min(inner, default=1) < 1:
        raise WeightsError(f"{path}: input {value.name!r} of shape {shape}: too large or empty")
    return _Tensor(value.name, value.type, unknown[0], inner)


_sessions: dict[str, tuple[Any, int]] = {}  # of this process, with the rows of a call
_lock = threading.Lock()


@dataclass(frozen=True)
class _OnnxStep:
    """The step of an ONNX file; its session is made once per process."""

    path: str
    digest: str
    x: _Tensor
    states: tuple[_Tensor, ...]
    next: tuple[str, ...]  # the outputs that become them
    constants: tuple[tuple[str, NDArray[Any]], ...]
    output: str

    def step(self, x: NDArray[Any], state: Floats) -> tuple[Floats, Floats]:
        """(n, ...), (n, S) -> y (n, C) and the next state."""
        session, batch = self._opened()
        return self._in_calls(session, batch, x, state)

    def trial(self, session: Any) -> Floats:
        """One step of a row of zeros.

        Raises:
          WeightsError: the model can not step, or what it gives is no state of its own.
        """
        zeros = np.zeros((1, *self.x.inner), np.int64), np.zeros((1, self._size), np.float32)
        try:
            return self._run(session, *zeros)[0]
        except Exception as error:  # whatever ONNX Runtime raises
            raise WeightsError(f"{self.path}: a step of zeros fails: {_line(error)}") from error

    @property
    def _size(self) -> int:
        return sum(math.prod(tensor.inner) for tensor in self.states)

    def _opened(self) -> tuple[Any, int]:
        key = f"{self.path} {self.digest} {self.x} {self.states}"
        with _lock:
            if key not in _sessions:
                data = files.read(self.path)
                if hashlib.sha256(data).hexdigest() != self.digest:
                    raise WeightsError(f"{self.path}: the file has changed since it was read")
                session = _session(self.path, data)
                _sessions[key] = session, self._batch(session)
            return _sessions[key]

    def _batch(self, session: Any) -> int:
        """The first number of rows of a call for which company does not matter."""
        draw = np.random.default_rng(0)
        whole = self.x.kind in ("tensor(int64)", "tensor(int32)", "tensor(bool)")
        x: Floats = np.zeros((24, *self.x.inner), np.float32)
        if not whole:
            x += draw.normal(0, 0.1, x.shape)
        parts = []
        for tensor in self.states:
            size = math.prod(tensor.inner)
            kept = tensor.kind in ("tensor(float)", "tensor(float16)")
            parts.append(draw.normal(0, 0.3, (24, size)) if kept else np.zeros((24, size)))
        state: Floats = np.concatenate(parts, axis=1).astype(np.float32)
        for batch in _BATCHES[:-1]:
            try:
                if self._holds(session, batch, x, state):
                    return batch
            except Exception:  # a model of a fixed number of rows: one, or the call itself tells
                continue
        return _BATCHES[-1]

    def _holds(self, session: Any, batch: int, x: Floats, state: Floats) -> bool:
        def bits(rows: Any) -> list[bytes]:
            y, after = self._in_calls(session, batch, x[rows], state[rows])
            return [a.tobytes() + b.tobytes() for a, b in zip(y, after, strict=True)]

        alone = [bits(slice(i, i + 1))[0] for i in range(len(x))]
        order = np.random.default_rng(1).permutation(len(x))
        cuts = [slice(0, 2), slice(1, 4), slice(3, 8), slice(5, 21), slice(0, 24)]
        kept = all(bits(cut) == alone[cut] for cut in cuts)
        return kept and bits(order) == [alone[i] for i in order]

    def _in_calls(
        self, session: Any, batch: int, x: NDArray[Any], state: Floats
    ) -> tuple[Floats, Floats]:
        if not batch or len(x) == batch:
            return self._run(session, x, state)
        parts = []
        for low in range(0, len(x), batch):
            rows = slice(low, low + batch)
            m = len(x[rows])
            fill = ((0, batch - m), (0, 0))
            full_x = np.pad(x[rows], (fill[0], *((0, 0) for _ in self.x.inner)))
            y, after = self._run(session, full_x, np.pad(state[rows], fill))
            parts.append((y[:m], after[:m]))
        return (
            np.concatenate([y for y, _ in parts]),
            np.concatenate([after for _, after in parts]),
        )

    def _run(self, session: Any, x: NDArray[Any], state: Floats) -> tuple[Floats, Floats]:
        n, given, start = len(x), {self.x.name: self.x.given(x)}, 0
        given.update(self.constants)
        for tensor in self.states:
            stop = start + math.prod(tensor.inner)
            given[tensor.name] = tensor.given(state[:, start:stop])
            start = stop
        y, *after = session.run([self.output, *self.next], given)
        if y.shape[:1] != (n,):
            raise ModelError(f"output {self.output!r} has shape {y.shape}, expected ({n}, ...)")
        rows = [
            tensor.taken(array, n, source)
            for tensor, array, source in zip(self.states, after, self.next, strict=True)
        ]
        return y.reshape(n, -1).astype(np.float32), np.concatenate(rows, axis=1)


def _session(path: str, data: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors are raised
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        for value in (*session.get_inputs(), *session.get_outputs()):
            repr((value.name, value.shape))  # raises for a name that is no UTF-8
        return session
    except Exception as error:  # its exceptions have no common base
        raise WeightsError(f"{path}: expected an ONNX model: {_line(error)}") from error


def _line(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())[:500]
