"""The package as a whole: what it names, and what importing it needs."""

import subprocess
import sys
from typing import Any

import beam_rnn as rnn


def loaded(code: str) -> set[str]:
    """The top-level modules that running ``code`` in a fresh Python imports."""
    script = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in list(sys.modules)}})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_every_public_name_is_there() -> None:
    public = [name for name in dir(rnn) if not name.startswith("_")]
    assert {"Tag", "Classify", "Network", "LSTM", "save", "load", "from_onnx"} <= set(public)
    for name in public:
        assert getattr(rnn, name) is not None
    missing: Any = "Tagg"
    assert not hasattr(rnn, missing)


def test_networks_need_numpy_only() -> None:
    heavy = {"apache_beam", "pyarrow", "safetensors", "onnx", "h5py", "rich", "typer"}
    assert not loaded("import beam_rnn.nn, beam_rnn.streams.stepper") & heavy


def test_the_library_needs_no_extra() -> None:
    extras = {"onnx", "onnxruntime", "keras", "jax", "h5py", "torch", "rich", "typer", "scipy"}
    assert not loaded("import beam_rnn as rnn\nrnn.Tag, rnn.load, rnn.from_onnx") & extras
