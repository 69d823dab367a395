"""Models of others as files of ours, each checked against its own runtime on random input."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import OptionError, WeightsError
from beam_rnn.nn import Network
from beam_rnn.nn.parameters import Floats
from beam_rnn.weights import from_keras, from_npz, from_onnx, from_torch, save

ENDS = {
    ".onnx": "onnx",
    ".keras": "keras",
    ".h5": "keras",
    ".hdf5": "keras",
    ".pt": "torch",
    ".pth": "torch",
    ".safetensors": "torch",
    ".npz": "npz",
}
"""How the name of a file ends -> what wrote it."""

SEQUENCES = 3
NO_RUNTIME = {
    "torch": "a file of parameters does not say how they are used",
    "npz": "an .npz file does not say how its arrays are used",
}


def kind_of(path: str) -> str:
    """What wrote a file, by its name.

    Raises:
      OptionError: the name does not say it.
    """
    end = Path(path).suffix.lower()
    if end not in ENDS:
        raise OptionError(
            f"{path}: its name does not say what it is: say --source onnx, keras, torch or npz"
        )
    return ENDS[end]


def converted(
    source: str,
    target: str,
    kind: str | None = None,
    *,
    layers: str | None = None,
    steps: int = 50,
    tolerance: float = 1e-5,
    **options: Any,
) -> str:
    """Reads a model, compares it with its own runtime, and writes it; returns what to say of it.

    Args:
      source: an ONNX or Keras model, parameters of a PyTorch model, or arrays (.npz).
      target: where our file is written.
      kind: "onnx", "keras", "torch" or "npz"; None: as the name of the source ends.
      layers: of an .npz, the path of JSON that tells its layers; see ``from_npz``.
      steps: inputs of a random sequence.
      tolerance: by how much y may differ.
      options: of the reader, such as ``labels``; those that are None or empty are left out.

    Raises:
      WeightsError: it cannot be read or written, or y differs; then nothing is written.
      OptionError: an option is missing or wrong.
    """
    kind = kind or kind_of(source)
    if kind not in set(ENDS.values()):
        raise OptionError(f"--source is {kind}, expected onnx, keras, torch or npz")
    given = {name: value for name, value in options.items() if value}
    readers: dict[str, Callable[..., Network]] = {
        "onnx": from_onnx,
        "keras": from_keras,
        "torch": from_torch,
        "npz": from_npz,
    }
    if kind == "npz":
        if layers is None:
            raise OptionError("an .npz file needs --layers FILE.json, a list of its layers")
        given["layers"] = json.loads(Path(layers).read_text("utf-8"))
    try:
        net = readers[kind](source, **given)
    except TypeError as error:
        raise OptionError(f"{kind}: {error}") from None
    said = _checked(kind, source, net, given.get("output"), steps, tolerance)
    save(net, target)
    return f"{target}: {net.fingerprint}, {net.state_size} values of state for a stream; {said}"


def _checked(
    kind: str, source: str, net: Network, output: str | None, steps: int, tolerance: float
) -> str:
    """What the check found.

    Raises:
      WeightsError: y differs by more than the tolerance.
    """
    if kind in NO_RUNTIME:
        return f"not checked: {NO_RUNTIME[kind]}"
    try:
        runtime, run = (_onnx if kind == "onnx" else _keras)(source, net, output)
    except ImportError as error:
        return f"not checked: {error.name} is not installed"
    worst = 0.0
    for x in _random(net, steps):
        expected, _ = net.unroll(x)
        try:
            found = list(run(x))
        except Exception as error:  # whatever the runtime of another library raises
            return f"not checked: {runtime} does not run it: {' '.join(str(error).split())[:200]}"
        worst = max(worst, min((_difference(expected, y) for y in found), default=np.inf))
    if not worst <= tolerance:
        raise WeightsError(
            f"{source}: y differs from that of {runtime} by {worst:.2g}, more than {tolerance:g}: "
            "nothing was written"
        )
    return (
        f"y differs from that of {runtime} by {worst:.2g} at most "
        f"({SEQUENCES} random sequences of {steps} inputs)"
    )


def _random(net: Network, steps: int) -> Iterator[NDArray[Any]]:
    """Random sequences of what the network reads."""
    draw = np.random.default_rng(0)
    shape = (steps, *net.inputs.shape)
    for _ in range(SEQUENCES):
        if net.inputs.limits is None:
            yield draw.normal(size=shape).astype(np.float32)
        else:
            most = [limit or 2 for limit in net.inputs.limits]
            yield draw.integers(0, most if net.inputs.shape else most[0], shape)


def _difference(expected: Floats, y: NDArray[Any]) -> float:
    """The largest difference of two answers; of the last one where there is no other."""
    rows = np.asarray(y).reshape(-1, expected.shape[1]) if y.size % expected.shape[1] == 0 else y
    if len(rows) == 1:
        expected = expected[-1:]
    if rows.shape != expected.shape:
        return float("inf")
    return float(np.abs(rows - expected).max())


Run = Callable[[NDArray[Any]], Iterator[NDArray[Any]]]


def _keras(source: str, net: Network, output: str | None) -> tuple[str, Run]:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    model: list[Any] = []

    def run(x: NDArray[Any]) -> Iterator[NDArray[Any]]:
        if not model:
            model.append(keras.saving.load_model(source, compile=False))
        yield np.asarray(model[0](x[None]))

    return f"Keras {keras.__version__}", run


def _onnx(source: str, net: Network, output: str | None) -> tuple[str, Run]:
    import onnxruntime

    session: list[Any] = []

    def run(x: NDArray[Any]) -> Iterator[NDArray[Any]]:
        if not session:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            session.append(onnxruntime.InferenceSession(source, options))
        (model,) = session
        found = False
        names = [output or model.get_outputs()[0].name]
        failed: Exception | None = None
        for feed in _feeds(model.get_inputs(), x):
            try:
                (y,) = model.run(names, feed)
            except Exception as error:  # where time is another axis of its input
                failed = failed or error
            else:
                found = True
                yield y
        if failed is not None and not found:
            raise failed

    return f"ONNX Runtime {onnxruntime.__version__}", run


_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


def _feeds(inputs: Sequence[Any], x: NDArray[Any]) -> Iterator[dict[str, NDArray[Any]]]:
    """What the inputs of a graph may be for one sequence: time first, or batch first.

    The first input is the sequence; lengths are its length, states begin at zero.
    """
    first, *others = inputs
    rest = {}
    for other in others:
        kind = _TYPES[other.type]
        shape = [size if isinstance(size, int) else 1 for size in other.shape]
        lengths = len(shape) == 1 and np.issubdtype(kind, np.integer)
        rest[other.name] = np.full(shape, len(x) if lengths else 0, kind)
    sizes = [size if isinstance(size, int) else None for size in first.shape]
    for axis in (1, 0):
        shaped = np.expand_dims(x, axis) if len(sizes) > x.ndim else x
        fits = (
            all(size in (None, n) for size, n in zip(sizes, shaped.shape, strict=False))
            and len(sizes) == shaped.ndim
        )
        if fits:
            yield {first.name: shaped.astype(_TYPES[first.type]), **rest}
