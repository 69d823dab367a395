"""The configuration of a Keras model -> layers. Only keys that are known here are read."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from beam_rnn import nn
from beam_rnn.errors import WeightsError
from beam_rnn.weights.arrays import Cell, Floats, build, cell

_CELLS = {"SimpleRNN": "RNN", "GRU": "GRU", "LSTM": "LSTM", "CuDNNGRU": "GRU", "CuDNNLSTM": "LSTM"}
_ORDER = {"RNN": "n", "GRU": "zrn", "LSTM": "ifgo"}
_NOTHING_IN_INFERENCE = {
    "InputLayer", "Dropout", "SpatialDropout1D", "GaussianDropout", "AlphaDropout",
    "GaussianNoise", "ActivityRegularization",
}  # fmt: skip
_ACTIVATIONS = ("softmax", "sigmoid", "tanh", "relu")
_SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OURS = ("keras", "tensorflow.keras", "tf_keras", "tensorflow.python.keras")


class Config(NamedTuple):
    """One layer: ``group`` is its name in a .keras archive, ``options`` its configuration."""

    path: str
    kind: str
    name: str
    group: str
    options: dict[str, Any]

    def error(self, message: str) -> WeightsError:
        return WeightsError(f"{self.path}: layer {self.name!r} ({self.kind}): {message}")

    def expect(self, option: str, *values: Any, default: Any = None) -> Any:
        """The option's value, if it is one of those that are supported."""
        value = self.options.get(option, default)
        if not any(value is known or value == known for known in values):
            raise self.error(
                f"{option} = {value!r:.200} is not supported, expected "
                + " or ".join(repr(known) for known in values)
            )
        return value


class Parts(ABC):
    """Where the weights of a layer are."""

    @abstractmethod
    def names(self, part: str, expected: Sequence[str]) -> list[str]:
        """The weights of one part ("cell", "forward_layer/cell", ""), in the order expected."""

    @abstractmethod
    def read(self, name: str, shape: tuple[int | str, ...]) -> Floats:
        """One weight as float32 of this shape."""


def chain(path: str, config: Any, ignore_mask: bool) -> list[Config]:
    """The layers of a model in the order of the data."""
    kind = config.get("class_name") if isinstance(config, dict) else None
    if kind not in ("Sequential", "Functional", "Model"):
        raise WeightsError(
            f"{path}: the model is {kind!r}, expected Sequential or Functional: other classes do "
            "not say how their layers are joined"
        )
    options = config.get("config")
    entries = options.get("layers") if isinstance(options, dict) else options
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise WeightsError(f"{path}: the model's layers: expected a list of layers")
    # A Sequential model does not store its input layer; both count the classes in this order.
    counts: Counter[str] = Counter()
    configs = []
    for entry in entries:
        layer = _config(path, entry)
        if kind != "Sequential" or layer.kind != "InputLayer":
            snake = _SNAKE.sub("_", layer.kind).lower()
            number = counts[snake]
            counts[snake] += 1
            layer = layer._replace(group=f"{snake}_{number}" if number else snake)
        configs.append(layer)
    if kind != "Sequential":
        configs = _row(path, options, entries, configs)
    for layer in configs:
        if (layer.kind == "Masking" or layer.options.get("mask_zero")) and not ignore_mask:
            raise layer.error(
                "padding is masked: its steps would be stepped here; pass ignore_mask=True if "
                "streams hold none"
            )
    return [layer for layer in configs if layer.kind not in _NOTHING_IN_INFERENCE | {"Masking"}]


def _config(path: str, entry: Any) -> Config:
    fields = entry if isinstance(entry, dict) else {}
    kind, options = fields.get("class_name"), fields.get("config")
    if not isinstance(kind, str) or not isinstance(options, dict):
        raise WeightsError(f"{path}: a layer has no class_name or config: {entry!r:.200}")
    config = Config(path, kind, str(options.get("name", fields.get("name"))), "", options)
    module = fields.get("module")
    if module is not None and str(module).split(".")[0] not in {m.split(".")[0] for m in _OURS}:
        raise config.error(f"module {module!r} is not supported: a class that is not of Keras")
    return config


