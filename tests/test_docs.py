"""The examples of the pages are run as they stand, and the site is made of pages and docstrings."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import beam_rnn as rnn
from beam_rnn import features
from tests import console

ROOT = Path(__file__).parent.parent
LOCAL = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """All Python of a page, in one go, in an empty folder beside the models."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks), str(page), "exec"), {"__name__": "__main__"})
    said = re.findall(r"^```text\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    if page.name == "cookbook.md":
        printed = set(capfd.readouterr().out.splitlines())
        assert {line for block in said for line in block.splitlines()} <= printed
    if page.name == "README.md":
        printed = capfd.readouterr().out.splitlines()
        assert {line for line in printed if line.startswith("ann")} == {
            "ann Ann I-PER",
            "ann Lee I-PER",
            "ann left O",
            "ann London I-LOC",
            "ann . O",
        }


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = json.loads((ROOT / "docs" / "streams.ipynb").read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    monkeypatch.setenv("MPLBACKEND", "agg")
    exec(compile("\n".join(code), "streams.ipynb", "exec"), {"__name__": "__main__"})


@pytest.mark.slow
def test_the_site_is_built(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir"]
    done = subprocess.run(
        [*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 'id="beam_rnn.transforms.streams.Tag"' in (tmp_path / "api" / "index.html").read_text()


def test_the_page_of_the_api_has_every_public_name() -> None:
    said = set(re.findall(r"^::: \S*\.(\w+)$", (ROOT / "docs" / "api.md").read_text(), re.M))
    public = [name for package in (rnn, features) for name in vars(package) | _later(package)]
    assert said - {"OverStreams"} == {name for name in public if _ours(name)}


def _later(package: object) -> dict[str, object]:
    return getattr(package, "_LATER", {})


def _ours(name: str) -> bool:
    found = getattr(rnn, name, None) or getattr(features, name, None)
    module = getattr(found, "__module__", None) or ""
    return not name.startswith("_") and str(module).startswith("beam_rnn.")


@pytest.mark.slow
def test_pipelines_in_yaml_write_what_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = pytest.importorskip("apache_beam.yaml.main")
    page = (ROOT / "docs" / "languages.md").read_text("utf-8")
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    specs = re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S)
    assert len(specs) == 2
    for number, spec in enumerate(specs):
        file = Path(f"{number}.yaml")
        file.write_text(spec)
        main.run([f"--yaml_pipeline_file={file}", f"--runner={LOCAL}"])
    written = {line for file in Path().glob("*-of-*") for line in file.read_text().splitlines()}
    (failed,) = Path().glob("failed-*")
    assert written - set(failed.read_text().splitlines()) == {
        line
        for said in re.findall(r"^```json\n(.*?)^```", page, re.M | re.S)
        for line in said.splitlines()
    }
    assert "the field user is null" in failed.read_text()


@pytest.mark.slow
def test_what_a_model_holds_is_what_inspect_prints() -> None:
    said = dict(console.blocks(ROOT / "docs" / "commands.md"))
    assert len(said) == 3
    (command,) = [command for command in said if "inspect" in command]
    assert console.printed(command) == said[command]


def test_the_step_in_java_is_that_of_the_pipeline() -> None:
    page = (ROOT / "docs" / "languages.md").read_text("utf-8")
    (step,) = re.findall(r"^```java\n(.*?)^```", page, re.M | re.S)
    assert step in (ROOT / "pipelines/java/src/main/java/rnn/Names.java").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
