"""PyTorch parameters -> Network: nn.RNN, GRU, LSTM and their cells, nn.Embedding, nn.Linear."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from beam_rnn import nn
from beam_rnn.errors import WeightsError
from beam_rnn.weights import files, tensors
from beam_rnn.weights.arrays import GATES, Cell, Floats, build, cell, floats, network

_RECURRENT = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)(_l(\d+)(_reverse)?)?")
_KIND = {1: "RNN", 3: "GRU", 4: "LSTM"}  # by the number of gates; PyTorch's order is ours
_ROLES = ("embedding", "linear", "softmax", "sigmoid", "tanh", "relu")
_MOST_MODULES = 8  # orders are searched up to here

Source = files.PathLike | Mapping[str, Any]


@dataclass(frozen=True)
class _Module:
    """A module of the state dict: layers, and the widths between which they can stand."""

    name: str
    layers: tuple[Any, ...]
    takes: int | None  # None: ids
    gives: int


def from_torch(
    source: Source,
    *,
    modules: Sequence[str | tuple[str, str]] | None = None,
    labels: Sequence[str] | None = None,
    vocabulary: Sequence[str] | None = None,
    lookahead: int = 0,
    card: dict[str, Any] | None = None,
) -> nn.Network:
    """Builds a network from the parameters of a PyTorch model.

    Args:
      source: a safetensors file (any Beam filesystem), a state dict of arrays or tensors, or a
        .pt or .pth file (needs torch; read with ``weights_only=True``).
      modules: the modules in the order of the data, e.g. ``["embed", "lstm", ("head",
        "softmax")]``. The second part of a pair says what the file does not: "embedding" or
        "linear" for a lone weight, the activation of a Linear (none if not given) or of an
        nn.RNN ("tanh" or "relu"; must be given). Without ``modules`` the order is inferred from
        the shapes.
      labels, vocabulary, lookahead, card: as for ``Network``.

    Raises:
      WeightsError: a broken file, a parameter that is not supported, or an order that the shapes
        do not tell.
      ImportError: a .pt file without torch.
    """
    path, arrays = _read(source)
    groups: dict[str, dict[str, Any]] = {}
    for key, value in arrays.items():
        name, _, parameter = key.rpartition(".")
        groups.setdefault(name, {})[parameter] = value
    pairs = None if modules is None else [m if isinstance(m, tuple) else (m, "") for m in modules]
    if pairs is None:
        layers = _inferred(path, groups)
    else:
        layers = _in_order(path, groups, pairs)
    return network(path, layers, labels, vocabulary, lookahead, card)


def _read(source: Source) -> tuple[str, Mapping[str, Any]]:
    if isinstance(source, Mapping):
        return "the state dict", {str(name): _array(name, v) for name, v in source.items()}
    path = os.fspath(source)
    if not path.endswith((".pt", ".pth")):
        return path, tensors.decode(path, files.read(path))[0]
    try:
        import torch
    except ImportError as error:
        raise files.needs("torch", "torch", f"reading {path}") from error
    try:
        content = torch.load(BytesIO(files.read(path)), map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # torch raises errors of many kinds for broken files
        raise WeightsError(f"{path}: cannot be read with weights_only=True: {error}") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds {type(content).__name__}, expected a state dict")
    return path, {str(name): _array(name, value, path) for name, value in content.items()}


def _array(name: Any, value: Any, path: str = "the state dict") -> Any:
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path}: {name!r} is not an array of numbers: {error}") from error
    if array.dtype.hasobject:
        raise WeightsError(f"{path}: {name!r} holds {type(value).__name__}, expected an array")
    return array


def _in_order(
    path: str, groups: Mapping[str, dict[str, Any]], pairs: Sequence[tuple[str, str]]
) -> list[Any]:
    """The layers of the named modules, each of which must fit the one before it."""
    names = [name for name, _ in pairs]
    for name, role in pairs:
        if name not in groups:
            raise WeightsError(f"{path}: module {name!r} is missing, found {sorted(groups)}")
        if role and role not in _ROLES:
            raise WeightsError(f"{path}: module {name!r}: {role!r} is not one of {_ROLES}")
    for name in groups:
        if name not in names:
            parameter = _full(name, next(iter(groups[name])))
            raise WeightsError(
                f"{path}: {parameter!r} belongs to no module of {names}; pass a dict without it "
                "if the network does not need it"
            )
    layers: list[Any] = []
    for place, (name, role) in enumerate(pairs):
        choices = _choices(path, name, groups[name], role)
        if len(choices) > 1:
            choices = [_lone_weight(path, choices, groups, pairs, place)]
        layers += choices[0].layers
    return layers


def _lone_weight(
    path: str,
    choices: list[_Module],
    groups: Mapping[str, dict[str, Any]],
    pairs: Sequence[tuple[str, str]],
    place: int,
) -> _Module:
    """Embedding or Linear without bias: an Embedding stands first and fits what follows."""
    embedding, linear = choices
    if place > 0:
        return linear
    following = _choices(path, *_named(groups, pairs[1])) if len(pairs) > 1 else []
    takes = {module.takes for module in following}
    if (embedding.gives in takes) == (linear.gives in takes):
        raise WeightsError(
            f"{path}: module {embedding.name!r} has one weight of shape "
            f"({linear.gives}, {linear.takes}): say ({embedding.name!r}, 'embedding') or "
            f"({embedding.name!r}, 'linear') in modules"
        )
    return embedding if embedding.gives in takes else linear


def _named(
    groups: Mapping[str, dict[str, Any]], pair: tuple[str, str]
) -> tuple[str, dict[str, Any], str]:
    return pair[0], groups[pair[0]], pair[1]


def _inferred(path: str, groups: Mapping[str, dict[str, Any]]) -> list[Any]:
    """The layers in the one order in which all widths fit."""
    if len(groups) > _MOST_MODULES:
        raise WeightsError(f"{path}: {len(groups)} modules: give their order with modules=[...]")
    choices = [_choices(path, name, group, "") for name, group in groups.items()]
    orders: list[list[_Module]] = []

    def extend(order: list[_Module], left: list[list[_Module]]) -> None:
        if len(orders) > 1:
            return
        if not left:
            if any(isinstance(layer, _RECURRENT_LAYERS) for m in order for layer in m.layers):
                orders.append(order)
            return
        for i, group in enumerate(left):
            for module in group:
                if not order or module.takes == order[-1].gives:
                    extend([*order, module], left[:i] + left[i + 1 :])

    extend([], choices)
    if len(orders) != 1:
        found = "more than one order fits" if orders else "no order fits with a recurrent module"
        raise WeightsError(f"{path}: modules {sorted(groups)}: {found}; give it with modules=[...]")
    return [layer for module in orders[0] for layer in module.layers]


_RECURRENT_LAYERS = (nn.RNN, nn.GRU, nn.LSTM, nn.Bidirectional)


def _choices(path: str, name: str, group: dict[str, Any], role: str) -> list[_Module]:
    """What the module can be: one reading, or two for a lone weight."""
    if any(_RECURRENT.fullmatch(parameter) for parameter in group):
        return [_recurrent(path, name, group, role)]
    for parameter, value in group.items():
        if parameter not in ("weight", "bias") or np.ndim(value) != 2 - (parameter == "bias"):
            raise WeightsError(
                f"{path}: {_full(name, parameter)!r} with shape {np.shape(value)} is not "
                "supported, expected parameters of RNN, GRU, LSTM, Embedding or Linear"
            )
    if "weight" not in group:
        raise WeightsError(f"{path}: {_full(name, 'weight')!r} is missing")
    W = floats(path, _full(name, "weight"), group["weight"], ("C", "H"))
    bias = group.get("bias")
    b = np.zeros(len(W), np.float32)
    if bias is not None:
        b = floats(path, _full(name, "bias"), bias, (len(W),))
    activation = role if role not in ("", "embedding", "linear") else None
    embedding = _Module(name, (nn.Embedding(W),), None, W.shape[1])
    linear = _Module(name, (nn.Dense(W, b, activation),), W.shape[1], len(W))
    if role == "embedding":
        if bias is not None:
            raise WeightsError(f"{path}: {_full(name, 'bias')!r}: an Embedding has no bias")
        return [embedding]
    return [linear] if role or bias is not None else [embedding, linear]


def _recurrent(path: str, name: str, group: dict[str, Any], role: str) -> _Module:
    """The stack of an nn.RNN, nn.GRU or nn.LSTM, or one of their cells."""
    matches = {parameter: _RECURRENT.fullmatch(parameter) for parameter in group}
    for parameter, match in matches.items():
        if match is None or match[1] == "weight_hr":
            extra = "" if match is None else " (proj_size)"
            raise WeightsError(f"{path}: {_full(name, parameter)!r}{extra} is not supported")
    suffixes = {match[2] or "" for match in matches.values() if match}
    both = any(suffix.endswith("_reverse") for suffix in suffixes)
    depth = len(suffixes) // (2 if both else 1)
    expected = [""] if suffixes == {""} else [f"_l{k}" for k in range(depth)]
    wanted = {*expected, *(f"{suffix}_reverse" for suffix in expected if both)}
    if suffixes != wanted:
        odd = sorted(suffixes ^ wanted)[0]
        raise WeightsError(
            f"{path}: {_full(name, 'weight_ih' + odd)!r}: the layers of the stack are not complete"
        )
    layers: list[Any] = []
    for suffix in expected:
        forward = _cell(path, name, group, suffix, role)
        if both:
            backward = _cell(path, name, group, f"{suffix}_reverse", role)
            where = _full(name, f"weight_ih{suffix}_reverse")
            layers.append(build(path, where, nn.Bidirectional, forward, backward))
        else:
            layers.append(forward)
    first = layers[0].forward if both else layers[0]
    last = layers[-1].forward if both else layers[-1]
    return _Module(name, tuple(layers), first.input_size, last.hidden_size * (2 if both else 1))


def _cell(path: str, name: str, group: dict[str, Any], suffix: str, role: str) -> Cell:
    def take(parameter: str, shape: tuple[int | str, ...]) -> Floats:
        full = _full(name, parameter + suffix)
        if parameter + suffix not in group:
            raise WeightsError(f"{path}: {full!r} is missing")
        return floats(path, full, group[parameter + suffix], shape)

    W_a = take("weight_hh", ("G*H", "H"))
    rows, H = W_a.shape
    kind = _KIND.get(rows // H) if rows % H == 0 else None
    if kind is None:
        raise WeightsError(
            f"{path}: {_full(name, 'weight_hh' + suffix)!r} has shape {W_a.shape}, expected "
            "(H, H), (3*H, H) or (4*H, H)"
        )
    if kind == "RNN" and role not in ("tanh", "relu"):
        raise WeightsError(
            f"{path}: module {name!r} is an nn.RNN, whose nonlinearity is not in the file: say "
            f"({name!r}, 'tanh') or ({name!r}, 'relu') in modules"
        )
    if kind != "RNN" and role:
        raise WeightsError(f"{path}: module {name!r} is {kind}: {role!r} does not apply")
    W_x = take("weight_ih", (rows, "D"))
    biased = any(f"{bias}{suffix}" in group for bias in ("bias_ih", "bias_hh"))
    biases = [take(bias, (rows,)) if biased else None for bias in ("bias_ih", "bias_hh")]
    make: Callable[..., Cell] = cell
    return build(
        path, _full(name, "weight_ih" + suffix), make, kind, W_x, W_a, *biases,
        order=GATES[kind], activation=role or "tanh",
    )  # fmt: skip


def _full(name: str, parameter: str) -> str:
    return f"{name}.{parameter}" if name else parameter
