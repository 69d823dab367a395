"""from_npz: the layouts of other libraries, each against its equations in float64."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beam_rnn import nn
from beam_rnn.errors import WeightsError
from beam_rnn.weights import from_npz, from_torch
from tests.weights.builders import STEPS, TOLERANCE, normal

D, H = 3, 4
X = normal(0, STEPS, D, scale=1)
Arrays = dict[str, np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.npz"


def saved(path: Path, arrays: Mapping[str, Any]) -> Path:
    np.savez(path, **arrays)
    return path


def check(path: Path, arrays: Arrays, layer: dict[str, Any], step: Callable[..., Any]) -> None:
    """The layer over X gives what ``step(x, h, c) -> h, c`` gives."""
    net = from_npz(saved(path, arrays), [layer])
    h = c = np.zeros(H)
    expected = []
    for x in X.astype(np.float64):
        h, c = step(x, h, c)
        expected.append(h)
    np.testing.assert_allclose(net.unroll(X)[0], expected, atol=TOLERANCE, rtol=0)


def test_flax_lstm(path: Path) -> None:
    """A kernel for each gate, (in, H); biases on the hidden side alone."""
    p = {f"i{g}": normal(i, D, H) for i, g in enumerate("ifgo")}
    p |= {f"h{g}": normal(9 + i, H, H) for i, g in enumerate("ifgo")}
    p |= {f"b{g}": normal(19 + i, H) for i, g in enumerate("ifgo")}

    def step(x: Any, h: Any, c: Any) -> Any:
        i, f, g, o = (x @ p[f"i{k}"] + h @ p[f"h{k}"] + p[f"b{k}"] for k in "ifgo")
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    layer = {"layer": "LSTM", "transposed": True, "W_x": [f"i{g}" for g in "ifgo"],
             "W_a": [f"h{g}" for g in "ifgo"], "b_a": [f"b{g}" for g in "ifgo"]}  # fmt: skip
    check(path, p, layer, step)


def test_flax_gru(path: Path) -> None:
    p = {f"i{g}": normal(i, D, H) for i, g in enumerate("rzn")}
    p |= {f"h{g}": normal(9 + i, H, H) for i, g in enumerate("rzn")}
    p |= {f"b{g}": normal(19 + i, H) for i, g in enumerate("rzn")}
    p["hb"] = normal(30, H)

    def step(x: Any, h: Any, c: Any) -> Any:
        r, z = (sigmoid(x @ p[f"i{k}"] + p[f"b{k}"] + h @ p[f"h{k}"]) for k in "rz")
        n = np.tanh(x @ p["in"] + p["bn"] + r * (h @ p["hn"] + p["hb"]))
        return (1 - z) * n + z * h, c

    layer = {"layer": "GRU", "transposed": True, "W_x": [f"i{g}" for g in "rzn"],
             "W_a": [f"h{g}" for g in "rzn"], "b": [f"b{g}" for g in "rzn"],
             "b_a": [None, None, "hb"]}  # fmt: skip
    check(path, p, layer, step)


def test_haiku_lstm_and_tf1(path: Path) -> None:
    """One matrix on [x, h], gates i, g, f, o, and 1 added to the forget gate at run time."""
    p = {"w": normal(1, D + H, 4 * H), "b": normal(2, 4 * H)}

    def step(x: Any, h: Any, c: Any) -> Any:
        i, g, f, o = np.split(np.concatenate([x, h]) @ p["w"] + p["b"], 4)
        c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    layer = {"layer": "LSTM", "W_xa": "w", "b": "b", "gates": "igfo", "transposed": True,
             "forget_bias": 1.0}  # fmt: skip
    check(path, p, layer, step)


def test_haiku_gru(path: Path) -> None:
    """Gates z, r, a; the reset acts before the product; z lets the new value in."""
    p = {"w_i": normal(1, D, 3 * H), "w_h": normal(2, H, 3 * H), "b": normal(3, 3 * H)}

    def step(x: Any, h: Any, c: Any) -> Any:
        u = x @ p["w_i"] + p["b"]
        v = h @ p["w_h"][:, : 2 * H]
        z, r = sigmoid(u[:H] + v[:H]), sigmoid(u[H : 2 * H] + v[H:])
        a = np.tanh(u[2 * H :] + (r * h) @ p["w_h"][:, 2 * H :])
        return (1 - z) * h + z * a, c

    layer = {"layer": "GRU", "W_x": "w_i", "W_a": "w_h", "b": "b", "gates": "zrn",
             "transposed": True, "reset_after": False, "z_keeps": False}  # fmt: skip
    check(path, p, layer, step)


@pytest.mark.parametrize("stored", ["i", "f"])
def test_coupled_gates(path: Path, stored: str) -> None:
    p = {"W_x": normal(1, 3 * H, D), "W_a": normal(2, 3 * H, H), "b": normal(3, 3 * H)}

    def step(x: Any, h: Any, c: Any) -> Any:
        s, g, o = np.split(p["W_x"] @ x + p["W_a"] @ h + p["b"], 3)
        s = sigmoid(s)
        i, f = (s, 1 - s) if stored == "i" else (1 - s, s)
        c = f * c + i * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    layer = {"layer": "LSTM", "W_x": "W_x", "W_a": "W_a", "b": "b", "gates": f"{stored}go"}
    check(path, p, layer, step)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_plain_cell(path: Path, activation: str) -> None:
    p = {"W_x": normal(1, H, D), "W_a": normal(2, H, H)}
    g = np.tanh if activation == "tanh" else lambda u: np.maximum(u, 0)
    layer = {"layer": "RNN", "W_x": "W_x", "W_a": "W_a", "activation": activation}
    check(path, p, layer, lambda x, h, c: (g(p["W_x"] @ x + p["W_a"] @ h), c))


def test_whole_network_as_pytorch_lays_it_out(path: Path) -> None:
    arrays = {
        "emb": normal(1, 9, D), "w_ih": normal(2, 3 * H, D), "w_hh": normal(3, 3 * H, H),
        "b_ih": normal(4, 3 * H), "b_hh": normal(5, 3 * H), "w": normal(6, 2, 2 * H),
        "b": normal(7, 2), "of no interest": np.array(["text"]),
    }  # fmt: skip
    gru = {"layer": "GRU", "W_x": "w_ih", "W_a": "w_hh", "b": "b_ih", "b_a": "b_hh"}
    net = from_npz(
        saved(path, arrays),
        [
            {"layer": "Embedding", "E": "emb"},
            {"layer": "Bidirectional", "forward": gru, "backward": gru},
            {"layer": "Dense", "W_y": "w", "b_y": "b", "activation": "softmax"},
        ],
        labels=["no", "yes"],
    )
    suffixes = ("_l0", "_l0_reverse")
    names = {"weight_ih": "w_ih", "weight_hh": "w_hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}
    state = {f"rnn.{k}{s}": arrays[v] for k, v in names.items() for s in suffixes}
    state |= {"emb.weight": arrays["emb"], "out.weight": arrays["w"], "out.bias": arrays["b"]}
    other = from_torch(state, modules=["emb", "rnn", ("out", "softmax")])
    assert net.fingerprint == other.fingerprint
    assert net.labels == ("no", "yes")


def test_dense_without_bias_and_transposed(path: Path) -> None:
    p = {"W_x": normal(1, H, D), "W_a": normal(2, H, H), "W": normal(3, H, 2)}
    cell = {"layer": "RNN", "W_x": "W_x", "W_a": "W_a"}
    dense = {"layer": "Dense", "W_y": "W", "transposed": True}
    net = from_npz(saved(path, p), [cell, dense])
    assert isinstance(net.layers[1], nn.Dense)
    np.testing.assert_array_equal(net.layers[1].W_y, p["W"].T)


GRU = {"layer": "GRU", "W_x": "W_x", "W_a": "W_a", "b": "b"}
ARRAYS = {
    "W_x": normal(1, 3 * H, D), "W_a": normal(2, 3 * H, H), "b": normal(3, 3 * H),
    "one": normal(4, H, D), "two": normal(5, H, D + 1), "flat": normal(6, 5),
    "ints": np.ones((3 * H, D), int), "nan": np.full(3 * H, np.nan, np.float32),
}  # fmt: skip
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "kind": ({"layer": "Conv"}, r"layers\[0\]: layer is 'Conv', expected one of"),
    "key": ({**GRU, "peepholes": "p"}, r"layers\[0\]: GRU has no 'peepholes'"),
    "missing": ({**GRU, "b": "c"}, "array 'c' is missing, found "),
    "no name": ({"layer": "GRU", "W_a": "W_a"}, "W_x is None, expected a name or 3 names"),
    "gates": ({**GRU, "gates": "ifgo"}, "gates are 'ifgo', expected the letters of 'rzn'"),
    "twice": ({**GRU, "gates": "rrz"}, "gates are 'rrz', expected the letters of 'rzn'"),
    "transposed": ({**GRU, "transposed": True}, r"expected \(3\*H, D\) and \(3\*H, H\); see trans"),
    "too few": ({**GRU, "W_x": ["one"]}, r"W_x is \['one'\], expected a name or 3 names"),
    "differ": ({**GRU, "W_x": ["one", "one", "two"]}, "W_x: the gates differ in shape"),
    "bias": ({**GRU, "b": "one"}, r"array 'one' has shape \(4, 3\), expected \(12,\)"),
    "few biases": ({**GRU, "b": [None]}, r"b is \[None\], expected a name or 3 names"),
    "axes": ({**GRU, "W_x": "flat"}, r"array 'flat' has shape \(5,\), expected \(N, M\)"),
    "ints": ({**GRU, "W_x": "ints"}, "array 'ints' holds int64, expected float16"),
    "nan": ({**GRU, "b": "nan"}, "array 'nan' holds values that are not finite"),
    "joint": (
        {"layer": "GRU", "W_xa": "W_x"}, r"W_xa gives rows \(12, 3\), expected \(3\*H, D \+ H\)"
    ),
    "b_n": ({**GRU, "b_n": "b"}, "GRU has no 'b_n'"),
    "activation": (
        {"layer": "RNN", "W_x": "one", "W_a": "sq", "activation": "sin"}, "RNN.activation is 'sin'"
    ),
    "two cells": (
        {"layer": "Bidirectional", "forward": GRU, "backward": {"layer": "Embedding", "E": "one"}},
        r"layers\[0\]: expected two cells",
    ),
    "no cell": ({"layer": "Bidirectional", "forward": GRU}, r"layers\[0\].backward: layer is None"),
    "embedding": ({"layer": "Embedding"}, "E is None, expected an array's name"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_refused_by_name(path: Path, name: str) -> None:
    layer, message = WRONG[name]
    saved(path, {**ARRAYS, "sq": normal(1, H, H)})
    with pytest.raises(WeightsError, match=message) as caught:
        from_npz(path, [layer])
    assert str(caught.value).startswith(f"{path}: ")


# Broken files. Nothing is ever unpickled.


class Evil:
    """An object that would say so if it were unpickled."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("unpickled",)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def with_header(text: str, version: bytes = b"\x01\x00") -> bytes:
    header = text.encode()
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + bytes(48)


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': %s}"
MEMBERS: dict[str, tuple[bytes, str]] = {
    "pickled": (npy(np.array([Evil()], object)), "array 'b' holds pickled objects: refused"),
    "empty": (b"", "array 'b': not a sound .npy array"),
    "foreign": (pickle.dumps(1), "array 'b': not a sound .npy array"),
    "truncated": (npy(normal(1, 3 * H))[:-1], r"array 'b': shape \(12,\) needs 48 bytes, found 47"),
    "huge": (with_header(HEADER % "(1 << 40,)"), "array 'b': not a sound .npy array"),
    "many": (
        with_header(HEADER % "(1099511627776, 4)"),
        r"array 'b': shape \(1099511627776, 4\) needs 17592186044416 bytes, found 48",
    ),
    "negative": (with_header(HEADER % "(-12,)"), "array 'b'"),
    "code": (with_header("__import__('os')"), "array 'b': not a sound .npy array"),
    "version": (
        with_header(HEADER % "(12,)", b"\x09\x00"),
        r"array 'b': .npy version \(9, 0\), expected \(1, 0\) or \(2, 0\)",
    ),
    "texts": (npy(np.array(["a"] * 12)), "array 'b' holds <U1, expected float16"),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_broken_members(path: Path, name: str) -> None:
    content, message = MEMBERS[name]
    with zipfile.ZipFile(path, "w") as file:
        for key in ("W_x", "W_a"):
            file.writestr(f"{key}.npy", npy(ARRAYS[key]))
        file.writestr("b.npy", content)
    with pytest.raises(WeightsError, match=message):
        from_npz(path, [GRU])


def test_column_order(path: Path) -> None:
    arrays = {**ARRAYS, "W_a": np.asfortranarray(ARRAYS["W_a"])}
    net = from_npz(saved(path, arrays), [GRU])
    np.testing.assert_array_equal(net.layers[0].W_a, ARRAYS["W_a"])


@pytest.mark.parametrize("content", [b"", b"x" * 100, pickle.dumps(Evil()), npy(normal(1, 3))])
def test_foreign_files(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"expected an .npz archive \(zip\)"):
        from_npz(path, [GRU])


def test_zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("b.npy", "w") as b:
        for _ in range(80):
            b.write(bytes(1 << 20))
    with pytest.raises(WeightsError, match=r"the archive claims \d+ bytes in a file of \d+: refus"):
        from_npz(path, [GRU])


@pytest.mark.slow
def test_every_truncation_and_many_changed_bytes(path: Path) -> None:
    """A broken file gives our error, or (a changed weight) a network; nothing else."""
    np.savez_compressed(path, **{key: ARRAYS[key] for key in ("W_x", "W_a", "b")})
    data = path.read_bytes()
    random = np.random.default_rng(0)
    variants = [data[:n] for n in range(0, len(data), 23)]
    for _ in range(1000):
        changed = bytearray(data)
        changed[random.integers(len(data))] = random.integers(256)
        variants.append(bytes(changed))
    refused = 0
    for variant in variants:
        path.write_bytes(variant)
        try:
            from_npz(path, [GRU])
        except WeightsError:
            refused += 1
    assert refused > len(data) // 23
