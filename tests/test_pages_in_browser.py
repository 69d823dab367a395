"""The page in headless Chromium: both colour schemes, desktop and phone, and while it is live."""

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beam_rnn.cli import PIPELINES
from beam_rnn.report import Chart, Failure, Kind, Page, Piece, Section, Span, page
from pipelines import sources
from pipelines.places import SAMPLES
from pipelines.serve import Address, Server

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on the PATH: apt-get install chromium"
    ),
]

SHOWN = Page(
    "Names in live text",
    [Kind("PER", "people", "person"), Kind("LOC", "places", "place")],
    [
        Section("ann", [Piece("Anne", "PER"), Piece(" went to "), Piece("Bath", "LOC")]),
        Section("bob", [Piece("nothing named")]),
    ],
    figures=[("2", "streams")],
    charts=[Chart("Events a second", [Span(0, 1, 3), Span(1, 2, 5)], "4 mean")],
    failures=[Failure("bob", "no text", "<script>alert(1)</script>")],
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the extra dev is not installed")
    with playwright.sync_playwright() as started:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        yield started.chromium.launch(executable_path=CHROMIUM, args=quiet)


def opened(browser: Any, url: str, **options: Any) -> tuple[Any, list[str]]:
    tab = browser.new_page(**options)
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(url)
    return tab, said


def fits(browser: Any, url: str) -> None:
    """It is as wide as the screen, in both schemes and widths, and says nothing to the console."""
    for scheme, ground in (("light", "rgb(246, 246, 243)"), ("dark", "rgb(18, 19, 20)")):
        for width in (390, 1280):
            size = {"width": width, "height": 844}
            tab, said = opened(browser, url, viewport=size, color_scheme=scheme)
            assert tab.evaluate("document.documentElement.scrollWidth") == width
            assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == ground
            assert len(tab.screenshot()) > 10_000
            assert said == []
            tab.close()


def test_it_fits_and_reports_no_errors(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    path.write_text(page(SHOWN))
    fits(browser, path.as_uri())
    server = Server(Address("127.0.0.1", 0), lambda: SHOWN)
    with server.running():
        fits(browser, server.url)


# The sample of each application, and how many of its lines are enough (of DNA: a contig).
LITTLE = {
    "tag-names": ("texts.jsonl", 60),
    "annotate-dna": ("contigs.gbk", 424),
    "classify-sentiment": ("opinions.jsonl", 20),
    "detect-running": ("poses.jsonl", 100),
    "transcribe-speech": ("digits.flac", None),
    "generate-music": ("seeds.abc", None),
    "translate-text": ("verses.jsonl", 6),
}


@pytest.mark.parametrize("command", PIPELINES)
def test_the_page_of_each_application_fits(browser: Any, tmp_path: Path, command: str) -> None:
    name, lines = LITTLE[command]
    source = SAMPLES / name
    if lines is not None:
        source = tmp_path / name
        source.write_bytes(b"".join((SAMPLES / name).read_bytes().splitlines(True)[:lines]))
    module = importlib.import_module(f"pipelines.{command.replace('-', '_')}")
    sources.start()
    output = tmp_path / "out"
    assert module.main(["--input", str(source), "--output", str(output), "--no-view"]) == 0
    assert "<article " in (output / "index.html").read_text()
    fits(browser, (output / "index.html").as_uri())


def test_search_filter_and_readout(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    path.write_text(page(SHOWN))
    tab, said = opened(browser, path.as_uri())
    tab.fill("#find", "bath")
    tab.get_by_text("1 of 2 streams").wait_for()
    assert tab.locator("article:visible").count() == 1
    tab.fill("#find", "")
    tab.select_option("#only", "failed")
    assert tab.locator("article:visible h2").text_content() == "bob"
    tab.hover(".plot")
    assert " at " in tab.locator(".chart output").inner_text()
    assert said == []


def test_a_live_page_shows_what_comes_and_that_it_ends(browser: Any) -> None:
    shown = [SHOWN]
    server = Server(Address("127.0.0.1", 0), lambda: shown[0])
    with server.running():
        tab, said = opened(browser, server.url)
        shown[0] = Page("Names", SHOWN.kinds, [*SHOWN.sections, Section("cy", [Piece("new")])])
        tab.wait_for_selector("article[data-stream=cy]")
        server._feed.over.set()
        tab.locator("#state", has_text="ended").wait_for()
    assert said == []
