"""Text -> words, each as the integer row that a tagger reads: word, shape, affixes, letters."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import InputError, OptionError
from beam_rnn.features.tokens import Token, Tokenizer, tokenize, tokenize_tail

__all__ = ["BUCKETS", "LETTERS", "SHAPES", "SPELLING", "Token", "Tokenizer", "UNKNOWN", "Words"]

UNKNOWN = "<unk>"
"""The word with id 1, which stands for every word that is not in the vocabulary."""

SHAPES = [
    "padding",
    "lower",
    "Capital",
    "CAPITALS",
    "letter",
    "CamelCase",
    "camelCase",
    "number",
    "number-with-marks",
    "number-and-letters",
    "U.S.",
    "Mr.",
    "lower-hyphen",
    "Capital-hyphen",
    "CAPITALS-HYPHEN",
    "'s",
    "uncased",
    "stop",
    "pause",
    "opening",
    "closing",
    "quote",
    "dash",
    "other",
]
"""Names of the shape ids."""

BUCKETS = 4096
"""Ids of a prefix or suffix: 0 is padding, the others a hash."""

LETTERS = 16
"""Letters of a word that are kept; of a longer word the middle is left out."""

SPELLING = "".join(map(chr, range(33, 127)))
"""The letters with an id of their own, from 5 on; 0 is padding, 1 to 4 kinds of other letters."""

_MARKS = {"stop": ".!?", "pause": ",;:", "opening": "([{<", "closing": ")]}>", "quote": "\"'`"}
_MARK_SHAPE = {mark: SHAPES.index(name) for name, marks in _MARKS.items() for mark in marks}
_PLAIN = str.maketrans(
    {"‘": "'", "’": "'", "‛": "'", "“": '"', "”": '"', "„": '"', "—": "-", "–": "-", "‐": "-"}
)
_CACHED = 1 << 16


def ids_of(vocabulary: Sequence[str]) -> dict[str, int]:
    """The id of each word of a vocabulary.

    Raises:
      OptionError: it does not start with "" and UNKNOWN, or has a word twice.
    """
    first = tuple(vocabulary[:2])
    if first != ("", UNKNOWN):
        raise OptionError(f'a vocabulary starts with "" and "{UNKNOWN}", got {first}')
    ids = {word: i for i, word in enumerate(vocabulary)}
    if len(ids) != len(vocabulary):
        twice = next(word for i, word in enumerate(vocabulary) if ids[word] != i)
        raise OptionError(f"the vocabulary has the word {twice!r} twice")
    return ids


class Words:
    """A Feature: a piece of text -> [(Token, row), ...] for a network that reads word rows.

    A row is int64, (20,): id of the word in the vocabulary, shape id, ids of the first and the
    last three letters (lower case, hashed with CRC-32), and LETTERS letter ids. 0 is padding
    everywhere, so that a row of zeros is "no word".

    Args:
      vocabulary: the word of each id: "" first, then UNKNOWN. A word is looked up as it is, then
        in lower case, then with each digit as 0; else it is UNKNOWN.

    Raises OptionError if the vocabulary does not start so, or has a word twice.
    """

    echoes = Token
    width = 4 + LETTERS
    """Columns of a row."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._ids = ids_of(self.vocabulary)
        self._rows: dict[str, NDArray[np.int64]] = {}

    @property
    def columns(self) -> list[tuple[int, int]]:
        """(columns, number of ids) of the word, shape, prefix, suffix and letter ids."""
        sizes = [len(self.vocabulary), len(SHAPES), BUCKETS, BUCKETS]
        return [(1, size) for size in sizes] + [(LETTERS, 5 + len(SPELLING))]

    def feed(self, value: str, memory: bytes = b"") -> tuple[list[tuple[Token, Any]], bytes]:
        """The words that `value` finishes, with their rows, and the new memory.

        Raises InputError if value is not a str.
        """
        tokens, memory = tokenize(value, memory)
        return [(token, self.row(token.text)) for token in tokens], memory

    def finish(self, memory: bytes) -> list[tuple[Token, Any]]:
        """The words of the unfinished tail, with their rows, as the text ends here."""
        return [(token, self.row(token.text)) for token in tokenize_tail(memory)]

    def row(self, word: str) -> NDArray[np.int64]:
        """The row (20,) of a word; read-only, and shared by all calls with the same word."""
        if not isinstance(word, str):
            raise InputError(f"expected a word (str), got {type(word).__name__}")
        row = self._rows.get(word)
        if row is None:
            if len(self._rows) >= _CACHED:
                self._rows.clear()
            row = self._rows[word] = self._make_row(word)
        return row

    def rows(self, words: Iterable[str]) -> NDArray[np.int64]:
        """The rows (T, 20) of words that are already cut."""
        if isinstance(words, str):
            raise InputError("expected a list of words, got one str")
        made = [self.row(word) for word in words]
        return np.stack(made) if made else np.zeros((0, self.width), np.int64)

    def _make_row(self, word: str) -> NDArray[np.int64]:
        plain = word.translate(_PLAIN)
        row = np.zeros(self.width, np.int64)
        row[0] = self._word_id(word, plain)
        row[1] = SHAPES.index("dash") if plain.strip("-") == "" else _shape(plain)
        lower = plain.lower()
        row[2], row[3] = _bucket("^" + lower[:3]), _bucket(lower[-3:] + "$")
        if len(plain) > LETTERS:
            plain = plain[: LETTERS // 2] + plain[-(LETTERS // 2) :]
        row[4 : 4 + len(plain)] = [_letter(letter) for letter in plain]
        row.flags.writeable = False
        return row

    def _word_id(self, word: str, plain: str) -> int:
        lower = plain.lower()
        zeros = "".join("0" if c.isdigit() else c for c in lower)
        dashes = "--" if "—" in word or "–" in word else lower
        for form in (word, plain, lower, dashes, zeros):
            found = self._ids.get(form, 0)
            if found:
                return found
        return 1

    def __getstate__(self) -> tuple[str, ...]:
        return self.vocabulary

    def __setstate__(self, vocabulary: tuple[str, ...]) -> None:
        self.__init__(vocabulary)  # type: ignore[misc]


def _bucket(affix: str) -> int:
    """A stable hash: Python's own differs from process to process."""
    return crc32(affix.encode("utf-8", "replace")) % (BUCKETS - 1) + 1


def _letter(letter: str) -> int:
    code = ord(letter)
    if code < 128:
        return code - 28 if 33 <= code < 127 else 4
    base = unicodedata.normalize("NFKD", letter)[0]
    if 33 <= ord(base) < 127:
        return ord(base) - 28
    return 1 if letter.isupper() else 2 if letter.islower() else 3 if letter.isalpha() else 4


def _shape(word: str) -> int:
    """The shape id of a word whose quotes and dashes are plain ASCII."""
    return SHAPES.index(_shape_name(word)) if len(word) > 1 or word.isalnum() else _mark(word)


def _mark(word: str) -> int:
    return _MARK_SHAPE.get(word, SHAPES.index("other"))


def _shape_name(word: str) -> str:
    letters = [c for c in word if c.isalpha()]
    digits = any(c.isdigit() for c in word)
    if not letters:
        if word.isdigit():
            return "number"
        return "number-with-marks" if digits else "stop" if word.startswith(".") else "other"
    if digits:
        return "number-and-letters"
    if word[0] == "'" or word.lower() == "n't":
        return "'s"
    upper = [c.isupper() for c in letters]
    lower = [c.islower() for c in letters]
    if not any(upper) and not any(lower):
        return "uncased"
    if "-" in word:
        if all(upper):
            return "CAPITALS-HYPHEN"
        return "Capital-hyphen" if upper[0] else "lower-hyphen"
    if "." in word and upper[0]:
        return "U.S." if word.count(".") > 1 or not any(lower) else "Mr."
    if not any(upper):
        return "lower"
    if all(upper):
        return "letter" if len(word) == 1 else "CAPITALS"
    if not upper[0]:
        return "camelCase"
    return "CamelCase" if any(upper[1:]) else "Capital"
