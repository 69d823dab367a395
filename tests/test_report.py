"""The page: every text whole, everything escaped, nothing loaded from anywhere."""

import re
from html.parser import HTMLParser

import pytest

from beam_rnn.report import (
    MOST_KINDS,
    Chart,
    Failure,
    Kind,
    Page,
    Picture,
    Piece,
    Section,
    Span,
    articles,
    page,
    parts,
)

KINDS = [Kind("PER", "people", "person"), Kind("LOC", "places", "place")]


class Reader(HTMLParser):
    """Checks that tags close in order, and keeps texts, marks and whatever would load."""

    VOID = ("meta", "link", "input", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.marks: list[tuple[str, str]] = []
        self.loads: list[str] = []
        self.in_text = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name in ("src", "href", "action", "srcset"):
            if given.get(name):
                self.loads.append(str(given[name]))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "div" and given.get("class") == "text":
            self.texts.append("")
            self.in_text = True
        if tag == "mark" and self.in_text:
            self.marks.append((str(given["class"]), str(given["title"])))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "path"  # of a chart; it holds nothing

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "div":
            self.in_text = False

    def handle_data(self, data: str) -> None:
        if self.in_text:
            self.texts[-1] += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def test_texts_and_marks_are_all_there() -> None:
    pieces = [Piece("Anne", "PER", "0.98"), Piece(" went to "), Piece("Bath", "LOC"), Piece(".\n ")]
    reader = read(page(Page("Names", KINDS, [Section("a", pieces, "4 words"), Section("b", [])])))
    assert reader.texts == ["Anne went to Bath.\n ", ""]
    assert reader.marks == [("k0", "person: 0.98"), ("k1", "place")]


def test_whatever_a_text_holds_is_only_text() -> None:
    evil = "</div></article><script>alert(1)</script>&amp;\"'@@SCRIPT@@<!--"
    kinds = [Kind("<k>", evil, evil)]
    shown = Page(
        evil,
        kinds,
        [Section(evil, [Piece(evil), Piece(evil, "<k>", evil)], evil)],
        lead=evil,
        figures=[(evil, evil)],
        frequent=[("<k>", [(evil, 2)])],
        charts=[Chart(evil, [Span(0, 1, 2)], evil)],
        pictures=[Picture(b"", evil)],
        failures=[Failure(evil, evil, evil)],
        about=[(evil, evil)],
    )
    html = page(shown)
    assert read(html).texts == [evil * 2]
    for part in [*parts(shown).values(), *articles(shown, shown.sections).values()]:
        assert "<script>" not in part
    assert html.count("<script>") == 1
    assert "alert(1)</script>" not in html


def test_the_page_loads_nothing() -> None:
    html = page(Page("Names", KINDS, [Section("a", [Piece("Anne", "PER")])]))
    assert read(html).loads == ["data:,"]
    assert "default-src 'none'" in html
    assert not re.search(r"url\(|@import|https?://", html)


def test_an_unknown_class_is_plain_text() -> None:
    reader = read(page(Page("Names", KINDS, [Section("a", [Piece("Anne", "DATE")])])))
    assert reader.texts == ["Anne"]
    assert reader.marks == []


def test_more_classes_than_colours_share_the_last() -> None:
    kinds = [Kind(str(i), str(i), str(i)) for i in range(MOST_KINDS + 3)]
    pieces = [Piece(kind.key, kind.key) for kind in kinds]
    html = page(Page("Many", kinds, [Section("a", pieces)]))
    classes = [name for name, _ in read(html).marks]
    assert classes == [f"k{min(i, MOST_KINDS)}" for i in range(MOST_KINDS + 3)]
    assert f".k{MOST_KINDS}{{" in html


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(a: str, b: str) -> float:
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_in_light_and_dark() -> None:
    html = page(Page("Names", KINDS))
    light, _, dark = html.partition("@media (prefers-color-scheme:dark)")
    dark = dark.partition("\n}")[0]
    for css, ink in ((light, "#1a1a1a"), (dark, "#ececec")):
        colours = re.findall(r"\.k\d\{--back:(#\w+);--line:(#\w+)", css)
        assert len(colours) == MOST_KINDS + 1
        for back, line in colours:
            assert _contrast(back, ink) >= 7
            assert _contrast(back, line) >= 3


@pytest.mark.parametrize(
    ("highest", "top"), [(0, 1), (0.03, 0.05), (1, 1), (1.2, 2), (7, 10), (1_500, 2_000)]
)
def test_the_scale_of_a_chart_ends_at_a_round_number(highest: float, top: float) -> None:
    assert Chart("x", [Span(0, 1, highest)]).top == pytest.approx(top)


def test_a_chart_is_the_outline_of_its_steps() -> None:
    chart = Chart("x", [Span(0, 1, 5), Span(1, 4, 10)])
    assert chart.outline == "M0.0,50.0 250.0,50.0 L250.0,0.0 1000.0,0.0"
    assert chart.ground == "L1000,100 0.0,100Z"
    assert Chart("nothing", []).outline == ""
