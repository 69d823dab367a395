"""Our own format: one safetensors file, the structure as JSON in its metadata.

Metadata keys (each a text, JSON but for the first two):
  beam_rnn.format      version of this format
  beam_rnn.sha256      of all tensor bytes
  beam_rnn.layers      [{"kind": "LSTM", "arrays": ["W_x", "W_a", "b"], <options>}, ...]
  beam_rnn.labels      names of the outputs, or null
  beam_rnn.vocabulary  token of each id, or null
  beam_rnn.lookahead   steps
  beam_rnn.card        what is known of the weights
Array W_x of the second layer is the tensor "layers.1.W_x", of float32 numbers or of float16.

An EncoderDecoder is two such networks, with the keys beam_rnn.encoder.layers and so on and the
tensors "encoder.layers.1.W_x", and besides:
  beam_rnn.bridge      layers, as above
  beam_rnn.start, stop, limit, source_end, source_length
                       numbers, the last two perhaps null
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

from beam_rnn import nn
from beam_rnn.errors import WeightsError
from beam_rnn.nn.parameters import is_later
from beam_rnn.weights import files, tensors
from beam_rnn.weights.arrays import Floats, build, floats, network

FORMAT = "1"
_PREFIX = "beam_rnn."
_ARRAYS: dict[type[Any], tuple[str, ...]] = {
    nn.RNN: ("W_x", "W_a", "b"),
    nn.GRU: ("W_x", "W_a", "b", "b_n"),
    nn.LSTM: ("W_x", "W_a", "b"),
    nn.Embedding: ("E",),
    nn.Dense: ("W_y", "b_y"),
    nn.Conv1d: ("W", "b"),
    nn.MaxPool: (),
    nn.Flatten: (),
    nn.Magnitude: (),
    nn.Activation: (),
    nn.Context: (),
    nn.CRF: ("transitions", "start", "end"),
    nn.Additive: ("W_q", "W_k", "v", "b"),
    nn.Multiplicative: ("W_q", "b_q"),
}
_OPTIONS: dict[type[Any], dict[str, tuple[type, ...]]] = {
    nn.RNN: {"activation": (str,)},
    nn.GRU: {"reset_after": (bool,)},
    nn.Dense: {"activation": (str, type(None))},
    nn.Additive: {"query": (str,)},
    nn.Multiplicative: {"query": (str,)},
    nn.Conv1d: {
        "activation": (str, type(None)),
        "stride": (int,),
        "padding": (list, tuple, type(None)),
        "mode": (str,),
        "dilation": (int,),
    },
    nn.Activation: {"name": (str,)},
    nn.Context: {"size": (int,), "shape": (list, tuple)},
}
_INITIAL = ("a_forward", "a_backward")  # of a Bidirectional
# Of an EncoderDecoder, and whether it may be null.
_NUMBERS = {
    "start": False, "stop": False, "limit": False, "source_end": True, "source_length": True,
}  # fmt: skip
_KINDS = {kind.__name__: kind for kind in _ARRAYS}


def save(net: nn.Network | nn.EncoderDecoder, path: files.PathLike, *, half: bool = False) -> None:
    """Writes the model to a safetensors file: weights, structure, labels, vocabulary, card.

    Args:
      net: the network, or the two of an EncoderDecoder.
      path: local, or on any filesystem that Beam knows. Equal networks give equal bytes.
      half: rounds the weights to float16, so that the file is half as large. They are read as
        float32: what ``load`` gives is another network, with another fingerprint.

    Raises:
      WeightsError: the file cannot be written, the card is not JSON, or a weight is too large for
        float16.
    """
    name = os.fspath(path)
    files.write(name, encode(name, net, half=half))


def encode(name: str, net: nn.Network | nn.EncoderDecoder, *, half: bool = False) -> bytes:
    """The bytes that ``save`` writes; ``name`` is for errors."""
    arrays: dict[str, Floats] = {}
    if isinstance(net, nn.EncoderDecoder):
        content = _content(net.encoder, "encoder.", arrays)
        content |= _content(net.decoder, "decoder.", arrays)
        content["bridge"] = _describe_all(net.bridge, "bridge", arrays)
        content |= {key: getattr(net, key) for key in (*_NUMBERS, "card")}
    else:
        content = _content(net, "", arrays)
    try:
        texts = {_PREFIX + key: json.dumps(v, allow_nan=False) for key, v in content.items()}
    except (TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{name}: labels, vocabulary or card are not JSON: {error}") from error
    blank = tensors.encode(arrays, {}, half=half)
    texts[_PREFIX + "format"] = FORMAT
    texts[_PREFIX + "sha256"] = _digest(blank)
    return tensors.encode(arrays, texts, half=half)


def _content(net: nn.Network, part: str, arrays: dict[str, Floats]) -> dict[str, Any]:
    """The metadata of a network whose keys begin with ``part``; adds its arrays to ``arrays``."""
    return {
        f"{part}layers": _describe_all(net.layers, f"{part}layers", arrays),
        f"{part}labels": net.labels,
        f"{part}vocabulary": net.vocabulary,
        f"{part}lookahead": net.lookahead,
        f"{part}card": net.card,
    }


def load(path: files.PathLike) -> nn.Network | nn.EncoderDecoder:
    """Reads a model that ``save`` wrote: the same bits, the same fingerprint.

    Args:
      path: local, or on any filesystem that Beam knows.

    Raises:
      WeightsError: the file is missing, broken, truncated, changed, or was not written by ``save``.
    """
    name = os.fspath(path)
    return decode(name, files.read(name))


def decode(name: str, data: bytes) -> nn.Network | nn.EncoderDecoder:
    """The model that ``encode`` wrote; ``name`` is for errors."""
    arrays, metadata = tensors.decode(name, data)
    version = metadata.get(_PREFIX + "format")
    if version is None:
        raise WeightsError(
            f"{name}: metadata field {_PREFIX}format is missing: not a file of rnn.save "
            "(rnn.from_torch reads the safetensors of PyTorch)"
        )
    if version != FORMAT:
        raise WeightsError(
            f"{name}: metadata field {_PREFIX}format is {version!r}, this version reads {FORMAT!r}"
        )
    if metadata.get(_PREFIX + "sha256") != _digest(data):
        raise WeightsError(
            f"{name}: metadata field {_PREFIX}sha256 does not match: the tensors were changed"
        )
    if _PREFIX + "encoder.layers" in metadata:
        model: nn.Network | nn.EncoderDecoder = _encoder_decoder(name, metadata, arrays)
    else:
        model = _network(name, metadata, "", arrays)
    if arrays:
        raise WeightsError(f"{name}: tensor {min(arrays)!r} belongs to no layer")
    return model


def _network(path: str, metadata: dict[str, str], part: str, arrays: tensors.Arrays) -> nn.Network:
    """The network whose keys begin with ``part``; takes its arrays out of ``arrays``."""
    return network(
        path,
        _restore_all(path, metadata, f"{part}layers", arrays),
        labels=_texts(path, metadata, f"{part}labels"),
        vocabulary=_texts(path, metadata, f"{part}vocabulary"),
        lookahead=_field(path, metadata, f"{part}lookahead", int),
        card=_field(path, metadata, f"{part}card", dict),
    )


def _encoder_decoder(
    path: str, metadata: dict[str, str], arrays: tensors.Arrays
) -> nn.EncoderDecoder:
    numbers = {
        key: None
        if optional and metadata.get(_PREFIX + key) == "null"
        else _field(path, metadata, key, int)
        for key, optional in _NUMBERS.items()
    }
    return build(
        path,
        "the model",
        nn.EncoderDecoder,
        _network(path, metadata, "encoder.", arrays),
        _network(path, metadata, "decoder.", arrays),
        bridge=_restore_all(path, metadata, "bridge", arrays),
        card=_field(path, metadata, "card", dict),
        **numbers,
    )


def _describe_all(
    layers: Sequence[Any], where: str, arrays: dict[str, Floats]
) -> list[dict[str, Any]]:
    return [_describe(layer, f"{where}.{i}", arrays) for i, layer in enumerate(layers)]


def _restore_all(
    path: str, metadata: dict[str, str], key: str, arrays: tensors.Arrays
) -> list[Any]:
    layers = _field(path, metadata, key, list)
    try:
        return [_restore(path, entry, f"{key}.{i}", arrays) for i, entry in enumerate(layers)]
    except RecursionError:
        raise WeightsError(f"{path}: metadata field {_PREFIX}{key}: nested too deep") from None


def _describe(layer: Any, where: str, arrays: dict[str, Floats]) -> dict[str, Any]:
    """Returns the JSON form of a layer and adds its arrays to ``arrays``."""
    kind = type(layer)
    if kind is nn.Bidirectional:
        initial = [name for name in _INITIAL if getattr(layer, name) is not None]
        arrays.update({f"{where}.{name}": getattr(layer, name) for name in initial})
        return {
            "kind": "Bidirectional",
            "forward": _describe(layer.forward, f"{where}.forward", arrays),
            "backward": _describe(layer.backward, f"{where}.backward", arrays),
            **({"arrays": initial} if initial else {}),
        }
    if kind is nn.Spelling:
        arrays[f"{where}.E"] = layer.E
        return {"kind": "Spelling", "cells": _describe(layer.cells, f"{where}.cells", arrays)}
    if kind is nn.Columns:
        branches = [
            {
                "columns": columns,
                "layers": [
                    _describe(inner, f"{where}.branches.{i}.{k}", arrays)
                    for k, inner in enumerate(inner_layers)
                ],
            }
            for i, (columns, inner_layers) in enumerate(layer.branches)
        ]
        return {"kind": "Columns", "branches": branches}
    if kind not in _ARRAYS:
        raise WeightsError(f"{where}: a layer of type {kind.__name__} cannot be saved")
    present = [field for field in _ARRAYS[kind] if getattr(layer, field) is not None]
    arrays.update({f"{where}.{field}": getattr(layer, field) for field in present})
    later = _later(kind)
    options = {
        field: getattr(layer, field)
        for field in _OPTIONS.get(kind, {})
        if field not in later or getattr(layer, field) != later[field]
    }
    return {"kind": kind.__name__, "arrays": present, **options}


def _restore(path: str, entry: Any, where: str, arrays: tensors.Arrays) -> Any:
    """Returns the layer of a JSON form and takes its arrays out of ``arrays``."""
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if kind == "Bidirectional":
        cells = [
            _restore(path, entry.get(side), f"{where}.{side}", arrays)
            for side in ("forward", "backward")
        ]
        if not all(isinstance(cell, nn.RNN | nn.GRU | nn.LSTM) for cell in cells):
            raise WeightsError(f"{path}: {where}: expected two cells")
        initial = entry.get("arrays", [])
        if not isinstance(initial, list) or any(name not in _INITIAL for name in initial):
            raise WeightsError(f"{path}: {where}: arrays are {initial!r}, expected of {_INITIAL}")
        states = {name: _take(path, f"{where}.{name}", arrays) for name in initial}
        return build(path, where, nn.Bidirectional, *cells, **states)
    if kind == "Spelling":
        both = _restore(path, entry.get("cells"), f"{where}.cells", arrays)
        if not isinstance(both, nn.Bidirectional):
            raise WeightsError(f"{path}: {where}: expected a Bidirectional")
        return build(path, where, nn.Spelling, _take(path, f"{where}.E", arrays), both)
    if kind == "Columns":
        return build(path, where, nn.Columns, _branches(path, entry, where, arrays))
    if not isinstance(kind, str) or kind not in _KINDS:
        known = ", ".join([*_KINDS, "Bidirectional", "Columns", "Spelling"])
        raise WeightsError(f"{path}: {where}: kind is {kind!r}, expected one of {known}")
    layer = _KINDS[kind]
    fields: dict[str, Any] = {}
    later = _later(layer)
    for field, types in _OPTIONS.get(layer, {}).items():
        fields[field] = entry.get(field, later.get(field))
        if not isinstance(fields[field], types):
            raise WeightsError(f"{path}: {where}: {field} is {fields[field]!r}: wrong type")
    names = entry.get("arrays")
    if not isinstance(names, list) or any(field not in _ARRAYS[layer] for field in names):
        raise WeightsError(f"{path}: {where}: arrays are {names!r}, expected of {_ARRAYS[layer]}")
    for field in names:
        fields[field] = _take(path, f"{where}.{field}", arrays)
    try:
        return build(path, where, layer, **fields)
    except TypeError:
        raise WeightsError(f"{path}: {where}: arrays {names!r} are not all of a {kind}") from None


def _take(path: str, tensor: str, arrays: tensors.Arrays) -> Floats:
    if tensor not in arrays:
        raise WeightsError(f"{path}: tensor {tensor!r} is missing")
    value = arrays.pop(tensor)
    return floats(path, f"tensor {tensor!r}", value, tuple("N" * value.ndim))


def _later(kind: type[Any]) -> dict[str, Any]:
    """The options that files name only where they are not at their default."""
    return {field.name: field.default for field in dataclasses.fields(kind) if is_later(field)}


def _branches(path: str, entry: dict[str, Any], where: str, arrays: tensors.Arrays) -> Any:
    branches = entry.get("branches")
    if not isinstance(branches, list):
        raise WeightsError(f"{path}: {where}: branches: expected a list")
    result = []
    for i, branch in enumerate(branches):
        fields = branch if isinstance(branch, dict) else {}
        columns, layers = fields.get("columns"), fields.get("layers")
        if type(columns) is not int or not isinstance(layers, list):
            raise WeightsError(f"{path}: {where}.branches.{i}: expected columns and layers")
        inner = [
            _restore(path, layer, f"{where}.branches.{i}.{k}", arrays)
            for k, layer in enumerate(layers)
        ]
        result.append((columns, inner))
    return result


def _field(path: str, metadata: dict[str, str], key: str, kind: type[Any]) -> Any:
    try:
        value = json.loads(metadata[_PREFIX + key])
    except KeyError:
        raise WeightsError(f"{path}: metadata field {_PREFIX}{key} is missing") from None
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: metadata field {_PREFIX}{key}: {error}") from error
    if type(value) is not kind:
        raise WeightsError(
            f"{path}: metadata field {_PREFIX}{key}: expected {kind.__name__}, found "
            f"{type(value).__name__}"
        )
    return value


def _texts(path: str, metadata: dict[str, str], key: str) -> list[str] | None:
    if metadata.get(_PREFIX + key) == "null":
        return None
    value: list[Any] = _field(path, metadata, key, list)
    if not all(isinstance(text, str) for text in value):
        raise WeightsError(f"{path}: metadata field {_PREFIX}{key}: expected a list of texts")
    return value


def _digest(data: bytes) -> str:
    """SHA-256 of the tensor bytes of a safetensors file."""
    return hashlib.sha256(memoryview(data)[8 + int.from_bytes(data[:8], "little") :]).hexdigest()
