"""Raw values -> inputs of the network, where a value may give none or many."""

from __future__ import annotations

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
