"""What a feature with memory is: it turns raw values of a stream into network inputs."""

from typing import Any, Protocol, runtime_checkable

__all__ = ["Feature"]


@runtime_checkable
class Feature(Protocol):
    """Raw values of one stream -> what the network reads.

    A feature is pure: the same arguments give the same result. What it remembers between two
    values of a stream is the bytes that it hands back; they start as `b""`, are bounded, and are
    kept beside the hidden state. However a stream is cut into values, the inputs are the same.
    A feature may tell by ``echoes`` of what type its echoes are, so that rows can have them.
    """

    def feed(self, value: Any, memory: bytes) -> tuple[list[tuple[Any, Any]], bytes]:
        """Takes the next value; returns [(what the answer echoes, network input), ...], memory.

        Raises InputError, with the memory untouched, if the value is not of the right kind.
        """
        ...

    def finish(self, memory: bytes) -> list[tuple[Any, Any]]:
        """What was still pending when the stream ended, in the same form."""
        ...
