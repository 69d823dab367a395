"""The rows of many streams in memory, and the log that keeps those of a shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from beam_rnn.nn.parameters import Floats, Ints
from beam_rnn.streams.state import Block, Tag

NEVER = np.iinfo(np.int64).min  # the last event time of a stream that has had none
_SPARE = 64  # stale rows that a log may hold however few of its streams live


class Arena:
    """State rows of the streams of all shards at hand, so that one wave can step them all.

    Attributes:
      a: (R, S) float32 hidden states; rows not in use are zero.
      steps: (R,) inputs read in the present sequence; 0: no sequence.
      last: (R,) microseconds, the latest event time of the stream.
      label: (R,) index of the label last emitted, or -1.
      memory: R byte strings, what the stream's feature remembers.
      pending: R lists of events that wait for their answer.
      streams: R keys as bytes.
      names: R keys.
      home: R shards.
      stored: (R,) whether the log of the shard has the stream.
    """

    def __init__(self, state_size: int, decode_key: Callable[[bytes], Any]) -> None:
        self.a: Floats = np.zeros((0, state_size), np.float32)
        self.steps: Ints = np.zeros(0, np.int64)
        self.last: Ints = np.zeros(0, np.int64)
        self.label: Ints = np.zeros(0, np.int64)
        self.stored = np.zeros(0, np.bool_)
        self.touched = np.zeros(0, np.bool_)
        self.memory: list[bytes] = []
        self.pending: list[list[Any]] = []
        self.streams: list[bytes] = []
        self.names: list[Any] = []
        self.home: list[Shard] = []
        self.free: list[int] = []
        self.decode_key = decode_key

    def take(self, streams: Sequence[bytes], shard: Shard) -> list[int]:
        """Gives each stream a row, all zero."""
        missing = len(streams) - len(self.free)
        if missing > 0:
            self._grow(max(missing, len(self.streams) // 2))
        rows = [self.free.pop() for _ in streams]
        for row, stream in zip(rows, streams, strict=True):
            self.streams[row] = stream
            self.names[row] = self.decode_key(stream)
            self.home[row] = shard
        return rows

    def release(self, rows: Ints) -> None:
        """Takes back rows that were reset; their streams are gone from their shards."""
        for row in rows.tolist():
            self.home[row].drop(self.streams[row], bool(self.stored[row]))
        self.stored[rows] = False
        self.touched[rows] = False
        self.free.extend(rows.tolist())

    def reset(self, rows: Ints) -> None:
        """Ends the sequences of ``rows``: nothing of them remains."""
        self.a[rows] = 0
        self.steps[rows] = 0
        self.last[rows] = NEVER
        self.label[rows] = -1
        for row in rows.tolist():
            self.memory[row] = b""
            self.pending[row] = []

    def _grow(self, more: int) -> None:
        old = len(self.streams)
        self.a = np.concatenate([self.a, np.zeros((more, self.a.shape[1]), np.float32)])
        for name, value in (("steps", 0), ("last", NEVER), ("label", -1)):
            column = np.full(more, value, np.int64)
            setattr(self, name, np.concatenate([getattr(self, name), column]))
        for name in ("stored", "touched"):
            column_b = np.zeros(more, np.bool_)
            setattr(self, name, np.concatenate([getattr(self, name), column_b]))
        self.memory += [b""] * more
        self.pending += [[] for _ in range(more)]
        self.streams += [b""] * more
        self.names += [None] * more
        self.home += [Shard.NOWHERE] * more
        self.free += range(old + more - 1, old - 1, -1)  # rows are given out ascending


class Shard:
    """The streams of one shard and window: their rows in the arena, and their log.

    Attributes:
      id: the shard's number.
      window: what the caller keeps of its window.
      rows: the row of each stream.
    """

    NOWHERE: Shard

    def __init__(self, id: int, window: Any = None) -> None:
        self.id = id
        self.window = window
        self.rows: dict[bytes, int] = {}
        self.gone: set[bytes] = set()
        self.serial = 0
        self.logged = 0

    def load(
        self,
        arena: Arena,
        log: Iterable[bytes],
        tag: Tag,
        pending: Callable[[bytes], list[Any]],
    ) -> None:
        """Reads the log into the arena; a bag has no order, so blocks come by their serials.

        Raises:
          StateError: a block is broken, or of another model or number of shards.
        """
        blocks = [Block.decode(data, tag, arena.a.shape[1]) for data in log]
        for block in sorted(blocks, key=lambda block: block.serial):
            self.serial = block.serial
            self.logged += len(block.streams) + len(block.ended)
            ended = [self.rows[stream] for stream in block.ended if stream in self.rows]
            if ended:
                arena.reset(np.array(ended))
                arena.release(np.array(ended))
                self.gone.clear()  # the log knows
            rows = self.rows_of(arena, block.streams)
            arena.a[rows] = block.a
            arena.steps[rows] = block.steps
            arena.last[rows] = block.last
            arena.label[rows] = block.label
            arena.stored[rows] = True
            for row, memory, waiting in zip(
                rows.tolist(), block.memory, block.pending, strict=True
            ):
                arena.memory[row] = memory
                arena.pending[row] = pending(waiting) if waiting else []

    def rows_of(self, arena: Arena, streams: Sequence[bytes]) -> Ints:
        """The rows of streams; those not seen before get one."""
        new = [stream for stream in streams if stream not in self.rows]
        if new:
            self.rows.update(zip(new, arena.take(new, self), strict=True))
        return np.array([self.rows[stream] for stream in streams], np.int64)

    def drop(self, stream: bytes, stored: bool) -> None:
        """Forgets a stream; where the log has it, the next block says that it ended."""
        del self.rows[stream]
        if stored:
            self.gone.add(stream)

    def write(
        self, arena: Arena, tag: Tag, pending: Callable[[list[Any]], bytes]
    ) -> tuple[bool, list[bytes]]:
        """What to do to the log: whether to clear it, and the blocks to append then.

        A log is written anew when more than half of its rows are stale.
        """
        live = np.fromiter(self.rows.values(), np.int64, len(self.rows))
        if not len(live):
            return self.logged > 0, []
        changed = live[arena.touched[live]]
        anew = self.logged + len(changed) + len(self.gone) > 2 * len(live) + _SPARE
        rows = live if anew else changed
        ended = [] if anew else sorted(self.gone)
        if not len(rows) and not ended:
            return False, []
        block = Block(
            self.serial + 1,
            [arena.streams[row] for row in rows.tolist()],
            arena.a[rows],
            arena.steps[rows],
            arena.last[rows],
            arena.label[rows],
            [arena.memory[row] for row in rows.tolist()],
            [pending(arena.pending[row]) if arena.pending[row] else b"" for row in rows.tolist()],
            ended,
        )
        return anew, [block.encode(tag)]


Shard.NOWHERE = Shard(-1)
