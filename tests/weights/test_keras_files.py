"""from_keras on files made by hand: old layouts, broken and foreign files."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from beam_rnn import nn
from beam_rnn.errors import WeightsError
from beam_rnn.weights import from_keras
from tests.weights.builders import normal
from tests.weights.keras_files import ARRAYS, D, H, archive, base, hdf5, keras2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.keras"


def test_base_model(path: Path) -> None:
    net = from_keras(archive(path, base()))
    np.testing.assert_array_equal(net.layers[0].E, ARRAYS["layers/embedding/vars/0"])
    np.testing.assert_array_equal(net.layers[1].W_x, ARRAYS["layers/lstm/cell/vars/0"].T)
    assert net.layers[2].activation == "softmax"


# Layouts of old versions.


def to_cudnn(K: np.ndarray, R: np.ndarray, gates: int) -> tuple[np.ndarray, np.ndarray]:
    """What Keras 2 did to save an LSTM or GRU as a CuDNN layer, in its own terms."""
    kernels = [k.T.reshape(k.shape, order="C") for k in np.hsplit(K, gates)]
    return np.hstack(kernels), np.hstack([r.T for r in np.hsplit(R, gates)])


def test_cudnn_lstm(path: Path) -> None:
    K, R, b = normal(1, D, 4 * H), normal(2, H, 4 * H), normal(3, 8 * H)
    cudnn_K, cudnn_R = to_cudnn(K, R, 4)
    arrays = {"kernel": cudnn_K, "recurrent_kernel": cudnn_R, "bias": b}
    (found,) = from_keras(keras2(path, "CuDNNLSTM", arrays)).layers
    expected = nn.LSTM(K.T, R.T, b[: 4 * H] + b[4 * H :])
    for field in ("W_x", "W_a", "b"):
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field))


def test_cudnn_gru(path: Path) -> None:
    K, R, b = normal(1, D, 3 * H), normal(2, H, 3 * H), normal(3, 2, 3 * H)
    cudnn_K, cudnn_R = to_cudnn(K, R, 3)
    arrays = {"kernel": cudnn_K, "recurrent_kernel": cudnn_R, "bias": b.reshape(-1)}
    fused = from_keras(keras2(path, "CuDNNGRU", arrays))
    arrays = {"kernel": K, "recurrent_kernel": R, "bias": b}
    plain = from_keras(keras2(path, "GRU", arrays, reset_after=True))
    assert fused.fingerprint == plain.fingerprint


def test_gru_of_keras_2_says_its_kind(path: Path) -> None:
    arrays = {"kernel": normal(1, D, 3 * H), "recurrent_kernel": normal(2, H, 3 * H),
              "bias": normal(3, 3 * H)}  # fmt: skip
    net = from_keras(keras2(path, "GRU", arrays, reset_after=False))
    assert not net.layers[0].reset_after
    with pytest.raises(WeightsError, match=r"layer 'gru' \(GRU\): reset_after is missing"):
        from_keras(keras2(path, "GRU", arrays))
    with pytest.raises(WeightsError, match=r"gru/bias:0' has shape \(12,\), expected \(2, 12\)"):
        from_keras(keras2(path, "GRU", arrays, reset_after=True))


def test_long_lists_of_weight_names(path: Path) -> None:
    """Lists that an attribute cannot hold are cut into name0, name1, ..."""
    arrays = {"kernel": normal(1, D, H), "recurrent_kernel": normal(2, H, H), "bias": normal(3, H)}
    whole = from_keras(keras2(path, "SimpleRNN", arrays))
    with h5py.File(path, "a") as file:
        attributes = file["model_weights/simplernn"].attrs
        names = list(attributes["weight_names"])
        del attributes["weight_names"]
        attributes["weight_names0"], attributes["weight_names1"] = names[:2], names[2:]
    assert from_keras(path).fingerprint == whole.fingerprint


# Broken weights.


def with_array(name: str, value: Any) -> bytes:
    return hdf5({**ARRAYS, name: value})


def link_to_another_file() -> bytes:
    buffer = io.BytesIO()
    arrays = {**ARRAYS}
    del arrays["layers/dense/vars/0"]
    with h5py.File(buffer, "w") as file:
        for name, value in arrays.items():
            file[name] = value
        file["layers/dense/vars/0"] = h5py.ExternalLink("/tmp/other.h5", "x")
    return buffer.getvalue()


def data_in_another_file() -> bytes:
    buffer = io.BytesIO()
    arrays = {**ARRAYS}
    del arrays["layers/dense/vars/0"]
    with h5py.File(buffer, "w") as file:
        for name, value in arrays.items():
            file[name] = value
        file.create_dataset("layers/dense/vars/0", (H, 2), "f4", external=[("/tmp/other", 0, 64)])
    return buffer.getvalue()


def huge_dataset() -> bytes:
    buffer = io.BytesIO()
    arrays = {**ARRAYS}
    del arrays["layers/dense/vars/0"]
    with h5py.File(buffer, "w") as file:
        for name, value in arrays.items():
            file[name] = value
        file.create_dataset("layers/dense/vars/0", (1 << 30, 1 << 10), "f4", chunks=(1024, 1024))
    return buffer.getvalue()


def bfloat16() -> bytes:
    buffer = io.BytesIO(hdf5(ARRAYS))
    with h5py.File(buffer, "a") as file:
        file["layers/dense/vars/0"].attrs["dtype"] = "bfloat16"
    return buffer.getvalue()


def another_layer() -> bytes:
    return hdf5(ARRAYS, {"layers/lstm/vars": {"name": "other"}})


WEIGHTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nan": (
        lambda: with_array("layers/dense/vars/0", np.full((H, 2), np.nan, np.float32)),
        "weight 'layers/dense/vars/0' holds values that are not finite",
    ),
    "integers": (
        lambda: with_array("layers/dense/vars/0", np.ones((H, 2), int)),
        "weight 'layers/dense/vars/0' holds int64, expected floats",
    ),
    "shape": (
        lambda: with_array("layers/dense/vars/0", normal(1, H, 3)),
        r"weight 'layers/dense/vars/0' has shape \(4, 3\), expected \(H, 2\)",
    ),
    "missing": (lambda: hdf5({}), r"group 'layers/embedding/vars' holds \[\], expected 1"),
    "too many": (
        lambda: with_array("layers/dense/vars/2", normal(1, 1)),
        r"group 'layers/dense/vars' holds \['0', '1', '2'\], expected 2",
    ),
    "link": (link_to_another_file, "is a link to elsewhere: refused"),
    "external": (data_in_another_file, "lies in another file: refused"),
    "huge": (huge_dataset, r"weight 'layers/dense/vars/0' claims \d+ bytes in a file of"),
    "bfloat16": (bfloat16, "weight 'layers/dense/vars/0' holds bfloat16, expected floats"),
    "another layer": (another_layer, "group 'layers/lstm' holds layer 'other', expected 'cell'"),
    "not hdf5": (lambda: b"\x80\x04.", "not a sound HDF5 file"),
    "truncated": (lambda: hdf5(ARRAYS)[:-900], "not a sound HDF5 file"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_broken_weights(path: Path, name: str) -> None:
    make, message = WEIGHTS[name]
    with pytest.raises(WeightsError, match=message) as caught:
        from_keras(archive(path, base(), make()))
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "config.json is not JSON"),
        ("[" * 100_000, "config.json is not JSON"),
        ("[]", "the model is None, expected Sequential"),
        ("null", "the model is None, expected Sequential"),
    ],
)
def test_broken_config(path: Path, config: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        from_keras(archive(path, config))


@pytest.mark.parametrize("content", [b"", b"x", pickle.dumps({"a": 1}), bytes(1000)])
def test_foreign_files(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"expected a .keras archive \(zip\) or an .h5 file"):
        from_keras(path)


def test_zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", json.dumps(base()))
        with file.open("model.weights.h5", "w") as member:
            for _ in range(80):
                member.write(bytes(1 << 20))
    with pytest.raises(WeightsError, match=r"the archive claims \d+ bytes in a file of \d+: refus"):
        from_keras(path)


def test_missing_member_and_other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.txt", "")
    with pytest.raises(WeightsError, match=r"member 'config.json' is missing, found \['a.txt'\]"):
        from_keras(path)


def test_weights_alone(path: Path) -> None:
    path.write_bytes(hdf5(ARRAYS))
    with pytest.raises(WeightsError, match="attribute model_config is missing: weights alone"):
        from_keras(path)


@pytest.mark.parametrize("kind", ["keras", "h5"])
@pytest.mark.slow
def test_every_truncation_and_many_changed_bytes(path: Path, kind: str) -> None:
    """A broken file gives our error, or (a changed weight) a network; nothing else."""
    if kind == "keras":
        archive(path, base())
    else:
        arrays = {"kernel": normal(1, D, H), "recurrent_kernel": normal(2, H, H),
                  "bias": normal(3, H)}  # fmt: skip
        keras2(path, "SimpleRNN", arrays)
    data = path.read_bytes()
    random = np.random.default_rng(0)
    variants = [data[:n] for n in range(0, len(data), 199)]
    for _ in range(300):
        changed = bytearray(data)
        for place in random.integers(len(data), size=3):
            changed[place] = random.integers(256)
        variants.append(bytes(changed))
    refused = 0
    for variant in variants:
        path.write_bytes(variant)
        try:
            from_keras(path)
        except WeightsError:
            refused += 1
    assert refused >= len(data) // 199
