"""What from_keras refuses, by layer and option; models whose layers are no row."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beam_rnn import nn
from beam_rnn.errors import WeightsError
from beam_rnn.weights import from_keras
from tests.weights.keras_files import LSTM, Layer, archive, base, layer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.keras"


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
