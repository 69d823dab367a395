"""Events of many streams as columns: what travels from Pack to Step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import StateError
from beam_rnn.nn.parameters import Ints
from beam_rnn.streams import columns
from beam_rnn.streams.waves import Flags


def shard_of(stream: bytes, shards: int) -> int:
    """The shard of a stream: a stable hash of the bytes of its key."""
    return int.from_bytes(blake2b(stream, digest_size=8).digest(), "little") % shards


@dataclass
class Packed:
    """n events of one shard and window, in the order in which they came.

    Attributes:
      streams: the distinct streams, as the bytes of their keys.
      stream: (n,) which of them an event belongs to.
      time: (n,) microseconds.
      end: (n,) whether the event is the last of its sequence.
      x: (n, ...) inputs of the network, or None where a feature makes them from ``inputs``.
      inputs: n values for the answers to echo, or None where x itself is the value.
      origin: who made the pack, and number: which of its packs it is; a runner may swap two
        packs that wait together (Prism brings them by their timestamps).
    """

    streams: list[bytes]
    stream: Ints
    time: Ints
    end: Flags
    x: NDArray[Any] | None
    inputs: list[Any] | None
    origin: int = 0
    number: int = 0

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, part: slice) -> Packed:
        """Some of the events, with all streams."""
        return Packed(
            self.streams,
            self.stream[part],
            self.time[part],
            self.end[part],
            None if self.x is None else self.x[part],
            None if self.inputs is None else self.inputs[part],
            self.origin,
            self.number,
        )

    def encode(self, values: Callable[[list[Any]], bytes]) -> bytes:
        """Writes the pack; ``values`` writes its list of inputs."""
        named: dict[str, columns.Column] = {
            "streams": self.streams,
            "stream": self.stream.astype(np.uint32),
            "time": self.time,
            "made": np.array([self.origin, self.number], np.int64),
        }
        if self.end.any():
            named["end"] = self.end
        if self.x is not None:
            named["x"] = self.x
        if self.inputs is not None:
            named["inputs"] = [values(self.inputs)]
        return columns.encode(named)

    @staticmethod
    def decode(data: bytes, values: Callable[[bytes], list[Any]]) -> Packed:
        """Reads what ``encode`` wrote.

        Raises:
          StateError: the bytes are broken.
        """
        named = columns.decode(data)
        try:
            n = len(named["time"])
            packed = Packed(
                named["streams"],
                named["stream"].astype(np.int64),
                named["time"],
                named.get("end", np.zeros(n, np.bool_)),
                named.get("x"),
                values(named["inputs"][0]) if "inputs" in named else None,
                *named["made"].tolist(),
            )
        except (KeyError, IndexError, AttributeError, TypeError) as error:
            raise StateError(f"a pack without its column {error}") from None
        lengths = {len(column) for column in (packed.stream, packed.end)}
        lengths |= {len(column) for column in (packed.x, packed.inputs) if column is not None}
        if lengths != {n} or (n and packed.stream.max() >= len(packed.streams)):
            raise StateError(f"a pack of {n} events has columns of other lengths")
        return packed


def merge(packs: Sequence[Packed]) -> Packed:
    """Joins packs of one shard and window into one, in event time.

    Events of one time are in the order of their packs (by origin and number, so that it does not
    depend on how a runner brings them), and in their order inside a pack.
    """
    packs = sorted(packs, key=lambda pack: (pack.origin, pack.number))
    places: dict[bytes, int] = {}
    stream = np.concatenate(
        [
            np.array([places.setdefault(s, len(places)) for s in pack.streams])[pack.stream]
            for pack in packs
        ]
    )
    time = np.concatenate([pack.time for pack in packs])
    order = time.argsort(kind="stable")
    with_x = packs[0].x is not None
    with_inputs = packs[0].inputs is not None
    inputs = [value for pack in packs for value in pack.inputs or ()]
    return Packed(
        list(places),
        stream[order],
        time[order],
        np.concatenate([pack.end for pack in packs])[order],
        np.concatenate([pack.x for pack in packs if pack.x is not None])[order] if with_x else None,
        [inputs[i] for i in order.tolist()] if with_inputs else None,
    )


def as_made(packs: Sequence[tuple[Any, Packed]]) -> list[tuple[Any, Packed]]:
    """Puts (owner, pack) pairs of one owner and origin back in the order of their numbers."""
    places: dict[tuple[int, int], list[int]] = {}
    for place, (owner, pack) in enumerate(packs):
        places.setdefault((id(owner), pack.origin), []).append(place)
    ordered = list(packs)
    for mine in places.values():
        by_number = sorted(mine, key=lambda place: packs[place][1].number)
        for place, source in zip(mine, by_number, strict=True):
            ordered[place] = packs[source]
    return ordered
