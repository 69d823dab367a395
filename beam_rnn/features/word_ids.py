"""Text -> the ids of its words, for a network that begins with an Embedding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_rnn.features.text import ids_of
from beam_rnn.features.tokens import Token, tokenize, tokenize_tail

__all__ = ["WordIds"]


class WordIds:
    """A Feature: a piece of text -> [(Token, id), ...], one for each word and mark.

    A word is looked up in lower case with each digit as 0; one that is not in the vocabulary has
    the id 1. 0 is padding.

    Args:
      vocabulary: the word of each id: "" first, then UNKNOWN.

    Raises OptionError if the vocabulary does not start so, or has a word twice.
    """

    echoes = Token

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._ids = ids_of(self.vocabulary)

    @staticmethod
    def form(word: str) -> str:
        """How a word stands in the vocabulary."""
        plain = word.lower().replace("’", "'").replace("‘", "'")
        return "".join("0" if c.isdigit() else c for c in plain) if not plain.isalpha() else plain

    def feed(self, value: str, memory: bytes = b"") -> tuple[list[tuple[Token, Any]], bytes]:
        """The words that `value` finishes, with their ids, and the new memory.

        Raises InputError if value is not a str.
        """
        tokens, memory = tokenize(value, memory)
        return [(token, self._id(token)) for token in tokens], memory

    def finish(self, memory: bytes) -> list[tuple[Token, Any]]:
        """The words of the unfinished tail, with their ids, as the text ends here."""
        return [(token, self._id(token)) for token in tokenize_tail(memory)]

    def ids(self, text: str) -> NDArray[np.int64]:
        """The ids (T,) of a whole text."""
        pairs, memory = self.feed(text)
        return np.array([i for _, i in [*pairs, *self.finish(memory)]], np.int64)

    def _id(self, token: Token) -> int:
        return self._ids.get(self.form(token.text), 1)

    def __getstate__(self) -> tuple[str, ...]:
        return self.vocabulary

    def __setstate__(self, vocabulary: tuple[str, ...]) -> None:
        self.__init__(vocabulary)  # type: ignore[misc]
