"""How keys and values are written into the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from beam_rnn.errors import StateError
from beam_rnn.streams import columns

_PENDING: columns.Kinds = {"time": ("i8", 1), "input": columns.STRINGS}


class Codec(NamedTuple):
    """The coders of the events' collection, as functions."""

    decode_key: Callable[[bytes], Any]
    encode_value: Callable[[Any], bytes]
    decode_value: Callable[[bytes], Any]

    def encode_pending(self, pending: list[Any]) -> bytes:
        """Writes the (time, value) of events that wait for their answer."""
        times = np.array([time for time, _ in pending], np.int64)
        values = [self.encode_value(value) for _, value in pending]
        return columns.encode({"time": times, "input": values})

    def decode_pending(self, data: bytes) -> list[Any]:
        """Reads what ``encode_pending`` wrote.

        Raises:
          StateError: the bytes are broken.
        """
        named = columns.decode(data, kinds=_PENDING)
        if len(named) != len(_PENDING) or len(named["time"]) != len(named["input"]):
            raise StateError(f"waiting events with the columns {sorted(named)}")
        return list(zip(named["time"].tolist(), self._values(named["input"]), strict=True))

    def encode_values(self, values: list[Any]) -> bytes:
        """Writes the values of events that are held back."""
        return columns.encode({"input": [self.encode_value(value) for value in values]})

    def decode_values(self, data: bytes) -> list[Any]:
        """Reads what ``encode_values`` wrote.

        Raises:
          StateError: the bytes are broken.
        """
        named = columns.decode(data, kinds={"input": columns.STRINGS})
        if not named:
            raise StateError("values without their column")
        return self._values(named["input"])

    def _values(self, data: list[bytes]) -> list[Any]:
        try:
            return [self.decode_value(value) for value in data]
        except Exception as error:  # whatever the coder of the values raises
            raise StateError(f"a value that its coder cannot read: {error}") from error


RAW = Codec(bytes, bytes, bytes)
"""Keys and values as the bytes that the state has of them."""
