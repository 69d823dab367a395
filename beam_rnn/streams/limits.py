"""How large an event, and what is remembered of a stream, may be."""

from __future__ import annotations

from dataclasses import dataclass, fields

from beam_rnn.errors import OptionError


@dataclass(frozen=True)
class Limits:
    """Bounds on what one event or stream takes; what is beyond them leaves on ``.failed``.

    The state of a stream is then bounded too: its row of 4 S bytes, its key, what its feature
    remembers, and the events that wait: those of the look-ahead, and the ``buffer`` of
    ``by_sequence``.

    Attributes:
      event_bytes: of an event's key, and of its value, as their coders write them.
      memory_bytes: of what a feature remembers of a stream.

    Raises:
      OptionError: a limit is not a positive number.
    """

    event_bytes: int = 4 << 20
    memory_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or value < 1:
                raise OptionError(f"{field.name} is {value!r}, expected a number of bytes from 1")

    def too_large(self, what: str, size: int) -> str | None:
        """What is wrong with a key or value of ``size`` bytes, if anything."""
        if size <= self.event_bytes:
            return None
        return f"its {what} takes {size} bytes, event_bytes is {self.event_bytes}"


DEFAULT = Limits()
