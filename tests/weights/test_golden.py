"""Files that older versions of ``save`` wrote: they are read for ever.

The files of a format version are made once, by the code that writes it, and never again.
"""

from pathlib import Path

import numpy as np
import pytest

from beam_rnn.weights import load, native, save
from tests.weights import exact

GOLDEN = Path(__file__).parent / "golden"
FINGERPRINTS = {
    "words": "68ddcd88527b2c40",
    "vectors": "b84cb31febfd0451",
    "layers": "5780345958f6cae9",
}


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_v1_is_the_network_that_was_saved(name: str) -> None:
    read = load(GOLDEN / f"native_v1_{name}.safetensors")
    made = getattr(exact, name)()
    assert read.fingerprint == made.fingerprint == FINGERPRINTS[name]
    assert (read.labels, read.vocabulary) == (made.labels, made.vocabulary)
    assert (read.lookahead, read.card) == (made.lookahead, made.card)
    x = np.ones((3, *read.input_shape), read.input_dtype)
    assert read.unroll(x)[0].tobytes() == made.unroll(x)[0].tobytes()


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_the_files_of_a_version_do_not_change(name: str, tmp_path: Path) -> None:
    """Equal networks give equal files, whoever writes them."""
    made = tmp_path / "made.safetensors"
    save(getattr(exact, name)(), made)
    written = (GOLDEN / f"native_v{native.FORMAT}_{name}.safetensors").read_bytes()
    assert made.read_bytes() == written
