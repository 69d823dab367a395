"""How keys and values are written into the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from beam_rnn.errors import StateError
from beam_rnn.streams import columns


class Codec(NamedTuple):
    """The coders of the events' collection, as functions."""

    decode_key: Callable[[bytes], Any]
    encode_value: Callable[[Any], bytes]
    decode_value: Callable[[bytes], Any]

    def encode_pending(self, pending: list[tuple[int, Any]]) -> bytes:
        """Writes the (time, value) of events that wait for their answer."""
        times = np.array([time for time, _ in pending], np.int64)
        values = [self.encode_value(value) for _, value in pending]
        return columns.encode({"time": times, "input": values})

    def decode_pending(self, data: bytes) -> list[tuple[int, Any]]:
        """Reads what ``encode_pending`` wrote.

        Raises:
          StateError: the bytes are broken.
        """
        named = columns.decode(data)
        if set(named) != {"time", "input"} or len(named["time"]) != len(named["input"]):
            raise StateError(f"waiting events with the columns {sorted(named)}")
        return list(
            zip(named["time"].tolist(), map(self.decode_value, named["input"]), strict=True)
        )

    def encode_values(self, values: list[Any]) -> bytes:
        """Writes the values of events that are held back."""
        return columns.encode({"input": [self.encode_value(value) for value in values]})

    def decode_values(self, data: bytes) -> list[Any]:
        """Reads what ``encode_values`` wrote.

        Raises:
          StateError: the bytes are broken.
        """
        named = columns.decode(data)
        if set(named) != {"input"}:
            raise StateError(f"values with the columns {sorted(named)}")
        return [self.decode_value(value) for value in named["input"]]
