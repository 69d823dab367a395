"""from_onnx on broken and foreign files, and on data outside of the model's file."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from beam_rnn.errors import WeightsError
from beam_rnn.weights import from_onnx
from tests.weights.builders import OnnxGraph, onnx_edit
from tests.weights.memory_files import MEMORY, MemoryFileSystem


@pytest.fixture
def model(tmp_path: Path) -> str:
    g = OnnxGraph()
    y = g.recurrent("LSTM", g.input("x", ["T", "B", 3]), 3, 5)
    return g.save(tmp_path, g.squeeze(y, 1))


def set_first(**fields: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        tensor = model.graph.initializer[0]
        for name, value in fields.items():
            if name == "dims":
                del tensor.dims[:]
                tensor.dims.extend(value)
            else:
                setattr(tensor, name, value)

    return change


def external(location: str, **more: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    return change


def old_opset(model: Any) -> None:
    model.opset_import[0].version = 6


def doubling(model: Any) -> None:
    """Concat upon Concat: 2**60 times the size of the file."""
    name = model.graph.initializer[0].name
    for k in range(60):
        model.graph.node.insert(k, helper.make_node("Concat", [name, name], [f"d{k}"], axis=0))
        name = f"d{k}"


def unknown_input(model: Any) -> None:
    model.graph.node[0].input[1] = "nowhere"


def hidden_size(model: Any) -> None:
    for attribute in model.graph.node[0].attribute:
        attribute.i = 6


BROKEN: dict[str, tuple[Callable[[Any], None], str]] = {
    "bfloat16": (set_first(data_type=16), "initializer 'c0' holds BFLOAT16, which is not suppor"),
    "float8": (set_first(data_type=17), "initializer 'c0' holds FLOAT8E4M3FN, which is not supp"),
    "unknown type": (set_first(data_type=99), "initializer 'c0' holds type 99"),
    "integers": (set_first(data_type=6), r"'c0' holds int32, expected float16"),
    "huge shape": (
        set_first(dims=[1 << 40, 1 << 20]),
        r"tensor 'c0': shape \(1099511627776, 1048576\) needs \d+ bytes, found 240",
    ),
    "negative shape": (set_first(dims=[-1, 20]), r"tensor 'c0' has shape \(-1, 20\)"),
    "wrong width": (set_first(dims=[1, 10, 6]), r"'c0' has shape \(1, 10, 6\), expected \(1, 20"),
    "hidden size": (hidden_size, r"'c0' has shape \(1, 20, 3\), expected \(1, 24, D\)"),
    "opset": (old_opset, "opset 6 is not supported, expected 7 on"),
    "doubling": (doubling, r"node \d+ \(Concat\): constants outgrow the file"),
    "unknown input": (unknown_input, r"\(LSTM\): input 'nowhere' comes from nowhere"),
    "parent": (external("../secret"), "external data '../secret': expected a file inside the fo"),
    "absolute": (external("/etc/passwd"), "external data '/etc/passwd': expected a file inside"),
    "backslash": (external("..\\secret"), "expected a file inside the folder of the model"),
    "url": (external("gs://b/x"), "expected a file inside the folder of the model"),
    "no location": (external(""), "external data '': expected a file inside the folder"),
    "link": (external("link"), "external data 'link': expected a file inside the folder"),
    "absent": (external("absent.bin"), "absent.bin: no such file"),
    "short": (external("short.bin"), r"shape \(1, 20, 3\) needs 240 bytes, found 10"),
    "offset": (
        external("short.bin", offset="5", length="240"),
        "external data 'short.bin': bytes 5 to 245 expected, it holds 10",
    ),
    "no number": (external("short.bin", offset="five"), "external data 'short.bin': invalid lit"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_models(tmp_path: Path, model: str, name: str) -> None:
    (tmp_path / "short.bin").write_bytes(bytes(10))
    (tmp_path.parent / "secret").write_bytes(bytes(240))
    (tmp_path / "link").symlink_to(tmp_path.parent / "secret")
    change, message = BROKEN[name]
    with pytest.raises(WeightsError, match=message) as caught:
        from_onnx(onnx_edit(model, change))
    assert str(tmp_path) in str(caught.value)


def test_external_data_on_another_filesystem(model: str) -> None:
    MemoryFileSystem.files |= {f"{MEMORY}/w.bin": bytes(240), "inmemory://secret": bytes(240)}
    for location, message in {
        "w.bin": None,
        "../secret": "external data '../secret': expected a file inside the folder of the model",
        "inmemory://secret": "expected a file inside the folder of the model",
    }.items():
        changed = onnx.load_model(model)
        external(location)(changed)
        MemoryFileSystem.files[f"{MEMORY}/m.onnx"] = changed.SerializeToString()
        if message is None:
            assert not from_onnx(f"{MEMORY}/m.onnx").layers[0].W_x.any()
        else:
            with pytest.raises(WeightsError, match=message):
                from_onnx(f"{MEMORY}/m.onnx")


@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95abc.", b"PK\x03\x04", b"{}", bytes(100)])
def test_foreign_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"{re.escape(str(path))}: expected an ONNX model"):
        from_onnx(path)


def test_every_truncation_and_many_changed_bytes(model: str) -> None:
    """A broken file gives our error, or (a changed weight) a network; nothing else."""
    data = Path(model).read_bytes()
    random = np.random.default_rng(0)
    variants = [data[:n] for n in range(0, len(data), 37)]
    for _ in range(300):
        changed = bytearray(data)
        changed[random.integers(len(data))] = random.integers(256)
        variants.append(bytes(changed))
    refused = 0
    for variant in variants:
        Path(model).write_bytes(variant)
        try:
            from_onnx(model)
        except WeightsError:
            refused += 1
    assert refused > len(data) // 37


def test_unknown_output(model: str) -> None:
    with pytest.raises(WeightsError, match=r"output 'z' is missing, found \['v1_0'\]"):
        from_onnx(model, output="z")


def test_missing_package(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kw: Any) -> Any:
        if name == "onnx":
            raise ImportError(name)
        return real(name, *args, **kw)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'beam-rnn\[onnx\]'"):
        from_onnx(model)
