"""The command line: its help, its codes, and what it says where the pipelines are not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from beam_rnn.cli import PIPELINES
from pipelines import catalogue
from training import evaluate

REPOSITORY = Path(__file__).parents[1]


def call(*arguments: str, where: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "beam_rnn", *arguments],
        cwd=where,
        # The library alone, wherever it is called from.
        env=os.environ | {"PYTHONPATH": str(where), "COLUMNS": "100", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_help_names_the_commands() -> None:
    done = call("--help")
    assert done.returncode == 0
    assert "tag-names" in done.stdout


@pytest.mark.slow
def test_help_of_a_command_is_that_of_its_pipeline() -> None:
    done = call("tag-names", "--help")
    assert done.returncode == 0
    for option in ("--input", "--output", "--speed", "--batch", "--overwrite"):
        assert option in done.stdout


@pytest.mark.slow
def test_a_command_hands_on_arguments_and_exit_code() -> None:
    done = call("tag-names", "--input", "no such file")
    assert done.returncode == 2
    assert "the input no such file cannot be read" in done.stderr


@pytest.mark.slow
def test_the_library_does_not_import_the_pipelines() -> None:
    code = "import sys, beam_rnn, beam_rnn.cli; assert 'pipelines' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, timeout=60)


@pytest.mark.slow
def test_list_shows_every_application_with_its_figures() -> None:
    done = call("list")
    assert done.returncode == 0, done.stderr
    for command in PIPELINES:
        assert command in done.stdout
    assert "f1 86.73" in done.stdout


@pytest.mark.slow
def test_run_is_the_command_of_that_name() -> None:
    assert call("run", "annotate-dna", "--help").stdout == call("annotate-dna", "--help").stdout
    done = call("run", "nothing")
    assert done.returncode == 2
    assert "there is no nothing: it is one of tag-names" in done.stderr


def test_every_application_has_weights_and_figures() -> None:
    assert list(catalogue.WEIGHTS) == list(PIPELINES)
    for models in catalogue.WEIGHTS.values():
        for model in models:
            assert catalogue.figures_of(model)
            assert model in evaluate.FIGURES