def _row(path: str, options: Any, entries: list[Any], configs: list[Config]) -> list[Config]:
    """The layers of a Functional model, which must lie in a row from one input to one output."""
    before: dict[str, str] = {}
    for entry, layer in zip(entries, configs, strict=True):
        sources = _sources(layer, entry.get("inbound_nodes"))
        if len(sources) != (0 if layer.kind == "InputLayer" else 1):
            raise layer.error(f"has {len(sources)} inputs, expected one: layers in a row")
        if sources:
            if sources[0] in before:
                raise layer.error(f"shares its input {sources[0]!r} with {before[sources[0]]!r}")
            before[sources[0]] = layer.name
    named = {layer.name: layer for layer in configs}
    inputs = [layer.name for layer in configs if layer.kind == "InputLayer"]
    if len(inputs) != 1:
        raise WeightsError(f"{path}: the model has inputs {inputs}, expected one")
    order = inputs
    while order[-1] in before and len(order) <= len(configs):
        order.append(before[order[-1]])
    ends = options.get("output_layers")
    flat = ends if isinstance(ends, list) and ends and isinstance(ends[0], str) else None
    output = flat or (ends[0] if isinstance(ends, list) and len(ends) == 1 else None)
    if output != [order[-1], 0, 0] or len(order) != len(configs):
        raise WeightsError(f"{path}: output_layers is {ends!r:.200}, expected {[order[-1], 0, 0]}")
    return [named[name] for name in order]


def _sources(layer: Config, nodes: Any) -> list[str]:
    """Names of the layers whose first output this one reads."""
    if not nodes:
        return []
    if not isinstance(nodes, list) or len(nodes) != 1:
        raise layer.error("is used more than once, expected once: layers in a row")
    node = nodes[0]
    if isinstance(node, dict):  # Keras 3
        histories = _histories(node.get("args"))
        if _histories(node.get("kwargs")):
            raise layer.error("takes another tensor (initial_state or mask): is not supported")
    elif isinstance(node, list):  # Keras 2
        histories = [part[:3] if isinstance(part, list) else part for part in node]
        extras = [part[3] for part in node if isinstance(part, list) and len(part) > 3]
        if any(isinstance(value, list) for extra in extras for value in dict(extra).values()):
            raise layer.error("takes another tensor (initial_state or mask): is not supported")
    else:
        histories = [node]
    for history in histories:
        if not (isinstance(history, list) and len(history) == 3 and history[1:] == [0, 0]):
            raise layer.error(f"reads {history!r:.200}, expected the first output of a layer")
    return [str(history[0]) for history in histories]


