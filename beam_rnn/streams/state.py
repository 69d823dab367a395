"""Rows of state <-> versioned bytes: one block of a shard's log."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from beam_rnn.errors import StateError
from beam_rnn.nn.parameters import Floats, Ints
from beam_rnn.streams import columns

MAGIC = b"a<t>"
VERSION = 2  # version 1 has no numbers and no held events
_RANGE = 16  # bytes of a range of skipped numbers: the first and the last, int64
_TAGGED = 1  # flag: a tag of the state is kept beside the log
_HEAD = struct.Struct("<4sHH16sIQ")  # magic, version, flags, fingerprint, shards, serial
_KINDS: columns.Kinds = {
    "a": ("f4", 2),
    **dict.fromkeys(("steps", "last", "label", "next", "told"), ("i8", 1)),
    **dict.fromkeys(
        ("streams", "memory", "pending", "missed", "held", "ended", "model"), columns.STRINGS
    ),
}


@dataclass(frozen=True)
class Tag:
    """Whose state it is: state of another model or number of shards is never used silently."""

    fingerprint: str
    shards: int


@dataclass
class Block:
    """What changed in a shard: rows of streams that live, and streams that ended.

    Attributes:
      serial: the place of the block in its log; a later row of a stream replaces an earlier.
      streams: n keys, as bytes.
      a: (n, S) float32, the hidden states.
      steps: (n,) inputs read in the present sequence.
      last: (n,) microseconds, the latest event time.
      label: (n,) index of the label last emitted, or -1.
      memory: n byte strings, what the stream's feature remembers.
      pending: n byte strings, the events that wait for their answer.
      next: (n,) the number of the event that the stream steps next.
      told: (n,) the number of the last gap that was reported, or -1.
      missed: n byte strings, the numbers that were skipped.
      held: packs of events behind a gap that were held back since the block before.
      ended: keys of streams that are no more.
      model: the path of the model, where it may be updated, and the generation: how many models
        the shard had had before.
      announced: whether new sequences of the shard begin with the model.
      tagged: whether a tag of the state is kept beside the log, and changed with it.
    """

    serial: int
    streams: list[bytes]
    a: Floats
    steps: Ints
    last: Ints
    label: Ints
    memory: list[bytes]
    pending: list[bytes]
    next: Ints
    told: Ints
    missed: list[bytes]
    held: list[bytes] = field(default_factory=list)
    ended: list[bytes] = field(default_factory=list)
    tagged: bool = False
    model: str = ""
    generation: int = 0
    announced: bool = False

    def encode(self, tag: Tag) -> bytes:
        """Writes the block with its head."""
        flags = _TAGGED if self.tagged else 0
        model = tag.fingerprint.encode().ljust(16)
        head = _HEAD.pack(MAGIC, VERSION, flags, model, tag.shards, self.serial)
        named: dict[str, columns.Column] = {
            "streams": self.streams,
            "a": self.a.astype("<f4", copy=False),
            "steps": self.steps,
            "last": self.last,
        }
        if (self.label >= 0).any():
            named["label"] = self.label
        if self.next.any():
            named["next"] = self.next
        if (self.told >= 0).any():
            named["told"] = self.told
        for name in ("memory", "pending", "missed"):
            if any(getattr(self, name)):
                named[name] = getattr(self, name)
        for name in ("held", "ended"):
            if getattr(self, name):
                named[name] = getattr(self, name)
        if self.generation:
            how = b"!" if self.announced else b""
            named["model"] = [self.model.encode(), b"%d" % self.generation, how]
        return head + columns.encode(named)

    @staticmethod
    def decode(data: bytes, tag: Tag, state_size: int) -> Block:
        """Reads a block.

        Raises:
          StateError: the bytes are truncated or foreign, of a format that this version does not
            read, of another model, or of another number of shards.
        """
        found, named = _parts(data)
        if found.fingerprint != tag.fingerprint:
            raise StateError(
                f"state of model {found.fingerprint}, but the model is {tag.fingerprint}: "
                "start with new state, or go on with the old model"
            )
        if found.shards != tag.shards:
            raise StateError(
                f"state of {found.shards} shards, but shards={tag.shards}: the number is fixed "
                f"for the life of the state; set shards={found.shards}"
            )
        block = _block(data, named)
        if block.a.shape[1] != state_size:
            raise StateError(f"state rows of {block.a.shape[1]} values, expected {state_size}")
        return block

    @staticmethod
    def read(data: bytes) -> tuple[Tag, Block]:
        """Reads a block of any model and number of shards; tells whose it is.

        Raises:
          StateError: the bytes are truncated or foreign, or of a format that this version does not
            read.
        """
        found, named = _parts(data)
        return found, _block(data, named)


def version_of(data: bytes) -> int:
    """The format version in the head of a block that was read."""
    return int(_HEAD.unpack_from(data)[1])


def _parts(data: bytes) -> tuple[Tag, dict[str, Any]]:
    """Whose block it is, and its columns."""
    if len(data) < _HEAD.size or data[:4] != MAGIC:
        raise StateError(f"no state of beam_rnn: {len(data)} bytes that begin {data[:4]!r}")
    _, version, _, fingerprint, shards, _ = _HEAD.unpack_from(data)
    if not 1 <= version <= VERSION:
        raise StateError(f"state of format {version}, expected 1 to {VERSION}")
    found = Tag(fingerprint.decode("ascii", "replace").strip(), shards)
    if not found.fingerprint.isalnum():
        raise StateError(f"state without the fingerprint of a model: {fingerprint!r}")
    return found, columns.decode(data, _HEAD.size, _KINDS)


def _block(data: bytes, named: dict[str, Any]) -> Block:
    _, _, flags, _, _, serial = _HEAD.unpack_from(data)
    try:
        streams = named["streams"]
        n = len(streams)
        block = Block(
            serial,
            streams,
            named["a"],
            named["steps"],
            named["last"],
            named.get("label", np.full(n, -1, np.int64)),
            named.get("memory", [b""] * n),
            named.get("pending", [b""] * n),
            named.get("next", np.zeros(n, np.int64)),
            named.get("told", np.full(n, -1, np.int64)),
            named.get("missed", [b""] * n),
            named.get("held", []),
            named.get("ended", []),
            bool(flags & _TAGGED),
            *_model(named),
        )
    except KeyError as error:
        raise StateError(f"state without its column {error}") from None
    numbers = (block.a, block.steps, block.last, block.label, block.next, block.told)
    columns_of_n = (*numbers, block.memory, block.pending, block.missed)
    if {len(column) for column in columns_of_n} != {n}:
        raise StateError(f"a block of {n} streams has columns of other lengths")
    if len(set(streams)) != n:
        raise StateError("a stream is in a block twice")
    if any(len(missed) % _RANGE for missed in block.missed):
        raise StateError("the numbers that were skipped are cut short")
    return block


def model_of(data: bytes) -> tuple[str, str]:
    """The fingerprint of a block's model, and the model's path, or "".

    Raises:
      StateError: the bytes are truncated or foreign.
    """
    found, named = _parts(data)
    return found.fingerprint, _model(named)[0]


def _model(named: dict[str, Any]) -> tuple[str, int, bool]:
    if "model" not in named:
        return "", 0, False
    path, generation, announced = [*named["model"], b"", b"", b""][:3]
    if not generation[:18].isdigit():
        raise StateError(f"a block of the model {path!r} without its generation")
    return path.decode("utf-8", "replace"), int(generation[:18]), bool(announced)
