"""Names in tagged words: which words make one name, and how they look on a page."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from beam_rnn.report import Kind, Piece, Section
from pipelines.pages import Look

KINDS = [
    Kind("PER", "people", "person"),
    Kind("LOC", "places", "place"),
    Kind("ORG", "organisations", "organisation"),
    Kind("MISC", "other names", "other"),
]

_FIRST, _LAST = ("B-", "S-", "U-"), ("E-", "S-", "L-", "U-")


class Tagged(NamedTuple):
    """What a name is made of."""

    token: str
    before: str  # the white space before the token
    label: str
    score: float


def kind_of(label: str) -> str:
    """The class of a tag: ``B-PER``, ``I-PER`` and ``PER`` are PER, ``O`` is none, ""."""
    return "" if label == "O" else label.rpartition("-")[2]


def begins(label: str, before: str) -> bool:
    """Whether a name begins at this tag, after the tag ``before``."""
    kind = kind_of(label)
    return bool(kind) and (label[:2] in _FIRST or before[:2] in _LAST or kind != kind_of(before))


def names_in(words: Iterable[Any]) -> Iterator[Piece]:
    """The text of the words (Tagged, or rows with its fields) in pieces.

    Each name is one piece, with its class and lowest score.
    """
    text, before, kind, lowest = "", "O", "", 1.0
    for word in words:
        new_kind = kind_of(word.label)
        if begins(word.label, before) or new_kind != kind:
            if text:
                yield Piece(text, kind, f"{lowest:.2f}" if kind else "")
            text, kind, lowest = "", new_kind, 1.0
            if kind and word.before:
                yield Piece(word.before)
                word = word._replace(before="")
        text += word.before + word.token
        lowest = min(lowest, word.score)
        before = word.label
    if text:
        yield Piece(text, kind, f"{lowest:.2f}" if kind else "")


def section(stream: str, words: Sequence[Any]) -> Section:
    """What a page shows of a text: its names, marked."""
    pieces = list(names_in(words))
    marked = sum(bool(piece.kind) for piece in pieces)
    return Section(stream, pieces, f"{len(words):,} words, {marked:,} names")


LOOK = Look(
    title="Names in live text",
    lead="Marked by a recurrent network while the texts were being told.",
    kinds=KINDS,
    section=section,
    rows="words",
    frequent=True,
)
