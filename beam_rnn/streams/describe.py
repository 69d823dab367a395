"""What a block of state says, told without the model whose state it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from beam_rnn.streams.codec import RAW
from beam_rnn.streams.pack import Packed
from beam_rnn.streams.state import Block, version_of


class Row(NamedTuple):
    """One stream of a block.

    Attributes:
      stream: its key, as bytes.
      steps: inputs read in the present sequence.
      last: microseconds, its latest event time.
      label: index of the label last emitted, or -1.
      memory: bytes that its feature remembers.
      pending: bytes of the events that wait for their answer.
      next: the number of the event that it steps next, from 0, or -1 where it failed at a gap.
      missed: numbers that were skipped.
      held: events that are held back behind a gap.
      low: the least value of its a⟨t⟩, and high: the greatest.
    """

    stream: bytes
    steps: int
    last: int
    label: int
    memory: int
    pending: int
    next: int
    missed: int
    held: int
    low: float
    high: float


@dataclass(frozen=True)
class Described:
    """A block of state.

    Attributes:
      version: of its format.
      fingerprint: of the model.
      shards: the number of shards of the job.
      serial: the place of the block in its log.
      tagged: whether a tag of the state is kept beside the log.
      state_size: floats in a state row.
      size: bytes of the block.
      rows: the streams that live.
      ended: keys of streams that are no more.
    """

    version: int
    fingerprint: str
    shards: int
    serial: int
    tagged: bool
    state_size: int
    size: int
    rows: Sequence[Row]
    ended: Sequence[bytes]


def describe(data: bytes) -> Described:
    """What the block ``data`` says.

    Raises:
      StateError: the bytes are no block, or are broken.
    """
    tag, block = Block.read(data)
    held: dict[bytes, int] = {}
    for pack in (Packed.decode(data, RAW.decode_values) for data in block.held):
        for place, count in enumerate(np.bincount(pack.stream).tolist()):
            stream = pack.streams[place]
            held[stream] = held.get(stream, 0) + count
    filled = block.a.shape[1] > 0
    return Described(
        version=version_of(data),
        fingerprint=tag.fingerprint,
        shards=tag.shards,
        serial=block.serial,
        tagged=block.tagged,
        state_size=block.a.shape[1],
        size=len(data),
        rows=[
            Row(
                stream,
                int(block.steps[i]),
                int(block.last[i]),
                int(block.label[i]),
                len(block.memory[i]),
                len(block.pending[i]),
                int(block.next[i]),
                _count(block.missed[i]),
                held.get(stream, 0),
                float(block.a[i].min()) if filled else 0.0,
                float(block.a[i].max()) if filled else 0.0,
            )
            for i, stream in enumerate(block.streams)
        ],
        ended=block.ended,
    )


def _count(missed: bytes) -> int:
    """How many numbers ranges (first, last) hold."""
    ranges = np.frombuffer(missed, "<i8").reshape(-1, 2)
    return int((ranges[:, 1] - ranges[:, 0] + 1).sum())
