"""Events of many streams as columns: what travels from Pack to Step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import StateError
from beam_rnn.nn.parameters import Ints
from beam_rnn.streams import columns
from beam_rnn.streams.waves import Flags

_KINDS: columns.Kinds = {
    **dict.fromkeys(("streams", "inputs"), columns.STRINGS),
    **dict.fromkeys(("time", "made", "seq"), ("i8", 1)),
    **dict.fromkeys(("end", "reset"), ("b1", 1)),
    "stream": ("u4", 1),
    "x": None,
}
_SHARE = 256  # events of an owner that are worth their part


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
      reset: (n,) whether a sequence begins anew with the event, or None: with none.
      seq: (n,) numbers in the stream, the first 0, where events are numbered.
    """

    streams: list[bytes]
    stream: Ints
    time: Ints
    end: Flags
    x: NDArray[Any] | None
    inputs: list[Any] | None
    origin: int = 0
    number: int = 0
    reset: Flags | None = None
    seq: Ints | None = None

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, part: slice | Ints) -> Packed:
        """Some of the events, by a slice or their places, with all streams."""
        inputs = self.inputs
        if inputs is not None:
            if isinstance(part, slice):
                inputs = inputs[part]
            else:
                inputs = [inputs[place] for place in part.tolist()]
        return Packed(
            self.streams,
            self.stream[part],
            self.time[part],
            self.end[part],
            None if self.x is None else self.x[part],
            inputs,
            self.origin,
            self.number,
            None if self.reset is None else self.reset[part],
            None if self.seq is None else self.seq[part],
        )

    def only(self, part: slice | Ints) -> Packed:
        """Some of the events, with their streams alone."""
        some = self[part]
        present = np.zeros(len(self.streams), np.bool_)
        present[some.stream] = True
        if not present.all():
            some.stream = (present.cumsum() - 1)[some.stream]
            some.streams = [self.streams[i] for i in np.flatnonzero(present).tolist()]
        return some

    def value(self, place: int) -> Any:
        """What an answer to the event echoes."""
        if self.inputs is not None:
            return self.inputs[place]
        assert self.x is not None
        return self.x[place] if self.x.ndim > 1 else int(self.x[place])

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
        if self.reset is not None and self.reset.any():
            named["reset"] = self.reset
        if self.seq is not None:
            named["seq"] = self.seq
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
        named = columns.decode(data, kinds=_KINDS)
        try:
            n = len(named["time"])
            packed = Packed(
                named["streams"],
                named["stream"].astype(np.int64),
                named["time"],
                named.get("end", np.zeros(n, np.bool_)),
                named.get("x"),
                None,
                int(named["made"][0]),
                int(named["made"][1]),
                reset=named.get("reset"),
                seq=named.get("seq"),
            )
            inputs = named["inputs"][0] if "inputs" in named else None
        except (KeyError, IndexError) as error:
            raise StateError(f"a pack without its column: {error}") from None
        try:
            packed.inputs = None if inputs is None else values(inputs)
        except StateError:
            raise
        except Exception as error:  # whatever the coder of the values raises
            raise StateError(f"values that their coder cannot read: {error}") from error
        columns_of_n = (packed.stream, packed.end, packed.x, packed.inputs)
        optional = (packed.reset, packed.seq)
        lengths = {len(column) for column in (*columns_of_n, *optional) if column is not None}
        if lengths != {n} or (n and packed.stream.max() >= len(packed.streams)):
            raise StateError(f"a pack of {n} events has columns of other lengths")
        if len(set(packed.streams)) != len(packed.streams):
            raise StateError("a stream is in a pack twice")
        return packed


def join(packs: Sequence[Packed]) -> Packed:
    """Packs of one shard and window as one, their events one behind the other."""
    if len(packs) == 1:
        return packs[0]
    places: dict[bytes, int] = {}
    stream = [
        np.array([places.setdefault(s, len(places)) for s in pack.streams], np.int64)[pack.stream]
        for pack in packs
    ]
    xs = [pack.x for pack in packs if pack.x is not None]
    seqs = [pack.seq for pack in packs if pack.seq is not None]
    resets = None
    if any(pack.reset is not None for pack in packs):
        none = [np.zeros(len(pack), np.bool_) for pack in packs]
        resets = [n if p.reset is None else p.reset for p, n in zip(packs, none, strict=True)]
    return Packed(
        list(places),
        np.concatenate(stream),
        np.concatenate([pack.time for pack in packs]),
        np.concatenate([pack.end for pack in packs]),
        np.concatenate(xs) if xs else None,
        echoed(packs),
        reset=None if resets is None else np.concatenate(resets),
        seq=np.concatenate(seqs) if seqs else None,
    )


def echoed(packs: Sequence[Packed]) -> list[Any] | None:
    """What answers to the events of packs echo, or None where x itself is the value of all."""
    if all(pack.inputs is None for pack in packs):
        return None
    values: list[Any] = []
    for pack in packs:
        own = pack.inputs
        values += [pack.value(place) for place in range(len(pack))] if own is None else own
    return values


def merge(packs: Sequence[Packed]) -> Packed:
    """Joins packs of one shard and window into one, in the order of numbers or of time.

    Events of one number or time are in the order of their packs (by origin and number, so that it
    does not depend on how a runner brings them), and in their order inside a pack.
    """
    joined = join(sorted(packs, key=lambda pack: (pack.origin, pack.number)))
    key = joined.time if joined.seq is None else joined.seq
    merged = joined[key.argsort(kind="stable")]
    merged.origin = merged.number = 0
    return merged


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


def abreast(packs: Sequence[tuple[Any, Packed]], most: int) -> Iterator[list[tuple[Any, Packed]]]:
    """Cuts (owner, pack) pairs into parts of ``most`` events or so, with events of many owners.

    The more streams are in a part, the wider are its waves. An owner's events stay in their order.
    """
    by_owner: dict[Any, list[Packed]] = {}
    for owner, pack in packs:
        by_owner.setdefault(owner, []).append(pack)
    some: list[tuple[Any, list[Packed]]] = []
    count = 0
    for owner, mine in by_owner.items():
        some.append((owner, mine))
        count += sum(map(len, mine))
        if count >= most and len(some) * _SHARE >= most:
            yield from _parts(some, -(-count // most))
            some, count = [], 0
    yield from _parts(some, -(-count // most))


def _parts(
    packs: Sequence[tuple[Any, Sequence[Packed]]], parts: int
) -> Iterator[list[tuple[Any, Packed]]]:
    for i in range(parts):
        yield [(owner, pack) for owner, mine in packs for pack in _share(mine, i, parts)]


def _share(packs: Sequence[Packed], i: int, parts: int) -> Iterator[Packed]:
    """The events that are the ``i``-th of equal shares of packs."""
    count = sum(map(len, packs))
    low, high = count * i // parts, count * (i + 1) // parts
    for pack in packs:
        start, stop = max(low, 0), min(high, len(pack))
        if start < stop:
            yield pack if stop - start == len(pack) else pack.only(slice(start, stop))
        low, high = low - len(pack), high - len(pack)
