"""What `beam-rnn doctor` tells of a machine."""

import importlib.metadata
import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beam_rnn import doctor
from beam_rnn.cli import app
from beam_rnn.nn import stepping


def lines() -> dict[str, str]:
    done = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    rows = [line.split("  ", 1) for line in done.output.splitlines()]
    return {row[0].strip(): row[1].strip() for row in rows if len(row) == 2}


def test_it_tells_versions_and_layouts() -> None:
    told = lines()
    for package in doctor.PACKAGES:
        assert told[package] == importlib.metadata.version(package)
    for H in doctor.WIDTHS:
        layout, _, rest = told[f"H = {H}"].partition(", ")
        assert layout in ("stacked", "narrow", "fixed", "plain")
        assert rest.startswith("tiles of ")
    assert told["FnApiRunner"] == "yes"
    assert ' version "' in told["Flink"] or told["Flink"].startswith("no java")


def test_what_is_absent_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "PRISM", tmp_path)
    needs = ['no-such-package>=1; extra == "onnx"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda package: needs)
    told = lines()
    assert told["Flink"] == "no java on the PATH: install Java 11 or 17"
    assert told["Prism"].startswith("not found")
    assert told["onnx"] == "no-such-package absent  (pip install 'beam-rnn[onnx]')"


def test_threads_that_are_set_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    assert lines()["BLAS threads"] == os.environ["OPENBLAS_NUM_THREADS"]


def test_why_steps_are_not_compiled_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEAM_RNN_COMPILED", "0")
    assert lines()["compiled steps"] == "no: BEAM_RNN_COMPILED=0 forbids them"
    monkeypatch.delenv("BEAM_RNN_COMPILED")
    monkeypatch.setattr(stepping, "_compiled", lambda: None)
    said = lines()["compiled steps"]
    assert ("the extra fast has them" in said) == (find_spec("numba") is None)
    assert said.startswith("no: ")
