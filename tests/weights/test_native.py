"""rnn.save and rnn.load: the same bits back, on any filesystem; broken and foreign files."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from beam_rnn import nn
from beam_rnn.errors import WeightsError
from beam_rnn.weights import load, save, tensors
from tests.nn.translators import MODELS
from tests.weights.builders import cell, networks, normal
from tests.weights.memory_files import MEMORY

NETWORKS = networks()


def same(one: Any, other: Any) -> bool:
    """Whether two layers, or parts of them, are equal to the bit."""
    if isinstance(one, np.ndarray):
        return one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return type(one) is type(other) and all(
            same(getattr(one, name), getattr(other, name)) for name in names
        )
    return one == other


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_network_comes_back(tmp_path: Path, name: str) -> None:
    net, path = NETWORKS[name], tmp_path / "m.safetensors"
    save(net, path)
    back = load(path)
    assert back.fingerprint == net.fingerprint
    assert same(back.layers, net.layers)
    for field in ("labels", "vocabulary", "lookahead", "card"):
        assert getattr(back, field) == getattr(net, field)
    if net.input_dtype is np.int64:
        x = np.random.default_rng(0).integers(11, size=(2, 7, *net.input_shape))
    else:
        x = normal(0, 2, 7, *net.input_shape)
    assert same(back.unroll(x)[0], net.unroll(x)[0])


@pytest.mark.parametrize("name", MODELS)
def test_an_encoder_decoder_comes_back(tmp_path: Path, name: str) -> None:
    model, path = MODELS[name], tmp_path / "m.safetensors"
    model = dataclasses.replace(model, card={"data": "made up"})
    save(model, path)
    back = load(path)
    assert isinstance(back, nn.EncoderDecoder)
    assert back.fingerprint == model.fingerprint
    assert back.card == model.card
    for part in ("encoder", "decoder"):
        assert same(getattr(back, part).layers, getattr(model, part).layers)
    sources = [np.arange(3), np.arange(5)]
    for one, other in zip(back.translate(sources), model.translate(sources), strict=True):
        assert one[0].score == other[0].score
        assert one[0].tokens.tolist() == other[0].tokens.tolist()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("start", '"a"', "field beam_rnn.start: expected int, found str"),
        ("stop", "null", "field beam_rnn.stop: expected int, found NoneType"),
        ("source_end", "[]", "field beam_rnn.source_end: expected int, found list"),
        ("limit", "0", "the model: limit is 0"),
        ("bridge", "{}", "field beam_rnn.bridge: expected list, found dict"),
        ("decoder.layers", None, "field beam_rnn.decoder.layers is missing"),
        ("encoder.layers", "[]", "the network: a network needs at least one layer"),
        ("encoder.vocabulary", "[1]", "field beam_rnn.encoder.vocabulary: expected a list of"),
    ],
)
def test_a_broken_encoder_decoder_is_refused(
    tmp_path: Path, key: str, value: str | None, message: str
) -> None:
    path = tmp_path / "m.safetensors"
    save(MODELS["none"], path)
    arrays, metadata = tensors.decode("m", path.read_bytes())
    metadata = {k: v for k, v in metadata.items() if k != f"beam_rnn.{key}"}
    if value is not None:
        metadata[f"beam_rnn.{key}"] = value
    path.write_bytes(tensors.encode(arrays, metadata))
    with pytest.raises(WeightsError, match=re.escape(message)):
        load(path)


def test_equal_networks_give_equal_bytes(tmp_path: Path) -> None:
    for path in ("a", "b"):
        save(networks()["told"], tmp_path / path)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a", "b"]


def test_half_precision(tmp_path: Path) -> None:
    model, path = MODELS["of the token"], tmp_path / "m.safetensors"
    save(model, path)
    size = path.stat().st_size
    save(model, path, half=True)
    assert path.stat().st_size < 0.7 * size
    back = load(path)
    assert isinstance(back, nn.EncoderDecoder)
    for part in ("encoder", "decoder"):
        for one, other in zip(getattr(back, part).layers, getattr(model, part).layers, strict=True):
            for field in dataclasses.fields(one):
                array = getattr(other, field.name)
                if isinstance(array, np.ndarray):
                    rounded = array.astype(np.float16).astype(np.float32)
                    assert same(getattr(one, field.name), rounded)
    again = tmp_path / "again.safetensors"
    save(back, again, half=True)
    assert again.read_bytes() == path.read_bytes()
    large = nn.Network(
        [nn.Embedding(np.full((2, 3), 1e6)), nn.RNN(np.eye(3), np.eye(3), np.zeros(3))]
    )
    with pytest.raises(
        WeightsError, match=r"layers.0.E' has values that are too large for float16"
    ):
        save(large, path, half=True)


def test_other_tools_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save(NETWORKS["told"], path)
    arrays = safetensors.numpy.load_file(path)
    np.testing.assert_array_equal(arrays["layers.1.W_x"], NETWORKS["told"].layers[1].W_x)
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata()
    assert metadata["beam_rnn.format"] == "1"
    assert json.loads(metadata["beam_rnn.labels"]) == list(NETWORKS["told"].labels)
    assert json.loads(metadata["beam_rnn.layers"])[0] == {"kind": "Embedding", "arrays": ["E"]}


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save(NETWORKS["rnn"], path)
    save(NETWORKS["gru"], path)
    assert load(path).fingerprint == NETWORKS["gru"].fingerprint


def test_any_beam_filesystem() -> None:
    save(NETWORKS["told"], f"{MEMORY}/m.safetensors")
    assert load(f"{MEMORY}/m.safetensors").fingerprint == NETWORKS["told"].fingerprint
    with pytest.raises(WeightsError, match="inmemory://models/other: cannot be read: no inmem"):
        load(f"{MEMORY}/other")


def test_unknown_filesystem() -> None:
    with pytest.raises(WeightsError, match="nowhere://m: cannot be read: Unable to get filesys"):
        load("nowhere://m")
    with pytest.raises(WeightsError, match="nowhere://m: cannot be written: Unable to get filesy"):
        save(NETWORKS["rnn"], "nowhere://m")


def test_nothing_optional_is_imported(tmp_path: Path) -> None:
    """A local file needs neither Beam nor the packages of other formats."""
    path = tmp_path / "m.safetensors"
    save(NETWORKS["rnn"], path)
    code = (
        "import sys, types; p = types.ModuleType('beam_rnn'); p.__path__ = [sys.argv[1]]; "
        "sys.modules['beam_rnn'] = p; from beam_rnn.weights import load; load(sys.argv[2]); "
        "print([m for m in ('apache_beam', 'onnx', 'h5py', 'torch', 'keras') if m in sys.modules])"
    )
    package = str(Path(nn.__file__).parents[1])
    out = subprocess.run(
        [sys.executable, "-c", code, package, str(path)], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


# What cannot be saved.


def test_card_that_is_not_json(tmp_path: Path) -> None:
    for value in (object(), float("nan")):
        net = nn.Network([cell("RNN", 2, 3)], card={"f1": value})
        with pytest.raises(WeightsError, match="labels, vocabulary or card are not JSON"):
            save(net, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_layer_of_another_kind(tmp_path: Path) -> None:
    class MyRNN(nn.RNN):
        pass

    net = nn.Network([MyRNN(normal(1, 3, 2), normal(2, 3, 3), normal(3, 3))])
    with pytest.raises(WeightsError, match=r"layers.0: a layer of type MyRNN cannot be saved"):
        save(net, tmp_path / "m")


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "m"
    with pytest.raises(WeightsError, match=f"{re.escape(str(path))}: cannot be written"):
        save(NETWORKS["rnn"], path)


# Files that cannot be loaded.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    save(NETWORKS["told"], path)
    return path


def fails(path: Path, message: str) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    fails(tmp_path / "absent", "no such file")
    fails(tmp_path, "no such file")


@pytest.mark.parametrize(
    "content",
    [b"", b"abc", pickle.dumps({"W": [1.0] * 100}), b"PK\x03\x04" + bytes(100), bytes(1000)],
)
def test_foreign_files(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    fails(path, "expected a safetensors file, found")


@pytest.mark.slow
def test_every_truncation_and_every_changed_byte(path: Path) -> None:
    """The tensor bytes are covered by a checksum, so no change of theirs is overlooked."""
    data = path.read_bytes()
    for n in range(0, len(data), 11):
        path.write_bytes(data[:n])
        fails(path, "truncated|expected a safetensors file|not a sound safetensors file")
    start = 8 + int.from_bytes(data[:8], "little")
    for place in range(start, len(data), 13):
        changed = bytearray(data)
        changed[place] ^= 1
        path.write_bytes(changed)
        fails(path, "metadata field beam_rnn.sha256 does not match: the tensors were changed")
    random = np.random.default_rng(0)
    for _ in range(500):
        changed = bytearray(data)
        changed[random.integers(start)] = random.integers(256)
        path.write_bytes(changed)
        with contextlib.suppress(WeightsError):
            load(path)  # a label may have changed


def test_bytes_after_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")
    fails(path, "sha256 does not match|not a sound safetensors file")


def header(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Applies ``change`` to the header of the file."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    content = json.loads(data[8 : 8 + length])
    change(content)
    text = json.dumps(content).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def entry(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["layers.1.W_x"].update(fields)


def metadata(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        if value is None:
            del content["__metadata__"][f"beam_rnn.{key}"]
        else:
            content["__metadata__"][f"beam_rnn.{key}"] = value

    return change


def layer(place: int, **fields: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        layers = json.loads(content["__metadata__"]["beam_rnn.layers"])
        layers[place].update(fields)
        content["__metadata__"]["beam_rnn.layers"] = json.dumps(layers)

    return change


def renamed(content: dict[str, Any]) -> None:
    content["other"] = content.pop("layers.1.W_x")


COLUMNS = {"kind": "Columns", "branches": [{"columns": 1}]}
NESTED = '{"kind":"Columns","branches":[{"columns":1,"layers":[' * 250 + "]}]}" * 250
BROKEN: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "bfloat16": (entry(dtype="BF16"), "tensor 'layers.1.W_x': dtype BF16 is not supported"),
    "float8": (entry(dtype="F8_E4M3"), "tensor 'layers.1.W_x': dtype F8_E4M3 is not supported"),
    "no dtype": (entry(dtype=None), "'layers.1.W_x': expected dtype, shape and data_offsets"),
    "shape": (
        entry(shape=[1 << 40, 1 << 20]),
        r"'layers.1.W_x': shape \[1099511627776, 1048576\] of F32 takes \d+ bytes, data_offsets "
        r"give 240",
    ),
    "negative": (entry(shape=[-15, -4]), "'layers.1.W_x': expected dtype, shape and data_off"),
    "offsets": (entry(data_offsets=[0, 1 << 50]), "'layers.1.W_x': truncated: ends at byte"),
    "backwards": (entry(data_offsets=[240, 0]), "takes 240 bytes, data_offsets give -240"),
    "overlap": (entry(data_offsets=[0, 240]), "not a sound safetensors file"),
    "other shape": (
        entry(shape=[4, 15]),
        r"layers.1: GRU.W_x has shape \(4, 15\), expected \(15, D\)",
    ),
    "not named": (renamed, "tensor 'layers.1.W_x' is missing"),
    "no metadata": (
        lambda content: content.pop("__metadata__"),
        r"beam_rnn.format is missing: not a file of rnn.save \(rnn.from_torch reads",
    ),
    "metadata": (
        lambda content: content.update(__metadata__={"a": 1}),
        "header field '__metadata__': expected texts by name",
    ),
    "version": (metadata("format", "2"), "beam_rnn.format is '2', this version reads '1'"),
    "no layers": (metadata("layers", None), "metadata field beam_rnn.layers is missing"),
    "layers": (metadata("layers", "{}"), "beam_rnn.layers: expected list, found dict"),
    "not JSON": (metadata("layers", "[{"), "metadata field beam_rnn.layers: Expecting"),
    "deep JSON": (metadata("layers", "[" * 100_000), "metadata field beam_rnn.layers"),
    "deep layers": (metadata("layers", f"[{NESTED}]"), "layers: (nested too deep|maximum rec)"),
    "kind": (layer(1, kind="Transformer"), "layers.1: kind is 'Transformer', expected one of RNN"),
    "no kind": (metadata("layers", "[1]"), "layers.0: kind is None, expected one of RNN"),
    "arrays": (layer(1, arrays=["W_q"]), r"layers.1: arrays are \['W_q'\], expected of"),
    "arrays missing": (layer(1, arrays=["W_x", "b"]), "are not all of a GRU"),
    "array type": (layer(1, arrays=7), "layers.1: arrays are 7, expected of"),
    "option": (layer(1, reset_after="no"), "layers.1: reset_after is 'no': wrong type"),
    "activation": (layer(2, activation="gelu"), "layers.2: Dense.activation is 'gelu'"),
    "surplus": (layer(1, arrays=["W_x", "W_a", "b"]), "'layers.1.b_n' belongs to no layer"),
    "columns": (layer(1, **COLUMNS), "layers.1.branches.0: expected columns and layers"),
    "branches": (layer(1, kind="Columns", branches=1), "layers.1: branches: expected a list"),
    "cells": (
        layer(0, kind="Bidirectional", forward={"kind": "MaxPool", "arrays": []},
              backward={"kind": "MaxPool", "arrays": []}),
        "layers.0: expected two cells",
    ),
    "labels": (metadata("labels", "[1]"), "beam_rnn.labels: expected a list of texts"),
    "few labels": (metadata("labels", '["a"]'), "the network: 1 labels, expected one for each"),
    "lookahead": (metadata("lookahead", "true"), "beam_rnn.lookahead: expected int, found bool"),
    "negative steps": (metadata("lookahead", "-1"), "lookahead is -1, expected 0 or more"),
    "card": (metadata("card", "[]"), "beam_rnn.card: expected dict, found list"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_headers(path: Path, name: str) -> None:
    change, message = BROKEN[name]
    header(path, change)
    fails(path, message)


@pytest.mark.parametrize("length", [101_000_000, 1 << 62, (1 << 64) - 1])
def test_header_of_impossible_length(path: Path, length: int) -> None:
    data = path.read_bytes()
    path.write_bytes(length.to_bytes(8, "little") + data[8:])
    fails(path, "expected a safetensors file, found")


def test_values_that_are_not_finite(path: Path) -> None:
    """As another tool could have written them, checksum and all."""
    arrays = dict(safetensors.numpy.load_file(path))
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata()
    arrays["layers.1.b"] = np.full_like(arrays["layers.1.b"], np.nan)
    data = safetensors.numpy.save(arrays, metadata)
    body = data[8 + int.from_bytes(data[:8], "little") :]
    metadata["beam_rnn.sha256"] = hashlib.sha256(body).hexdigest()
    path.write_bytes(safetensors.numpy.save(arrays, metadata))
    fails(path, "tensor 'layers.1.b' holds values that are not finite")


def test_file_that_is_too_large(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beam_rnn.weights.files.LARGEST_FILE", 1000)
    fails(path, "holds more than the 1000 bytes that were expected")
