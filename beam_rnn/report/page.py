"""What a page shows, and its HTML."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from beam_rnn.report.chart import Chart

__all__ = [
    "MOST_KINDS",
    "Failure",
    "Kind",
    "Page",
    "Picture",
    "Piece",
    "Section",
    "articles",
    "page",
    "parts",
]

MOST_KINDS = 6
"""Classes that have colours of their own; more share a grey."""


class Kind(NamedTuple):
    """A class of marked parts."""

    key: str  # as pieces name it
    name: str  # as people read it, in the plural
    one: str  # the same of a single one, shown at a mark


class Piece(NamedTuple):
    """A part of a text."""

    text: str
    kind: str = ""  # the key of its class, or "" for plain text
    note: str = ""  # shown when the mouse rests on it


class Picture(NamedTuple):
    """A picture as the bytes of a PNG file, and what it shows, in words."""

    png: bytes
    shows: str

    @property
    def source(self) -> str:
        """The picture as a link that holds it."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


class Failure(NamedTuple):
    """An input that could not be used."""

    stream: str  # "" where it is not known
    reason: str
    input: str


@dataclass(frozen=True)
class Section:
    """The text of one stream with its title and what else is to be said of it in a few words."""

    title: str
    pieces: Sequence[Piece]
    facts: str = ""


@dataclass(frozen=True)
class Page:
    """What a page shows.

    Attributes:
      title: of the page.
      kinds: the classes of marked parts, in the order of their colours.
      sections: the texts, in the order in which they are shown.
      lead: a sentence below the title.
      figures: (number, what it counts) at the top.
      frequent: (key of a class, [(text, how often), ...]): what is named most.
      charts: figures over time; all with the same spans.
      pictures: shown above the texts.
      failures: the inputs that failed, as many as are to be shown.
      about: (what, how it was) of the run.
    """

    title: str
    kinds: Sequence[Kind] = ()
    sections: Sequence[Section] = ()
    lead: str = ""
    figures: Sequence[tuple[str, str]] = ()
    frequent: Sequence[tuple[str, Sequence[tuple[str, int]]]] = ()
    charts: Sequence[Chart] = ()
    pictures: Sequence[Picture] = ()
    failures: Sequence[Failure] = ()
    about: Sequence[tuple[str, str]] = ()
    _kinds: Mapping[str, Kind] = field(init=False, repr=False)
    _colours: Mapping[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_kinds", {kind.key: kind for kind in self.kinds})
        colours = {kind.key: f"k{min(i, MOST_KINDS)}" for i, kind in enumerate(self.kinds)}
        object.__setattr__(self, "_colours", colours)

    def colour(self, key: str) -> str:
        """The style of a class; "" where the page does not know it: then it is plain text."""
        return self._colours.get(key, "")

    def kind(self, key: str) -> Kind:
        """The class of a key."""
        return self._kinds[key]

    def marks(self, section: Section) -> int:
        """How many pieces of a section are marked."""
        return sum(piece.kind in self._kinds for piece in section.pieces)

    def failed(self) -> Mapping[str, int]:
        """How many of the shown failures each stream has."""
        return Counter(failure.stream for failure in self.failures)


def page(shown: Page, live: str = "") -> str:
    """The whole page; its language is English, its encoding UTF-8.

    Args:
      shown: what it shows.
      live: where the page asks for its parts as they change (server-sent events), or "" for a page
        that is not served.
    """
    style, script = _text("page.css"), _text("page.js")
    html = _template("page.html").render(page=shown, style=style, script=script, live=live)
    return str(html)


def parts(shown: Page) -> dict[str, str]:
    """The HTML of each part that changes while a job runs, by the id of its place on the page."""
    macros = _template("parts.html").module
    return {name: str(getattr(macros, name)(shown)) for name in ("figures", "charts", "failures")}


def articles(shown: Page, sections: Iterable[Section]) -> dict[str, str]:
    """The HTML of some of the sections of a page, by their titles."""
    article = _template("parts.html").module.article
    return {section.title: str(article(shown, section)) for section in sections}


@cache
def _templates() -> Any:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        autoescape=True,
        loader=FunctionLoader(_text),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _template(name: str) -> Any:
    return _templates().get_template(name)


def _text(name: str) -> str:
    return resources.files("beam_rnn.report").joinpath(name).read_text(encoding="utf-8")
