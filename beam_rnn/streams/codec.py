"""How keys and values are written into the state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from beam_rnn.errors import StateError
from beam_rnn.streams import columns

_PENDING: columns.Kinds = {"time": ("i8", 1), "input": columns.STRINGS}


class Codec(NamedTuple):
    """The coders of the events' collection, as functions.

    Of a feature's echoes, which may be of another type than the values, there are two more.
    """

    decode_key: Callable[[bytes], Any]
    encode_value: Callable[[Any], bytes]
    decode_value: Callable[[bytes], Any]
    encode_echo: Callable[[Any], bytes] | None = None
    decode_echo: Callable[[bytes], Any] | None = None

    def encode_pending(self, pending: list[Any]) -> bytes:
        """Writes the (time, value) of events that wait for their answer."""
        times = np.array([time for time, _ in pending], np.int64)
        return columns.encode({"time": times, "input": self._echoed(e for _, e in pending)})

    def decode_pending(self, data: bytes) -> list[Any]:
        """Reads what ``encode_pending`` wrote.

        Raises:
          StateError: the bytes are broken.
        """
        named = columns.decode(data, kinds=_PENDING)
        if len(named) != len(_PENDING) or len(named["time"]) != len(named["input"]):
            raise StateError(f"waiting events with the columns {sorted(named)}")
        return list(zip(named["time"].tolist(), self._echoes(named["input"]), strict=True))

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
        return _decoded(named["input"], self.decode_value)

    def _echoed(self, echoes: Iterable[Any]) -> list[bytes]:
        return [(self.encode_echo or self.encode_value)(echo) for echo in echoes]

    def _echoes(self, data: list[bytes]) -> list[Any]:
        return _decoded(data, self.decode_echo or self.decode_value)


def _decoded(data: list[bytes], decode: Callable[[bytes], Any]) -> list[Any]:
    try:
        return [decode(value) for value in data]
    except Exception as error:  # whatever the coder raises
        raise StateError(f"a value that its coder cannot read: {error}") from error


RAW = Codec(bytes, bytes, bytes)
"""Keys and values as the bytes that the state has of them."""
