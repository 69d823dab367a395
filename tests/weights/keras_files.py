"""Keras files made by hand, without Keras."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.weights.builders import normal

D, H = 3, 4
LSTM = {"units": H, "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True,
        "return_sequences": True}  # fmt: skip
ARRAYS = {
    "layers/embedding/vars/0": normal(1, 9, D),
    "layers/lstm/cell/vars/0": normal(2, D, 4 * H),
    "layers/lstm/cell/vars/1": normal(3, H, 4 * H),
    "layers/lstm/cell/vars/2": normal(4, 4 * H),
    "layers/dense/vars/0": normal(5, H, 2),
    "layers/dense/vars/1": normal(6, 2),
}
Layer = dict[str, Any]


def layer(kind: str, name: str, **config: Any) -> Layer:
    return {"module": "keras.layers", "class_name": kind, "config": {"name": name, **config}}


def base() -> dict[str, Any]:
    """The configuration of the model that the tests change."""
    layers = [
        layer("InputLayer", "in", batch_shape=[None, None]),
        layer("Embedding", "words", input_dim=9, output_dim=D, mask_zero=False),
        layer("LSTM", "cell", **LSTM),
        layer("Dense", "head", units=2, activation="softmax", use_bias=True),
    ]
    return {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}


def hdf5(arrays: dict[str, Any], attributes: dict[str, dict[str, Any]] | None = None) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, value in arrays.items():
            file[name] = value
        for group, values in (attributes or {}).items():
            for name, value in values.items():
                file.require_group(group).attrs[name] = value
    return buffer.getvalue()


def archive(path: Path, config: Any, weights: bytes | None = None) -> str:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("metadata.json", json.dumps({"keras_version": "3.5.0"}))
        file.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        file.writestr("model.weights.h5", hdf5(ARRAYS) if weights is None else weights)
    return str(path)


def keras2(path: Path, kind: str, arrays: dict[str, np.ndarray], **config: Any) -> str:
    """An .h5 file of one layer as Keras 2 wrote it."""
    name = kind.lower()
    model = {"class_name": "Sequential", "config": [{"class_name": kind, "config": {
        "name": name, "units": H, "return_sequences": True, **config}}]}  # fmt: skip
    names = [f"{name}/{array}:0".encode() for array in arrays]
    attributes = {
        "/": {"model_config": json.dumps(model).encode(), "keras_version": b"2.2.4"},
        f"model_weights/{name}": {"weight_names": np.array(names)},
    }
    group = f"model_weights/{name}/{name}"
    path.write_bytes(hdf5({f"{group}/{a}:0": v for a, v in arrays.items()}, attributes))
    return str(path)
