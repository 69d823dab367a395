"""Names in tagged words: which words make one name, and the page that shows them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from beam_rnn.report import Kind, Piece, Section, page

KINDS = [
    Kind("PER", "people", "person"),
    Kind("LOC", "places", "place"),
    Kind("ORG", "organisations", "organisation"),
    Kind("MISC", "other names", "other"),
]

# What a page shows at most: a browser has to lay it out, and this process to hold it.
WORDS_OF_A_STREAM = 3_000  # the last ones
STREAMS_ON_PAGE = 400  # the first ones
MOST_NAMED = 12


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


def names_in(words: Iterable[Tagged]) -> Iterator[Piece]:
    """The text of the words in pieces: each name one, with its class and lowest score."""
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


@dataclass
class Texts:
    """Tagged texts, as many as a page can show, and how many there are."""

    shown: dict[str, list[Tagged]] = field(default_factory=dict)
    streams: set[str] = field(default_factory=set)
    words: int = 0
    cut: bool = False

    @classmethod
    def of(cls, parts: Iterable[pa.Table]) -> "Texts":
        """Reads tables of words, in the order in which they were written."""
        texts = cls()
        for part in parts:
            texts.words += len(part)
            columns = [part.column(name).to_pylist() for name in ("stream", *Tagged._fields)]
            for stream, *word in zip(*columns, strict=True):
                texts._add(stream, Tagged(*word))
        return texts

    def _add(self, stream: str, word: Tagged) -> None:
        words = self.shown.get(stream)
        if words is None:
            self.streams.add(stream)
            if len(self.shown) == STREAMS_ON_PAGE:
                self.cut = True
                return
            words = self.shown[stream] = []
        words.append(word)
        if len(words) > 2 * WORDS_OF_A_STREAM:
            del words[:WORDS_OF_A_STREAM]
            self.cut = True

    def page(self, figures: Sequence[tuple[str, str]]) -> str:
        """The page of the texts; ``figures``: more of them for its top, (number, what)."""
        named: dict[str, Counter[str]] = {kind.key: Counter() for kind in KINDS}
        sections = []
        for stream, words in sorted(self.shown.items()):
            pieces = list(names_in(words))
            marked = [piece for piece in pieces if piece.kind in named]
            for piece in marked:
                named[piece.kind][" ".join(piece.text.split())] += 1
            facts = f"{len(words):,} words, {len(marked):,} names"
            sections.append(Section(stream, pieces, facts))
        lead = "Marked by a recurrent network while the texts were being told."
        if self.cut:
            lead += (
                f" Shown are {len(self.shown):,} of {len(self.streams):,} streams and the last"
                " words of each; the Parquet files have all."
            )
        counts = [(f"{len(self.streams):,}", "streams"), (f"{self.words:,}", "words")]
        counts += [(f"{named[kind.key].total():,}", kind.name) for kind in KINDS]
        frequent = [(key, counter.most_common(MOST_NAMED)) for key, counter in named.items()]
        title = "Names in live text"
        counts += figures
        return page(title, KINDS, sections, lead=lead, figures=counts, frequent=frequent)


def write_page(path: Path, texts: Texts, figures: Sequence[tuple[str, str]]) -> None:
    """Writes the page of the texts; a reader never sees half of it."""
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(texts.page(figures), encoding="utf-8")
    unfinished.replace(path)
