"""Text -> the ids of its pieces: the longest of a vocabulary that fits, again and again."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from beam_rnn.errors import InputError, OptionError
from beam_rnn.features.tokens import LONGEST

__all__ = ["MARK", "Pieces"]

MARK = "\N{LOWER ONE EIGHTH BLOCK}"
"""What a word begins with in the pieces of SentencePiece."""

_SIGNS = {"'": "’", "’": "'", "‘": "’", "–": "-", "—": "-"}  # one for the other
_WORD = re.compile(rf"\S{{1,{LONGEST}}}")


class Pieces:
    """A Feature: a piece of text -> [(piece, id), ...]: words, parts of words, or letters.

    With a vocabulary in which words begin with MARK, "God said" is read as those of "▁God" and
    "▁said"; without it, as one word, letter by letter. A sign that is no piece is read in small
    letters, or without its accent. A letter that is none even so is refused, and any other sign
    is left out.

    Args:
      vocabulary: the piece of each id. Those that begin with < are never found in a text.

    Raises OptionError if words begin with MARK, and MARK alone is no piece.
    """

    echoes = str

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._ids = {
            piece: id for id, piece in enumerate(self.vocabulary) if piece and piece[0] != "<"
        }
        self._longest = max(map(len, self._ids), default=1)
        self._mark = MARK if any(piece[0] == MARK for piece in self._ids) else ""
        if self._mark and MARK not in self._ids:
            raise OptionError(f"a vocabulary of words that begin with {MARK} needs {MARK} itself")

    def feed(self, value: str, memory: bytes = b"") -> tuple[list[tuple[str, int]], bytes]:
        """The pieces of the words that ``value`` finishes, and the new memory.

        Raises InputError if value is not a str, or a letter is no piece.
        """
        if not isinstance(value, str):
            raise InputError(f"expected a piece of text (str), got {type(value).__name__}")
        text = memory.decode() + value
        pairs: list[tuple[str, int]] = []
        for word in _WORD.finditer(text):
            if word.end() == len(text) and len(word[0]) < LONGEST:
                return pairs, word[0].encode()  # more of it may come
            pairs += self._cut(word[0])
        return pairs, b""

    def finish(self, memory: bytes) -> list[tuple[str, int]]:
        """The pieces of the unfinished word, as the text ends here."""
        return list(self._cut(memory.decode()))

    def unknown(self, text: str) -> str:
        """The letters of a text that are none of the vocabulary's, each once."""
        return "".join(
            sign for sign in dict.fromkeys(text) if sign.isalpha() and self._form(sign) is None
        )

    def whole(self, text: str) -> list[tuple[str, int]]:
        """The pieces of a text that is complete."""
        pairs, memory = self.feed(text)
        return pairs + self.finish(memory)

    def _cut(self, word: str) -> Iterator[tuple[str, int]]:
        text = "".join(map(self._known, word))
        text = self._mark + text if text else ""
        at = 0
        while at < len(text):
            stop = min(at + self._longest, len(text))
            while text[at:stop] not in self._ids:
                stop -= 1
            yield text[at:stop], self._ids[text[at:stop]]
            at = stop

    def _known(self, sign: str) -> str:
        """The sign as it stands among the pieces, or nothing."""
        form = self._form(sign)
        if form is None and sign.isalpha():
            raise InputError(f"the letter {sign!r} is not one that the model reads")
        return form or ""

    def _form(self, sign: str) -> str | None:
        plain = unicodedata.normalize("NFKD", sign)
        bare = "".join(c for c in plain if not unicodedata.combining(c))
        forms = (sign, sign.lower(), bare, bare.lower(), _SIGNS.get(sign, ""))
        known = (form for form in forms if form and all(c in self._ids for c in form))
        return next(known, None)

    def __getstate__(self) -> tuple[str, ...]:
        return self.vocabulary

    def __setstate__(self, vocabulary: tuple[str, ...]) -> None:
        self.__init__(vocabulary)  # type: ignore[misc]
