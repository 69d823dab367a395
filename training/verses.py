"""Verses of two Bibles, English (King James) and Spanish (Reina-Valera 1909): public domain.

Both modules have, beside their words, the numbers of Strong's concordance: which word of the
original they stand for. Words of the same number in one verse translate each other.
"""

import html
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from beam_rnn.features import Pieces
from beam_rnn.features.pieces import MARK
from training import packages

ENGLISH, SPANISH = ("sword-text-kjv", "engKJV2006eb"), ("sword-text-sparv", "spaRV1909eb")
FOLDER = packages.CACHE / "verses"
EVERY = 40
"""One chapter of so many is for the test, another one for validation."""

_SIGNS = "¶\\"  # of printers, no part of the text

Numbers = tuple[str, ...]


class Side(NamedTuple):
    """A verse in one language: its text, and the Strong's numbers of each character."""

    text: str
    numbers: list[Numbers]


class Verse(NamedTuple):
    """A verse in both; ``chapter`` counts those of the whole Bible from 0."""

    book: str
    chapter: int
    english: Side
    spanish: Side


class Splits(NamedTuple):
    """Verses of chapters that share none."""

    train: list[Verse]
    valid: list[Verse]
    test: list[Verse]


def read(folder: Path = FOLDER) -> Splits:
    """The verses that both Bibles have, by chapters; Debian's packages are fetched once.

    What also stands in a chapter that was left out, word for word, does not train.
    """
    kept = folder / "verses.jsonl"
    if not kept.exists():
        lines = [json.dumps(row, ensure_ascii=False) for row in _marked(folder)]
        kept.write_text("\n".join(lines), "utf-8")
    splits = Splits([], [], [])
    for line in kept.read_text("utf-8").splitlines():
        book, chapter, english, spanish = json.loads(line)
        verse = Verse(book, chapter, parse(english), parse(spanish))
        if verse.english.text and verse.spanish.text:
            {0: splits.test, EVERY // 2: splits.valid}.get(chapter % EVERY, splits.train).append(
                verse
            )
    seen = {side.text for v in (*splits.valid, *splits.test) for side in (v.english, v.spanish)}
    train = [v for v in splits.train if not {v.english.text, v.spanish.text} & seen]
    return splits._replace(train=train)


def coded(side: Side, pieces: Pieces) -> list[tuple[int, Numbers]]:
    """The ids of the pieces of a verse, and the numbers of the word that each is of."""
    found, at = [], 0
    for piece, id in pieces.whole(side.text):
        length = len(piece.removeprefix(MARK))
        if piece.startswith(MARK):
            at += side.text[at : at + 1] == " "
        numbers = dict.fromkeys(n for letter in side.numbers[at : at + length] for n in letter)
        found.append((id, tuple(numbers)))
        at += length
    return found


def _marked(folder: Path) -> Iterator[tuple[str, int, str, str]]:
    """(book, chapter, English, Spanish) of each verse, with its markup."""
    from pysword.modules import SwordModules

    for package, _ in (ENGLISH, SPANISH):
        found = packages.debian(package, folder)
        subprocess.run(["dpkg-deb", "-x", str(found), str(folder)], check=True)
    modules = SwordModules(str(folder / "usr/share/sword"))
    modules.parse_modules()
    english, spanish = (modules.get_bible_from_module(name) for _, name in (ENGLISH, SPANISH))
    chapter = 0
    for books in english.get_structure().get_books().values():
        for book in books:
            for number in range(1, book.num_chapters + 1):
                where = {"books": [book.name], "chapters": [number], "clean": False}
                both = zip(english.get_iter(**where), spanish.get_iter(**where), strict=True)
                for one, other in both:
                    yield book.name, chapter, one, other
                chapter += 1


def parse(marked: str) -> Side:
    """The words of a verse in OSIS markup, without its notes and the titles of editors."""
    marked = re.sub(r"<note\b.*?</note>", "", marked, flags=re.DOTALL)
    marked = re.sub(r'<title\b(?![^>]*canonical="true").*?</title>', "", marked, flags=re.DOTALL)
    text: list[str] = []
    numbers: list[Numbers] = []
    now: Numbers = ()
    for part in re.split(r"(<[^>]*>)", marked):
        if part.startswith("<"):
            if part.startswith("<w "):
                now = tuple(re.findall(r"\b[GH]\d+", part))
            elif part.startswith("</w"):
                now = ()
            continue
        for letter in html.unescape(part):
            if letter in _SIGNS:
                continue
            if letter.isspace():
                if not text or text[-1] == " ":
                    continue
                letter = " "
            text.append(letter)
            numbers.append(() if letter == " " else now)
    if text and text[-1] == " ":
        text.pop()
        numbers.pop()
    # The first word of a chapter is in capitals, as printers have it.
    first = re.match(r"\W*(?:[YO] )?\W*([^\W\d_]{2,})", "".join(text))
    if first and first[1].isupper() and first[1] not in ("LORD", "GOD"):
        text[first.start(1) + 1 : first.end(1)] = list(first[1][1:].lower())
    return Side("".join(text), numbers)
