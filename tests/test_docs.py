"""The examples of the pages are run as they stand."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
