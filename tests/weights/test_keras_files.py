"""Keras files made by hand, without Keras: old layouts, refusals, broken and foreign files."""

from __future__ import annotations

import copy
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


# What is refused.


def change(index: int, **config: Any) -> Callable[[dict[str, Any]], None]:
    return lambda model: model["config"]["layers"][index]["config"].update(config)


def insert(index: int, *layers: Layer) -> Callable[[dict[str, Any]], None]:
    def apply(model: dict[str, Any]) -> None:
        model["config"]["layers"][index:index] = copy.deepcopy(layers)

    return apply


def replaced(index: int, new: Layer) -> Callable[[dict[str, Any]], None]:
    def apply(model: dict[str, Any]) -> None:
        model["config"]["layers"][index] = new

    return apply


def foreign_class(model: dict[str, Any]) -> None:
    model["config"]["layers"][2]["module"] = "my_package.layers"


def subclassed(model: dict[str, Any]) -> None:
    model["class_name"] = "MyModel"


def no_layers(model: dict[str, Any]) -> None:
    model["config"] = {"name": "m"}


def no_class(model: dict[str, Any]) -> None:
    del model["config"]["layers"][2]["class_name"]


def both(inner: Layer, **config: Any) -> Layer:
    return layer("Bidirectional", "both", layer=inner, merge_mode="concat") | {
        "config": {"name": "both", "layer": inner, "merge_mode": "concat", **config}
    }


INNER = layer("LSTM", "inner", **LSTM)
CELL = r"layer 'cell' \(LSTM\): "
REFUSED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "activation": (
        change(2, activation="relu"),
        CELL + "activation = 'relu' is not supported, expected 'tanh'",
    ),
    "hard sigmoid": (
        change(2, recurrent_activation="hard_sigmoid"),
        CELL + "recurrent_activation = 'hard_sigmoid' is not supported, expected 'sigmoid'",
    ),
    "custom activation": (
        change(2, activation={"class_name": "function", "config": "mine"}),
        CELL + "activation = {'class_name': 'function', 'config': 'mine'} is not supported",
    ),
    "dense activation": (
        change(3, activation="gelu"),
        r"layer 'head' \(Dense\): activation = 'gelu' is not supported, expected 'softmax' or",
    ),
    "backwards": (
        change(2, go_backwards=True),
        CELL + "go_backwards = True is not supported, expected False",
    ),
    "units": (change(2, units="many"), CELL + "units = 'many', expected a number of units"),
    "other units": (change(2, units=5), r"cell/vars/0' has shape \(3, 16\), expected \(D, 20\)"),
    "bias": (change(2, use_bias=False), r"holds \['0', '1', '2'\], expected 2 variables: kernel"),
    "mask": (change(1, mask_zero=True), r"layer 'words' \(Embedding\): padding is masked"),
    "masking": (insert(2, layer("Masking", "mask")), r"layer 'mask' \(Masking\): padding is mask"),
    "last step before a cell": (
        lambda model: (
            insert(3, layer("LSTM", "next", **LSTM))(model),
            change(2, return_sequences=False)(model),
        ),
        CELL + "return_sequences = False is not supported before layer 'next'",
    ),
    "conv": (insert(2, layer("Conv1D", "conv")), r"layer 'conv' \(Conv1D\): is"),
    "lambda": (
        insert(4, layer("Lambda", "f", function={"class_name": "__lambda__", "config": "..."})),
        r"layer 'f' \(Lambda\): is not supported",
    ),
    "nested model": (insert(4, layer("Sequential", "more")), r"layer 'more' \(Sequential\): is"),
    "activation of a cell": (
        insert(3, layer("Activation", "act", activation="tanh")),
        r"layer 'act' \(Activation\): is supported after a Dense without activation alone",
    ),
    "softmax axis": (
        insert(4, layer("Softmax", "soft", axis=1)),
        r"layer 'soft' \(Softmax\): axis = 1 is not supported, expected -1",
    ),
    "leaky relu": (
        insert(4, layer("ReLU", "leaky", negative_slope=0.1)),
        r"layer 'leaky' \(ReLU\): negative_slope = 0.1 is not supported",
    ),
    "merge mode": (
        replaced(2, both(INNER, merge_mode="sum")),
        r"layer 'both' \(Bidirectional\): merge_mode = 'sum' is not supported, expected 'concat'",
    ),
    "ends of two directions": (
        replaced(2, both(layer("LSTM", "inner", **{**LSTM, "return_sequences": False}))),
        r"layer 'both' \(Bidirectional\): return_sequences = False is not supported",
    ),
    "two directions of": (
        replaced(2, both(layer("ConvLSTM1D", "inner"))),
        r"layer 'both' \(Bidirectional\): layer ConvLSTM1D is not supported",
    ),
    "time distributed": (
        insert(3, layer("TimeDistributed", "each", layer=layer("Conv1D", "c"))),
        r"layer 'each' \(TimeDistributed\): layer Conv1D is not supported, expected Dense",
    ),
    "foreign class": (foreign_class, CELL + "module 'my_package.layers' is not supported"),
    "subclassed model": (subclassed, "the model is 'MyModel', expected Sequential or Functional"),
    "no layers": (no_layers, "the model's layers: expected a list of layers"),
    "no class": (no_class, "a layer has no class_name or config"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(path: Path, name: str) -> None:
    apply, message = REFUSED[name]
    model = base()
    apply(model)
    with pytest.raises(WeightsError, match=message) as caught:
        from_keras(archive(path, model))
    assert str(caught.value).startswith(f"{path}: ")


def tensor(name: str, node: int = 0, place: int = 0) -> Layer:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, node, place]}}


