"""In which order the events of a stream are stepped."""

from __future__ import annotations

from dataclasses import dataclass

from beam_rnn.errors import OptionError


@dataclass(frozen=True)
class Order:
    """An order of events; made by ``arrival``, ``event_time`` and ``by_event_time``.

    Attributes:
      name: how it is told.
      lateness: microseconds behind the watermark for which events are waited for; None where the
        order does not look at times.
    """

    name: str
    lateness: int | None = None

    def __repr__(self) -> str:
        return f"beam_rnn.{self.name}"


arrival = Order("arrival")
"""As the runner brings them. Streaming runners keep the order of one producer; batch runners
keep none."""

event_time = Order("event_time", 0)
"""By timestamp: ``by_event_time()``, without waiting for late events."""


def by_event_time(lateness: float = 0) -> Order:
    """By timestamp; events of one time in the order in which they came.

    Unbounded events wait until the watermark has passed their time by ``lateness`` seconds. An
    event that comes when its stream has stepped a later one is not stepped: it leaves on ``.late``.

    Raises:
      OptionError: lateness is negative.
    """
    if not lateness >= 0:
        raise OptionError(f"lateness is {lateness!r}, expected seconds from 0")
    return Order(f"by_event_time({lateness:g})", round(lateness * 1e6))
