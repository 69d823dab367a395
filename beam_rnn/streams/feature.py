"""Raw values -> inputs of the network, where a value may give none or many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

Piece = tuple[Any, Any]  # (what the answer echoes, x)


@runtime_checkable
class Feature(Protocol):
    """Makes inputs from the values of a stream; what it remembers is part of the stream's state.

    Both methods are pure, so that a retried bundle gives the same inputs.
    """

    def feed(self, value: Any, memory: bytes) -> tuple[list[Piece], bytes]:
        """Takes a value; returns the inputs that are complete, and the new memory."""

    def finish(self, memory: bytes) -> list[Piece]:
        """The inputs that are still in the memory when a sequence ends."""


@dataclass(frozen=True)
class flat:
    """A feature that makes any number of inputs of each value; answers echo the value.

    ``x=rnn.flat(lambda word: [ids[letter] for letter in word])``: a word is a row of letters.
    """

    of: Callable[[Any], Iterable[Any]]

    def feed(self, value: Any, memory: bytes) -> tuple[list[Piece], bytes]:
        """The inputs of the value."""
        return [(value, x) for x in self.of(value)], memory

    def finish(self, memory: bytes) -> list[Piece]:
        """Nothing is remembered."""
        return []
