"""Files of which libhdf5 dies, or believes too much: the process that reads them is another."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from beam_rnn.errors import WeightsError
from beam_rnn.weights import apart, from_keras
from tests.weights.keras_files import archive, base, hdf5


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """Its heap has an object that takes no space: libhdf5 looks for its end for ever."""
    path = tmp_path / "m.h5"
    data = bytearray(hdf5({}, {"/": {"model_config": "a text of any length"}}))
    free = data.index(b"GCOL") + 16 + 16 + 24  # behind the header and the text
    assert not any(data[free : free + 8])
    data[free + 8 : free + 16] = bytes(8)
    path.write_bytes(data)
    return path


def test_a_file_that_never_ends(
    endless: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = archive(tmp_path / "m.keras", base())
    expected = from_keras(good).fingerprint
    monkeypatch.setattr(apart, "_SECONDS", 1.0)
    start = time.monotonic()
    with pytest.raises(WeightsError, match=r"m\.h5: could not be read: it took too long"):
        from_keras(endless)
    assert time.monotonic() - start < 10  # what it would take if nothing ended it sooner
    monkeypatch.undo()
    assert from_keras(good).fingerprint == expected


def test_a_text_of_impossible_length(tmp_path: Path) -> None:
    """The length stands in the attribute, twelve bytes before the number of the heap's object."""
    text = "a text of any length"
    data = bytearray(hdf5({}, {"/": {"model_config": text}}))
    heap = data.index(b"GCOL").to_bytes(8, "little")
    at = data.index(len(text).to_bytes(4, "little") + heap)
    data[at : at + 4] = (1 << 31).to_bytes(4, "little")
    path = tmp_path / "m.h5"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"m\.h5: "):
        from_keras(path)


def test_the_process_may_die(tmp_path: Path) -> None:
    good = archive(tmp_path / "m.keras", base())
    expected = from_keras(good)
    assert apart._process is not None
    apart._process.kill()
    apart._process.wait()
    again = from_keras(good)
    assert again.fingerprint == expected.fingerprint
    x = np.zeros((2, *again.input_shape), again.input_dtype)
    assert again.unroll(x)[0].tobytes() == expected.unroll(x)[0].tobytes()
