"""Keras model files -> Network: .keras archives and .h5 files, without Keras itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import count, takewhile
from typing import Any

import numpy as np

from beam_rnn import nn
from beam_rnn.errors import WeightsError
from beam_rnn.weights import apart, files, native
from beam_rnn.weights.arrays import Floats, floats, network
from beam_rnn.weights.keras_layers import Config, Parts, chain, convert

_ZIP = b"PK"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_KNOWN_WEIGHTS = ("kernel", "recurrent_kernel", "bias", "embeddings")


def from_keras(
    path: files.PathLike,
    *,
    ignore_mask: bool = False,
    labels: Sequence[str] | None = None,
    vocabulary: Sequence[str] | None = None,
    lookahead: int = 0,
    card: dict[str, Any] | None = None,
) -> nn.Network:
    """Builds a network from a whole Keras model: a .keras archive, or .h5 of Keras 2 or 3.

    Understood are Sequential models and Functional ones whose layers lie in a row: Embedding,
    SimpleRNN, GRU (both kinds), LSTM, CuDNNGRU, CuDNNLSTM, Bidirectional, Dense, TimeDistributed
    Dense, Activation, Softmax, ReLU; dropout and noise, which do nothing in inference. A model
    that returns the last step alone gives the same network: its answer is y of the last step.

    Args:
      path: on any filesystem that Beam knows; the content tells which format it is.
      ignore_mask: read a model that masks padding (``mask_zero``, Masking) as if there were
        none. Right where streams hold no padding; refused without.
      labels, vocabulary, lookahead, card: as for ``Network``.

    Raises:
      WeightsError: a broken file, or something that is not supported, by layer and option.
      ImportError: the package h5py is not installed.
    """
    try:
        import h5py  # noqa: F401
    except ImportError as error:
        raise files.needs("h5py", "keras", "from_keras") from error
    name = os.fspath(path)
    data = files.read(name)
    if not data.startswith((_ZIP, _HDF5)):
        raise WeightsError(
            f"{name}: expected a .keras archive (zip) or an .h5 file (HDF5), found {len(data)} "
            f"bytes that begin with {data[:8]!r}"
        )
    made = native.decode(name, apart.read(name, data, ignore_mask=ignore_mask))
    assert isinstance(made, nn.Network)
    return network(name, made.layers, labels, vocabulary, lookahead, card)


def network_of(path: str, data: bytes, ignore_mask: bool) -> nn.Network:
    """The network in a file of these bytes; on broken files libhdf5 may not come back.

    Raises:
      WeightsError: as for ``from_keras``.
    """
    import h5py

    layers = (_archive if data.startswith(_ZIP) else _hdf5)(path, data, h5py, ignore_mask)
    return network(path, layers, None, None, 0, None)


def _archive(path: str, data: bytes, h5py: Any, ignore_mask: bool) -> list[Any]:
    archive = files.Archive(path, data, "a .keras archive")
    config = _json(path, "config.json", archive.read("config.json"))
    configs = chain(path, config, ignore_mask)
    file = _File(path, archive.read("model.weights.h5"), h5py)
    return convert(path, configs, lambda config: _Indexed(file, config))


def _hdf5(path: str, data: bytes, h5py: Any, ignore_mask: bool) -> list[Any]:
    file = _File(path, data, h5py)
    if "model_config" not in file.attributes("/"):
        raise WeightsError(
            f"{path}: attribute model_config is missing: weights alone; save the whole model"
        )
    text = file.attribute("/", "model_config")
    configs = chain(path, _json(path, "model_config", text), ignore_mask)
    return convert(path, configs, lambda config: _Named(file, config))


def _json(path: str, where: str, text: Any) -> Any:
    try:
        return json.loads(text.decode() if isinstance(text, bytes) else text)
    except (ValueError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path}: {where} is not JSON: {error}") from error


@contextmanager
def _sound(path: str, what: str) -> Iterator[None]:
    """Makes the many errors of h5py for a broken file one of ours."""
    try:
        yield
    except WeightsError:
        raise
    except (
        OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError,
    ) as error:  # fmt: skip
        raise WeightsError(f"{path}: {what}: not a sound HDF5 file: {error}") from error


class _File:
    """An HDF5 file in memory: groups and datasets by path, never one of another file."""

    def __init__(self, path: str, data: bytes, h5py: Any) -> None:
        self.path = path
        self._size = len(data)
        self._h5py = h5py
        with _sound(path, "the weights"):
            self._root = h5py.File(BytesIO(data), "r")

    def names(self, group: str) -> list[str]:
        """Names in a group, [] if there is no such group."""
        with _sound(self.path, f"group {group!r}"):
            found = self._find(group)
            return sorted(found) if isinstance(found, self._h5py.Group) else []

    def attributes(self, group: str) -> list[str]:
        """Names of the attributes of a group, [] if there is no such group."""
        with _sound(self.path, f"group {group!r}"):
            found = self._find(group)
            return [] if found is None else list(found.attrs)

    def attribute(self, group: str, name: str) -> Any:
        """An attribute of a group: a text, or an array of texts."""
        what = f"attribute {name!r} of {group!r}"
        with _sound(self.path, what):
            attributes = self._find(group).attrs
            size = attributes.get_id(name).get_storage_size()
            files.check_expansion(self.path, what, size, self._size)
            return attributes[name]

    def texts(self, group: str, name: str) -> list[str]:
        """A list of texts; a long one is cut into attributes name0, name1, ..."""
        known = self.attributes(group)
        parts = [name] if name in known else []
        if not parts:
            parts = list(takewhile(known.__contains__, (f"{name}{i}" for i in count())))
        if not parts:
            raise WeightsError(f"{self.path}: attribute {name!r} of {group!r} is missing")
        values = [value for part in parts for value in np.atleast_1d(self.attribute(group, part))]
        return [v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in values]

    def read(self, name: str, shape: tuple[int | str, ...]) -> Floats:
        """A dataset as float32 of the given shape."""
        where = f"weight {name!r}"
        with _sound(self.path, where):
            found = self._find(name)
            if not isinstance(found, self._h5py.Dataset):
                raise WeightsError(f"{self.path}: {where} is missing")
            if found.external or found.is_virtual:
                raise WeightsError(f"{self.path}: {where} lies in another file: refused")
            files.check_expansion(self.path, where, int(found.nbytes), self._size)
            stored_as = found.attrs.get("dtype", "")
            if stored_as == "bfloat16" or found.dtype.kind != "f":
                raise WeightsError(
                    f"{self.path}: {where} holds {stored_as or found.dtype}, expected floats"
                )
            value = np.asarray(found[()])
        return floats(self.path, where, value, shape)

    def _find(self, name: str) -> Any:
        """The object at a path of hard links, or None; a link to another file is refused."""
        found = self._root
        for part in filter(None, name.split("/")):
            if not isinstance(found, self._h5py.Group) or part not in found:
                return None
            if not isinstance(found.get(part, getlink=True), self._h5py.HardLink):
                raise WeightsError(f"{self.path}: {name!r} is a link to elsewhere: refused")
            found = found[part]
        return found


class _Indexed(Parts):
    """Weights of a layer in a .keras archive: by index, in groups named by class and count."""

    def __init__(self, file: _File, config: Config) -> None:
        self._file = file
        roots = [root for root in ("layers", "_layer_checkpoint_dependencies") if file.names(root)]
        self._group = f"{roots[0] if roots else 'layers'}/{config.group}"
        title = f"{self._group}/vars"
        stored = file.attribute(title, "name") if "name" in file.attributes(title) else config.name
        if stored != config.name:
            raise WeightsError(
                f"{file.path}: group {self._group!r} holds layer {stored!r}, expected "
                f"{config.name!r}"
            )

    def names(self, part: str, expected: Sequence[str]) -> list[str]:
        group = "/".join(filter(None, (self._group, part, "vars")))
        found = self._file.names(group)
        if found != [str(i) for i in range(len(expected))]:
            raise WeightsError(
                f"{self._file.path}: group {group!r} holds {found}, expected {len(expected)} "
                f"variables: {', '.join(expected)}"
            )
        return [f"{group}/{i}" for i in range(len(expected))]

    def read(self, name: str, shape: tuple[int | str, ...]) -> Floats:
        return self._file.read(name, shape)


class _Named(Parts):
    """Weights of a layer in an .h5 file: listed by name, Bidirectional forward first."""

    def __init__(self, file: _File, config: Config) -> None:
        self._file = file
        self._layer = config.name
        self._group = f"model_weights/{config.name}"

    def names(self, part: str, expected: Sequence[str]) -> list[str]:
        listed = self._file.texts(self._group, "weight_names")
        leaves: dict[str, list[str]] = {}
        for name in listed:
            leaf = name.rsplit("/", 1)[-1].split(":")[0]
            if leaf not in _KNOWN_WEIGHTS:
                raise WeightsError(
                    f"{self._file.path}: layer {self._layer!r}: weight {name!r} is not supported"
                )
            leaves.setdefault(leaf, []).append(f"{self._group}/{name}")
        sides = 2 if part in ("forward_layer/cell", "backward_layer/cell") else 1
        if {leaf: len(names) for leaf, names in leaves.items()} != dict.fromkeys(expected, sides):
            raise WeightsError(
                f"{self._file.path}: layer {self._layer!r} holds {listed}, expected {sides} each "
                f"of {', '.join(expected)}"
            )
        return [leaves[leaf][part == "backward_layer/cell"] for leaf in expected]

    def read(self, name: str, shape: tuple[int | str, ...]) -> Floats:
        return self._file.read(name, shape)