def functional(*rows: tuple[Layer, list[Any]], output: Any = None) -> dict[str, Any]:
    layers = [{**entry, "inbound_nodes": nodes} for entry, nodes in rows]
    output = output or [rows[-1][0]["config"]["name"], 0, 0]
    return {"class_name": "Functional", "config": {"layers": layers, "output_layers": output}}


def call(name: str, *more: str, **kwargs: Any) -> list[Any]:
    return [{"args": [tensor(name), *map(tensor, more)], "kwargs": kwargs}]


IN, CELL_LAYER, HEAD = (
    layer("InputLayer", "in"),
    layer("LSTM", "cell", **LSTM),
    layer("Dense", "head", units=2, activation="linear", use_bias=True),
)
ROW = ((IN, []), (CELL_LAYER, call("in")), (HEAD, call("cell")))


def test_functional_models_in_any_order_and_of_keras_2(path: Path) -> None:
    net = from_keras(archive(path, functional(*ROW)))
    assert [type(part) for part in net.layers] == [nn.LSTM, nn.Dense]
    order = functional(ROW[2], ROW[0], ROW[1], output=[["head", 0, 0]])
    assert from_keras(archive(path, order)).fingerprint == net.fingerprint
    old = functional(
        (IN, []), (CELL_LAYER, [[["in", 0, 0, {}]]]), (HEAD, [[["cell", 0, 0, {}]]])
    )  # fmt: skip
    assert from_keras(archive(path, old)).fingerprint == net.fingerprint


GRAPHS: dict[str, tuple[dict[str, Any], str]] = {
    "state": (
        functional((IN, []), (CELL_LAYER, call("in", initial_state=[tensor("in")])), ROW[2]),
        r"layer 'cell' \(LSTM\): takes another tensor",
    ),
    "state of keras 2": (
        functional((IN, []), (CELL_LAYER, [[["in", 0, 0, {"initial_state": ["in", 0, 0]}]]])),
        r"layer 'cell' \(LSTM\): takes another tensor",
    ),
    "two inputs": (
        functional((IN, []), (CELL_LAYER, call("in", "in"))),
        r"layer 'cell' \(LSTM\): has 2 inputs, expected one",
    ),
    "branches": (
        functional(*ROW, (layer("Dense", "two", units=2), call("cell"))),
        r"layer 'two' \(Dense\): shares its input 'cell' with 'head'",
    ),
    "shared": (
        functional((IN, []), (CELL_LAYER, [*call("in"), *call("cell")])),
        r"layer 'cell' \(LSTM\): is used more than once",
    ),
    "second output": (
        functional((IN, []), (CELL_LAYER, [{"args": [tensor("in", 0, 1)]}])),
        r"layer 'cell' \(LSTM\): reads \['in', 0, 1\], expected the first output",
    ),
    "inner output": (functional(*ROW, output=["cell", 0, 0]), "output_layers is .'cell', 0, 0"),
    "two outputs": (
        functional(*ROW, output=[["cell", 0, 0], ["head", 0, 0]]),
        "output_layers is ",
    ),
    "loop": (
        functional((IN, []), (CELL_LAYER, call("head")), (HEAD, call("cell"))),
        "output_layers is ",
    ),
    "no input": (functional((HEAD, call("head"))), r"the model has inputs \[\], expected one"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_refused_graphs(path: Path, name: str) -> None:
    model, message = GRAPHS[name]
    with pytest.raises(WeightsError, match=message):
        from_keras(archive(path, model))


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
