"""State of one number of shards -> state of another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from beam_rnn.errors import StateError
from beam_rnn.nn.parameters import Ints
from beam_rnn.streams.codec import RAW
from beam_rnn.streams.pack import Packed, join, shard_of
from beam_rnn.streams.state import Block, Tag


def resharded(blocks: Iterable[bytes], shards: int) -> list[bytes]:
    """The streams of all shards of a job, as one block for each of its shards to be.

    Args:
      blocks: one for each shard, with all that is to be known of it.
      shards: the new number of shards.

    Raises:
      StateError: a block is broken, or they are of different models or numbers of shards.
    """
    tag: Tag | None = None
    parts: list[list[Block]] = [[] for _ in range(shards)]
    size = 0
    for data in blocks:
        found, block = Block.read(data)
        if tag is not None and found != tag:
            raise StateError(f"state of different jobs: of {tag}, and of {found}")
        tag, size = found, block.a.shape[1]
        homes = np.array([shard_of(stream, shards) for stream in block.streams], np.int64)
        held = [Packed.decode(pack, RAW.decode_values) for pack in block.held]
        for shard in np.unique(homes).tolist():
            rows = np.flatnonzero(homes == shard)
            parts[shard].append(_part(block, rows, held))
    if tag is None:
        raise StateError("no state of any shard")
    return [_joined(some, size).encode(Tag(tag.fingerprint, shards)) for some in parts]


def _part(block: Block, rows: Ints, held: Sequence[Packed]) -> Block:
    """Some rows of a block, with those events of ``held`` that are theirs."""
    each = rows.tolist()
    streams = [block.streams[row] for row in each]
    return Block(
        0,
        streams,
        block.a[rows],
        block.steps[rows],
        block.last[rows],
        block.label[rows],
        [block.memory[row] for row in each],
        [block.pending[row] for row in each],
        block.next[rows],
        block.told[rows],
        [block.missed[row] for row in each],
        [part.encode(RAW.encode_values) for pack in held if len(part := _of(pack, set(streams)))],
    )


def _of(pack: Packed, streams: set[bytes]) -> Packed:
    """The events of some streams."""
    mine = np.array([stream in streams for stream in pack.streams], np.bool_)
    return pack.only(np.flatnonzero(mine[pack.stream]))


def _joined(parts: Sequence[Block], size: int) -> Block:
    """Blocks of different streams as one."""
    zeros = np.zeros(0, np.int64)
    held = [Packed.decode(pack, RAW.decode_values) for part in parts for pack in part.held]
    return Block(
        1,
        [stream for part in parts for stream in part.streams],
        np.concatenate([np.zeros((0, size), np.float32), *(part.a for part in parts)]),
        np.concatenate([zeros, *(part.steps for part in parts)]),
        np.concatenate([zeros, *(part.last for part in parts)]),
        np.concatenate([zeros, *(part.label for part in parts)]),
        [memory for part in parts for memory in part.memory],
        [pending for part in parts for pending in part.pending],
        np.concatenate([zeros, *(part.next for part in parts)]),
        np.concatenate([zeros, *(part.told for part in parts)]),
        [missed for part in parts for missed in part.missed],
        [join(held).encode(RAW.encode_values)] if held else [],
    )
