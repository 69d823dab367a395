"""The command line: its help, its codes, and what it says where the pipelines are not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from beam_rnn.cli import PIPELINES, app
from pipelines import catalogue
from training import evaluate

REPOSITORY = Path(__file__).parents[1]


def call(
    *arguments: str, where: Path = REPOSITORY, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "beam_rnn", *arguments],
        cwd=where,
        # The library alone, wherever it is called from.
        env=os.environ
        | {"PYTHONPATH": str(where), "COLUMNS": "100", "NO_COLOR": "1"}
        | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def here(*arguments: str) -> Result:
    """The same in this process, which has imported Beam before."""
    return CliRunner(env={"COLUMNS": "100", "NO_COLOR": "1"}).invoke(app, arguments)


@pytest.mark.slow
def test_help_names_the_commands() -> None:
    done = call("--help")
    assert done.returncode == 0
    assert "tag-names" in done.stdout


@pytest.mark.slow
def test_help_of_a_command_is_that_of_its_pipeline() -> None:
    done = here("tag-names", "--help")
    assert done.exit_code == 0
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
    assert (done.returncode, done.stderr) == (0, "")
    for command in PIPELINES:
        assert command in done.stdout
    assert "f1 86.73" in done.stdout


@pytest.mark.slow
def test_run_is_the_command_of_that_name() -> None:
    done = here("run", "annotate-dna", "--help")
    assert done.exit_code == 0
    assert "--input" in done.stdout
    assert here("annotate-dna", "--help").stdout == done.stdout
    done = here("run", "nothing")
    assert done.exit_code == 2
    assert "there is no nothing: it is one of tag-names" in done.stderr


def test_every_application_has_weights_and_figures() -> None:
    assert list(catalogue.WEIGHTS) == list(PIPELINES)
    for models in catalogue.WEIGHTS.values():
        for model in models:
            assert catalogue.figures_of(model)
            assert model in evaluate.FIGURES


@pytest.mark.slow
def test_an_error_is_one_line_and_debug_shows_where_it_came_from(tmp_path: Path) -> None:
    done = call("inspect", str(tmp_path / "nothing"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("beam-rnn: ")
    shown = call("--debug", "inspect", str(tmp_path / "nothing"))
    assert shown.returncode == 1
    assert "Traceback" in shown.stderr
    assert "beam_rnn.errors.WeightsError" in shown.stderr
    job = call("--debug", "tag-names", "--input", "no such file")
    assert "Traceback" in job.stderr


def test_every_command_has_help_and_those_with_arguments_examples() -> None:
    runner = CliRunner(env={"COLUMNS": "100"})
    for command in app.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "")
        if name not in (*PIPELINES, "run", "bench"):  # whose help is their own
            done = runner.invoke(app, [name, "--help"])
            assert done.exit_code == 0
            assert name in ("list", "doctor") or f" beam-rnn {name} " in done.output, name
    assert " beam-rnn convert model.onnx" in runner.invoke(app, ["--help"]).output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "found"), [("beam-rnn con", {"convert"}), ("beam-rnn run det", {"detect-running"})]
)
def test_the_shell_completes(typed: str, found: set[str]) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    completed = call(**words, _BEAM_RNN_COMPLETE="complete_bash").stdout.split()
    assert set(completed) == found


@pytest.mark.slow
def test_bench_hands_on_its_arguments(tmp_path: Path) -> None:
    assert "--only PART" in call("bench", "--help").stdout
    (tmp_path / "beam_rnn").symlink_to(REPOSITORY / "beam_rnn")
    done = call("bench", where=tmp_path)
    assert done.returncode == 2
    assert "run it in a clone of the project" in done.stderr
