"""beam-rnn convert: models of others, checked against their own runtime or said not to be."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
from onnx import TensorProto
from typer.testing import CliRunner

import beam_rnn as rnn
from beam_rnn.cli import app
from tests.weights.builders import OnnxGraph, normal
from tests.weights.test_torch import linear, state_dict


def convert(*arguments: Any, code: int = 0) -> str:
    """What the command says, on one line."""
    done = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def onnx_words(folder: Path) -> str:
    """Ids, batch first, an LSTM that has lengths and a state as inputs, and its last step alone."""
    g = OnnxGraph()
    ids = g.input("ids", ["B", "T"], TensorProto.INT64)
    x = g.node("Transpose", g.node("Gather", g.const(normal(1, 9, 4)), ids), perm=[1, 0, 2])
    h = g.input("h", [1, "B", 5])
    c = g.input("c", [1, "B", 5])
    y = g.squeeze(g.recurrent("LSTM", x, 4, 5, extra=("", h, c)), 1)
    return g.save(folder, g.node("Transpose", y, perm=[1, 0, 2]))


def test_onnx_is_run_beside_ours(tmp_path: Path) -> None:
    target = tmp_path / "ours.safetensors"
    said = convert(onnx_words(tmp_path), target, "--labels", "a,b,c,d,e")
    assert "y differs from that of ONNX Runtime" in said
    assert "(3 random sequences of 50 inputs)" in said
    net = rnn.load(target)
    assert isinstance(net, rnn.Network)
    assert list(net.labels or ()) == ["a", "b", "c", "d", "e"]
    assert net.state_size == 10


def test_vectors_time_first(tmp_path: Path) -> None:
    g = OnnxGraph()
    y = g.squeeze(g.recurrent("GRU", g.input("x", ["T", 1, 3]), 3, 5), 1)
    said = convert(g.save(tmp_path, y), tmp_path / "ours.safetensors", "--steps", 7)
    assert "(3 random sequences of 7 inputs)" in said


def test_what_differs_is_not_written(tmp_path: Path) -> None:
    target = tmp_path / "ours.safetensors"
    said = convert(onnx_words(tmp_path), target, "--tolerance", 1e-12, code=2)
    assert "y differs from that of ONNX Runtime" in said
    assert said.endswith("more than 1e-12: nothing was written")
    assert not target.exists()


def test_a_source_that_its_runtime_does_not_run_is_said_to_be_unchecked(tmp_path: Path) -> None:
    path = onnx_words(tmp_path)
    model = onnx.load(path)
    model.ir_version = 10_000
    onnx.save(model, path)
    said = convert(path, tmp_path / "ours.safetensors")
    assert "not checked: ONNX Runtime" in said
    assert "does not run it" in said


@pytest.mark.slow
def test_keras_is_run_beside_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    layers = keras.layers
    source = tmp_path / "m.keras"
    keras.Sequential(
        [
            layers.Input((None,), dtype="int32"),
            layers.Embedding(9, 3),
            layers.LSTM(4, return_sequences=True),
            layers.Dense(2, activation="softmax"),
        ]
    ).save(source)
    said = convert(source, tmp_path / "ours.safetensors")
    assert "y differs from that of Keras" in said


def test_parameters_alone_are_said_to_be_unchecked(tmp_path: Path) -> None:
    source = tmp_path / "torch.safetensors"
    safetensors.numpy.save_file(state_dict("LSTM") | linear("head", 2, 5), source)
    modules = ["--module", "rnn", "--module", "head=softmax"]
    target = tmp_path / "ours.safetensors"
    said = convert(source, target, *modules, "--labels", "no,yes")
    assert "not checked: a file of parameters does not say how they are used" in said
    net = rnn.load(target)
    assert isinstance(net, rnn.Network)
    assert net.layers[-1].activation == "softmax"


def test_arrays_with_their_layers(tmp_path: Path) -> None:
    source, layers = tmp_path / "m.npz", tmp_path / "layers.json"
    np.savez(source, w=normal(1, 12, 3), u=normal(2, 12, 4))
    layers.write_text(json.dumps([{"layer": "GRU", "W_x": "w", "W_a": "u"}]))
    said = convert(source, tmp_path / "ours.safetensors", "--layers", layers)
    assert "not checked: an .npz file does not say how its arrays are used" in said
    assert "needs --layers FILE.json" in convert(source, tmp_path / "ours", code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m.bin", "out"], "its name does not say what it is: say --source"),
        (["m.bin", "out", "--source", "tf"], "--source is tf, expected onnx, keras, torch or npz"),
        (["no.onnx", "out"], "no.onnx: no such file"),
        (["no.keras", "out", "--output", "y"], "keras: .*'output'"),
    ],
)
def test_arguments_are_checked(arguments: list[str], message: str) -> None:
    assert re.search(message, convert(*arguments, code=2))
