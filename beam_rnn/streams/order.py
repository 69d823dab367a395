"""In which order the events of a stream are stepped."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Order:
    """An order of events; use ``arrival`` or ``event_time``."""

    name: str

    def __repr__(self) -> str:
        return f"beam_rnn.{self.name}"


arrival = Order("arrival")
"""As the runner brings them. Streaming runners keep the order of one producer; batch runners
keep none."""

event_time = Order("event_time")
"""By timestamp, events of one time in the order in which they came; bounded input only."""
