"""Tokens -> their ids in a vocabulary, for a network that begins with an Embedding."""

from collections.abc import Iterable, Sequence
from typing import Any

from beam_rnn.errors import InputError, OptionError

__all__ = ["TokenIds"]


class TokenIds:
    """A Feature: tokens of a vocabulary -> [(token, id), ...].

    A value is a sequence of tokens: a list of strings, or a string, whose letters are the tokens.

    Args:
      vocabulary: the token of each id.

    Raises OptionError if the vocabulary has a token twice.
    """

    echoes = str

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._ids = {token: i for i, token in enumerate(self.vocabulary)}
        if len(self._ids) != len(self.vocabulary):
            twice = next(t for i, t in enumerate(self.vocabulary) if self._ids[t] != i)
            raise OptionError(f"the vocabulary has the token {twice!r} twice")

    def feed(
        self, value: Iterable[str], memory: bytes = b""
    ) -> tuple[list[tuple[str, Any]], bytes]:
        """The tokens of `value` with their ids; nothing is remembered.

        Raises InputError if a token is not in the vocabulary.
        """
        tokens = list(value)
        try:
            return [(token, self._ids[token]) for token in tokens], memory
        except (KeyError, TypeError):
            unknown = next(t for t in tokens if not isinstance(t, str) or t not in self._ids)
            raise InputError(f"the vocabulary has no token {unknown!r}") from None

    def finish(self, memory: bytes) -> list[tuple[str, Any]]:
        """Nothing waits."""
        return []
