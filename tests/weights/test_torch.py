"""from_torch against the equations of the PyTorch documentation, in float64."""

from __future__ import annotations

import io
import pickle
import re
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from beam_rnn import nn
from beam_rnn.errors import WeightsError
from beam_rnn.weights import from_torch
from tests.weights.builders import STEPS, TOLERANCE, normal

D, H = 3, 5
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
Arrays = dict[str, np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def state_dict(
    kind: str, *, name: str = "rnn", D: int = D, H: int = H, depth: int = 1, both: bool = False,
    bias: bool = True, seed: int = 0,
) -> Arrays:  # fmt: skip
    """Parameters of nn.RNN, nn.GRU or nn.LSTM, named as PyTorch names them."""
    arrays: Arrays = {}
    for k in range(depth):
        for suffix in [f"_l{k}", f"_l{k}_reverse"][: 1 + both]:
            shapes = {"weight_ih": (D,), "weight_hh": (H,), "bias_ih": (), "bias_hh": ()}
            for parameter, shape in shapes.items():
                if bias or parameter.startswith("weight"):
                    seed += 1
                    full = f"{name}.{parameter}{suffix}" if name else parameter + suffix
                    arrays[full] = normal(seed, GATES[kind] * H, *shape)
        D = H * (1 + both)
    return arrays


def linear(name: str, C: int, H: int, seed: int = 50) -> Arrays:
    return {f"{name}.weight": normal(seed, C, H), f"{name}.bias": normal(seed + 1, C)}


def reference(
    kind: str, p: Mapping[str, np.ndarray], x: np.ndarray, suffix: str, activation: str = "tanh"
) -> np.ndarray:
    """One layer in one direction over x (T, D): the equations of the documentation."""
    get = {key.rsplit(".", 1)[-1]: value.astype(np.float64) for key, value in p.items()}
    zero = np.zeros(1)
    W_i, W_h = get[f"weight_ih{suffix}"], get[f"weight_hh{suffix}"]
    b_i, b_h = get.get(f"bias_ih{suffix}", zero), get.get(f"bias_hh{suffix}", zero)
    h = c = np.zeros(W_h.shape[1])
    steps = []
    for x_t in x:
        u, v = W_i @ x_t + b_i, W_h @ h + b_h
        if kind == "RNN":
            h = np.tanh(u + v) if activation == "tanh" else np.maximum(u + v, 0)
        elif kind == "GRU":
            (u_r, u_z, u_n), (v_r, v_z, v_n) = np.split(u, 3), np.split(v, 3)
            r, z = sigmoid(u_r + v_r), sigmoid(u_z + v_z)
            n = np.tanh(u_n + r * v_n)
            h = (1 - z) * n + z * h
        else:
            i, f, g, o = np.split(u + v, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        steps.append(h)
    return np.array(steps)


def stacked(
    kind: str, p: Arrays, x: np.ndarray, depth: int, both: bool, activation: str
) -> np.ndarray:
    for k in range(depth):
        forward = reference(kind, p, x, f"_l{k}", activation)
        if both:
            backward = reference(kind, p, x[::-1], f"_l{k}_reverse", activation)[::-1]
            x = np.concatenate([forward, backward], axis=1)
        else:
            x = forward
    return x


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.safetensors"


def written(path: Path, arrays: Arrays) -> Path:
    safetensors.numpy.save_file(arrays, path)
    return path


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(
    ("kind", "activation"), [("RNN", "tanh"), ("RNN", "relu"), ("GRU", "tanh"), ("LSTM", "tanh")]
)
def test_cells(path: Path, kind: str, activation: str, depth: int, both: bool, bias: bool) -> None:
    arrays = state_dict(kind, depth=depth, both=both, bias=bias)
    modules = [("rnn", activation)] if kind == "RNN" else None
    net = from_torch(written(path, arrays), modules=modules)
    assert len(net.layers) == depth
    x = normal(7, STEPS, D, scale=1)
    expected = stacked(kind, arrays, x.astype(np.float64), depth, both, activation)
    np.testing.assert_allclose(net.unroll(x)[0], expected, atol=TOLERANCE, rtol=0)


def tagger() -> Arrays:
    return {
        "tok.weight": normal(1, 11, D),
        **state_dict("LSTM", name="model.enc", depth=2),
        **linear("out", 4, H),
    }


def test_order_is_inferred_from_the_widths(path: Path) -> None:
    """A safetensors file lists its tensors by type and name: the order of the modules is lost."""
    arrays = tagger()
    net = from_torch(written(path, arrays), labels="abcd")
    assert [type(layer) for layer in net.layers] == [nn.Embedding, nn.LSTM, nn.LSTM, nn.Dense]
    ids = np.random.default_rng(0).integers(11, size=STEPS)
    x = arrays["tok.weight"][ids].astype(np.float64)
    h = stacked("LSTM", {k: v for k, v in arrays.items() if "enc" in k}, x, 2, False, "tanh")
    expected = h @ arrays["out.weight"].T + arrays["out.bias"]
    np.testing.assert_allclose(net.unroll(ids)[0], expected, atol=TOLERANCE, rtol=0)
    assert from_torch(arrays).fingerprint == net.fingerprint


def test_order_and_activation_that_are_told(path: Path) -> None:
    net = from_torch(written(path, tagger()), modules=["tok", "model.enc", ("out", "softmax")])
    assert net.layers[-1].activation == "softmax"
    assert net.unroll(np.arange(5))[0].sum(axis=1) == pytest.approx(1)


def test_cell_modules_and_bare_names(path: Path) -> None:
    """nn.LSTMCell has no layer numbers; the state dict of nn.GRU itself no prefix."""
    arrays = state_dict("LSTM")
    whole = from_torch(arrays)
    cell = {name.replace("_l0", ""): value for name, value in arrays.items()}
    assert from_torch(written(path, cell)).fingerprint == whole.fingerprint
    bare = {name.removeprefix("rnn."): value for name, value in arrays.items()}
    assert from_torch(bare).fingerprint == whole.fingerprint


def test_lone_weight() -> None:
    """A weight without bias is an Embedding or a Linear, by what follows it."""
    arrays = {"a.weight": normal(1, 9, D), **state_dict("GRU")}
    assert isinstance(from_torch(arrays, modules=["a", "rnn"]).layers[0], nn.Embedding)
    arrays = {"a.weight": normal(1, D, 9), **state_dict("GRU")}
    assert isinstance(from_torch(arrays, modules=["a", "rnn"]).layers[0], nn.Dense)
    arrays = {**state_dict("GRU"), "z.weight": normal(1, 2, H)}
    assert isinstance(from_torch(arrays, modules=["rnn", "z"]).layers[1], nn.Dense)
    square = {"a.weight": normal(1, D, D), **state_dict("GRU")}
    for modules in (None, ["a", "rnn"]):
        with pytest.raises(WeightsError, match="modules"):
            from_torch(square, modules=modules)
    for role, kind in (("embedding", nn.Embedding), ("linear", nn.Dense)):
        assert isinstance(from_torch(square, modules=[("a", role), "rnn"]).layers[0], kind)


def test_half_and_double_precision() -> None:
    arrays = state_dict("GRU")
    half = {name: value.astype(np.float16) for name, value in arrays.items()}
    double = {name: value.astype(np.float64) for name, value in half.items()}
    assert from_torch(half).fingerprint == from_torch(double).fingerprint


GRU = state_dict("GRU")
WRONG: dict[str, tuple[Mapping[str, Any], dict[str, Any], str]] = {
    "nonlinearity": (
        state_dict("RNN"), {},
        r"module 'rnn' is an nn.RNN, whose nonlinearity is not in the file: say \('rnn', 'tanh'\)",
    ),
    "role of a cell": (GRU, {"modules": [("rnn", "relu")]}, "'rnn' is GRU: 'relu' does not apply"),
    "role": (GRU, {"modules": [("rnn", "gelu")]}, "module 'rnn': 'gelu' is not one of"),
    "projection": (
        {**state_dict("LSTM"), "rnn.weight_hr_l0": normal(1, 2, H)}, {},
        r"'rnn.weight_hr_l0' \(proj_size\) is not supported",
    ),
    "foreign parameter": (
        {**GRU, "rnn.weight_g": normal(1, 2)}, {}, "'rnn.weight_g' is not supported"
    ),
    "norm": ({**GRU, "ln.weight": normal(1, H), "ln.bias": normal(1, H)}, {}, "'ln.weight' with"),
    "convolution": (
        {**GRU, "conv.weight": normal(1, D, D, 3)}, {},
        r"'conv.weight' with shape \(3, 3, 3\) is not supported, expected parameters of RNN, GRU",
    ),
    "no weight": ({**GRU, "a.bias": normal(1, 3)}, {}, "'a.weight' is missing"),
    "no hidden bias": (
        {k: v for k, v in GRU.items() if k != "rnn.bias_hh_l0"}, {}, "'rnn.bias_hh_l0' is missing"
    ),
    "no weight_hh": (
        {k: v for k, v in GRU.items() if "weight_hh" not in k}, {}, "'rnn.weight_hh_l0' is missing"
    ),
    "layer missing": (
        {k: v for k, v in state_dict("GRU", depth=3).items() if "_l1" not in k}, {},
        "'rnn.weight_ih_l1': the layers of the stack are not complete",
    ),
    "direction missing": (
        {k: v for k, v in state_dict("GRU", depth=2, both=True).items() if "_l1_r" not in k}, {},
        "the layers of the stack are not complete",
    ),
    "rows": (
        {**GRU, "rnn.weight_hh_l0": normal(1, 2 * H, H)}, {},
        r"'rnn.weight_hh_l0' has shape \(10, 5\), expected \(H, H\), \(3\*H, H\) or \(4\*H, H\)",
    ),
    "width": (
        {**GRU, "rnn.weight_ih_l0": normal(1, 4 * H, D)}, {},
        r"rnn.weight_ih_l0 has shape \(20, 3\), expected \(15, D\)",
    ),
    "nan": (
        {**GRU, "rnn.bias_ih_l0": np.full(3 * H, np.nan, np.float32)}, {},
        "rnn.bias_ih_l0 holds values that are not finite",
    ),
    "too large for float32": (
        {**GRU, "rnn.bias_ih_l0": np.full(3 * H, 1e300)}, {}, "are not finite in float32"
    ),
    "integers": (
        {**GRU, "rnn.bias_ih_l0": np.ones(3 * H, int)}, {}, "holds int64, expected float16"
    ),
    "complex": ({**GRU, "rnn.bias_ih_l0": np.ones(3 * H, complex)}, {}, "holds complex128"),
    "objects": ({**GRU, "epoch": {"a": 1}}, {}, "'epoch' holds dict, expected an array"),
    "no module": (GRU, {"modules": ["gru"]}, r"module 'gru' is missing, found \['rnn'\]"),
    "module left out": (
        {**GRU, **linear("two", 2, H)}, {"modules": ["rnn"]},
        r"'two.weight' belongs to no module of \['rnn'\]; pass a dict without it",
    ),
    "order": (
        {**GRU, **linear("two", 2, 9)}, {"modules": ["rnn", "two"]},
        "the network: layer 1: Dense.W_y takes 9 features",
    ),
    "no order": (
        {**GRU, **linear("two", 2, 9)}, {},
        r"modules \['rnn', 'two'\]: no order fits with a recurrent module; give it with modules=",
    ),
    "two orders": (
        {**state_dict("GRU", D=H), **linear("two", H, H)}, {},
        r"modules \['rnn', 'two'\]: more than one order fits; give it with modules=",
    ),
    "no cell": (linear("two", 2, H), {}, "no order fits with a recurrent module"),
    "many": (
        {k: v for i in range(9) for k, v in linear(f"l{i}", H, H).items()}, {},
        "9 modules: give their order with modules=",
    ),
    "embedding with bias": (
        {**GRU, **linear("e", 9, D)}, {"modules": [("e", "embedding"), "rnn"]},
        "'e.bias': an Embedding has no bias",
    ),
    "nothing": ({}, {}, r"modules \[\]: no order fits"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_refused_by_name(name: str) -> None:
    arrays, options, message = WRONG[name]
    with pytest.raises(WeightsError, match=message) as caught:
        from_torch(arrays, **options)
    assert str(caught.value).startswith("the state dict: ")


def test_errors_of_a_file_name_it(path: Path) -> None:
    with pytest.raises(WeightsError, match=f"{re.escape(str(path))}: module 'rnn' is an nn.RNN"):
        from_torch(written(path, state_dict("RNN")))
    path.write_bytes(pickle.dumps(state_dict("RNN")))
    with pytest.raises(WeightsError, match=f"{re.escape(str(path))}: expected a safetensors file"):
        from_torch(path)


# Files of torch itself, which these tests do without.


def test_pt_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"m.pt needs torch: pip install 'beam-rnn\[torch\]'"):
        from_torch(tmp_path / "m.pt")


class Tensor:
    """What from_torch asks of a tensor."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> np.ndarray:
        if self.value.dtype == np.int8:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.value


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """A stand-in for torch whose files say which object they hold."""
    fake = types.SimpleNamespace(content=None)

    def load(file: io.BytesIO, *, map_location: str, weights_only: bool) -> Any:
        assert (map_location, weights_only) == ("cpu", True)
        if file.read() != b"good":
            raise pickle.UnpicklingError("Weights only load failed")
        return fake.content

    fake.load = load
    monkeypatch.setitem(sys.modules, "torch", fake)  # type: ignore[arg-type]
    return fake


def test_pt_files_are_read_with_weights_only(tmp_path: Path, torch: Any) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(b"good")
    tensors = {name: Tensor(value) for name, value in GRU.items()}
    for torch.content in (tensors, {"state_dict": tensors, "epoch": 3}):
        assert from_torch(path).fingerprint == from_torch(GRU).fingerprint
    torch.content = [1]
    with pytest.raises(WeightsError, match=r"m\.pt: holds list, expected a state dict"):
        from_torch(path)
    torch.content = {"rnn.weight_ih_l0": Tensor(np.zeros(3, np.int8))}
    with pytest.raises(WeightsError, match=r"'rnn\.weight_ih_l0' is not an array .* BFloat16"):
        from_torch(path)
    path.write_bytes(b"bad")
    with pytest.raises(WeightsError, match=r"m\.pt: cannot be read with weights_only=True: W"):
        from_torch(path)