def _histories(value: Any) -> list[Any]:
    """The keras_history of every tensor in the arguments of a call."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            inner = value.get("config")
            return [inner.get("keras_history") if isinstance(inner, dict) else None]
        return [history for part in value.values() for history in _histories(part)]
    if isinstance(value, list):
        return [history for part in value for history in _histories(part)]
    return []


def convert(path: str, configs: list[Config], parts: Callable[[Config], Parts]) -> list[Any]:
    """The layers of our network."""
    layers: list[Any] = []
    last: Config | None = None  # the layer that gave its last step alone
    for config in configs:
        if config.kind in _CELLS or config.kind == "Bidirectional":
            if last is not None:
                raise last.error(
                    f"return_sequences = False is not supported before layer {config.name!r}"
                )
            layers.append(_recurrent(config, parts(config)))
            if not config.options.get("return_sequences", config.kind == "Bidirectional"):
                last = config
        elif config.kind == "Dense":
            layers.append(_dense(config, parts(config), ""))
        elif config.kind == "TimeDistributed":
            inner = _config(path, config.options.get("layer"))
            if inner.kind != "Dense" or last is not None:
                raise config.error(f"layer {inner.kind} is not supported, expected Dense")
            layers.append(_dense(inner, parts(config), "layer"))
        elif config.kind == "Embedding":
            source = parts(config)
            (name,) = source.names("", ["embeddings"])
            E = source.read(name, ("V", "D"))
            layers.append(build(path, f"layer {config.name!r}", nn.Embedding, E))
        else:
            activation = _activation(config)
            layer = layers[-1] if layers else None
            if not isinstance(layer, nn.Dense) or layer.activation is not None:
                raise config.error("is supported after a Dense without activation alone")
            layers[-1] = replace(layer, activation=activation)
    return layers


def _activation(config: Config) -> str | None:
    """The activation that a layer of its own applies."""
    if config.kind == "Activation":
        return _known_activation(config)
    if config.kind == "Softmax":
        config.expect("axis", -1, default=-1)
        return "softmax"
    if config.kind == "ReLU":
        config.expect("max_value", None)
        for option in ("negative_slope", "threshold"):
            config.expect(option, 0, None, default=0)
        return "relu"
    raise config.error("is not supported")


def _known_activation(config: Config) -> str | None:
    name = config.expect("activation", *_ACTIVATIONS, "linear", None, default="linear")
    return None if name == "linear" else name


def _dense(config: Config, source: Parts, part: str) -> nn.Dense:
    activation = _known_activation(config)
    biased = config.expect("use_bias", True, False, default=True)
    names = source.names(part, ["kernel", "bias"] if biased else ["kernel"])
    W = source.read(names[0], ("H", config.options.get("units", "C")))
    b = source.read(names[1], (W.shape[1],)) if biased else np.zeros(W.shape[1])
    return build(config.path, f"layer {config.name!r}", nn.Dense, W.T, b, activation)


def _recurrent(config: Config, source: Parts) -> Any:
    if config.kind != "Bidirectional":
        return _cell(config, source, "cell", backwards=False)
    config.expect("merge_mode", "concat", default="concat")
    forward = _config(config.path, config.options.get("layer"))
    if forward.kind not in _CELLS:
        raise config.error(f"layer {forward.kind} is not supported")
    if not forward.options.get("return_sequences"):
        raise config.error(
            "return_sequences = False is not supported: it joins the ends of two directions"
        )
    options = config.options.get("backward_layer")
    backward = forward if options is None else _config(config.path, options)
    if backward.kind not in _CELLS:
        raise config.error(f"backward_layer {backward.kind} is not supported")
    if options is None:  # Keras makes it from the layer, the other way round
        flipped = not forward.options.get("go_backwards", False)
        backward = forward._replace(options={**forward.options, "go_backwards": flipped})
    cells = [
        _cell(forward, source, "forward_layer/cell", backwards=False),
        _cell(backward, source, "backward_layer/cell", backwards=True),
    ]
    return build(config.path, f"layer {config.name!r}", nn.Bidirectional, *cells)


def _cell(config: Config, source: Parts, part: str, *, backwards: bool) -> Cell:
    kind = _CELLS[config.kind]
    config.expect("go_backwards", backwards, default=False)
    fused = config.kind.startswith("CuDNN")
    activation = "tanh"
    if kind == "RNN":
        activation = config.expect("activation", "tanh", "relu", default="tanh")
    elif not fused:
        config.expect("activation", "tanh", default="tanh")
        config.expect("recurrent_activation", "sigmoid", default="sigmoid")
    biased = config.expect("use_bias", True, False, default=True)
    names = source.names(part, ["kernel", "recurrent_kernel", *(["bias"] if biased else [])])
    gates = len(_ORDER[kind])
    H = config.options.get("units")
    if type(H) is not int or H < 1:
        raise config.error(f"units = {H!r:.200}, expected a number of units")
    K = source.read(names[0], ("D", gates * H))
    R = source.read(names[1], (H, gates * H))
    reset_after = kind == "GRU" and (fused or _reset_after(config))
    b_x = b_a = None
    if biased and fused:
        b_x, b_a = np.split(source.read(names[2], (2 * gates * H,)), 2)
    elif biased and reset_after:
        b_x, b_a = source.read(names[2], (2, gates * H))
    elif biased:
        b_x = source.read(names[2], (gates * H,))
    W_x, W_a = _from_cudnn(K, R, gates) if fused else (K.T, R.T)
    return build(
        config.path, f"layer {config.name!r}", cell, kind, W_x, W_a, b_x, b_a,
        order=_ORDER[kind], activation=activation, reset_after=reset_after,
    )  # fmt: skip


def _reset_after(config: Config) -> bool:
    if "reset_after" not in config.options:
        raise config.error("reset_after is missing: the file does not say which kind of GRU it is")
    return bool(config.expect("reset_after", True, False))


def _from_cudnn(K: Floats, R: Floats, gates: int) -> tuple[Floats, Floats]:
    """Row-stacked weights of a CuDNN layer, whose blocks lie in memory as cuDNN has them.

    The block of a gate in ``K`` (D, G*H) is the (H, D) matrix in row order under another shape;
    that in ``R`` (H, G*H) is the matrix itself, not transposed.
    """
    H = R.shape[0]
    W_x = [np.ascontiguousarray(block).reshape(H, -1) for block in np.hsplit(K, gates)]
    return np.concatenate(W_x), np.concatenate(np.hsplit(R, gates))
