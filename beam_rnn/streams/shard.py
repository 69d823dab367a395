"""The rows of many streams in memory, and the log that keeps those of a shard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from beam_rnn.errors import StateError
from beam_rnn.nn.parameters import Floats, Ints
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.pack import Packed, join
from beam_rnn.streams.state import Block, Tag
from beam_rnn.streams.waves import Flags

NEVER = np.iinfo(np.int64).min  # the last event time of a stream that has had none
_SPARE = 64  # stale rows that a log may hold however few of its streams live
BLOCK = 8  # rows that cost as much to read as the head of a block
_SEQUENCE = (("steps", 0), ("last", NEVER), ("label", -1))  # what ends with a sequence
_STREAM = (("next", 0), ("told", -1), ("held", 0))  # what ends with a stream


def outgrown(logged: Any, live: Any) -> Any:
    """Whether a log is written anew that would have ``logged`` rows, blocks counted as BLOCK."""
    return logged > 2 * live + _SPARE


class Arena:
    """State rows of the streams of all shards at hand, so that one wave can step them all.

    Attributes:
      a: (R, S) float32 hidden states; rows not in use are zero.
      steps: (R,) inputs read in the present sequence; 0: no sequence.
      last: (R,) microseconds, the latest event time of the stream.
      label: (R,) index of the label last emitted, or -1.
      next: (R,) the number of the event that the stream steps next.
      told: (R,) the number of the last gap that was reported, or -1.
      held: (R,) how many events of the stream are held back behind a gap.
      stored: (R,) whether the log of the shard has the stream.
      memory: what the features of some rows remember, as bytes.
      pending: what waits of some rows, such as events for their answer; its bytes as they were
        in the log until somebody asks.
      missed: the numbers that were skipped on some rows, as bytes.
      streams: R keys as bytes.
      home: R shards, or None where a row is free.
    """

    def __init__(self, state_size: int, decode_key: Callable[[bytes], Any]) -> None:
        self.a: Floats = np.zeros((0, state_size), np.float32)
        self.steps: Ints = np.zeros(0, np.int64)
        self.last: Ints = np.zeros(0, np.int64)
        self.label: Ints = np.zeros(0, np.int64)
        self.next: Ints = np.zeros(0, np.int64)
        self.told: Ints = np.zeros(0, np.int64)
        self.held: Ints = np.zeros(0, np.int64)
        self.stored = np.zeros(0, np.bool_)
        self.memory: dict[int, bytes] = {}
        self.pending: dict[int, Any] = {}
        self.missed: dict[int, bytes] = {}
        self.streams: list[bytes] = []
        self.home: list[Shard | None] = []
        self._names: list[Any] = []
        self._free: list[int] = []
        self._decode_key = decode_key

    @property
    def empty(self) -> bool:
        """Whether no stream has a row."""
        return len(self._free) == len(self.streams)

    def names(self, rows: Sequence[int]) -> list[Any]:
        """The keys of rows; each is decoded once."""
        names = self._names
        for row in set(rows):
            if names[row] is None:
                try:
                    names[row] = self._decode_key(self.streams[row])
                except Exception as error:  # whatever the coder of the keys raises
                    stream = self.streams[row]
                    raise StateError(f"{stream!r} is no key of a stream: {error}") from error
        return [names[row] for row in rows]

    def take(self, streams: Sequence[bytes], shard: Shard) -> list[int]:
        """Gives each stream a row, all zero."""
        missing = len(streams) - len(self._free)
        if missing > 0:
            self._grow(max(missing, len(self.streams) // 2))
        rows = [self._free.pop() for _ in streams]
        for row, stream in zip(rows, streams, strict=True):
            self.streams[row] = stream
            self.home[row] = shard
        return rows

    def reset(self, rows: Ints) -> None:
        """Ends the sequences of ``rows``: nothing of them remains."""
        self.a[rows] = 0
        for name, value in _SEQUENCE:
            getattr(self, name)[rows] = value
        for remembered in (self.memory, self.pending):
            if remembered:
                for row in rows.tolist():
                    remembered.pop(row, None)

    def forget(self, rows: Ints) -> None:
        """Begins the numbers of ``rows``, which were reset, anew."""
        for name, value in _STREAM:
            getattr(self, name)[rows] = value
        if self.missed:
            for row in rows.tolist():
                self.missed.pop(row, None)

    def release(self, rows: Ints) -> None:
        """Takes back rows that were reset."""
        self.forget(rows)
        self.stored[rows] = False
        for row in rows.tolist():
            self.home[row] = self._names[row] = None
        self._free.extend(rows.tolist())

    def _grow(self, more: int) -> None:
        old = len(self.streams)
        self.a = np.concatenate([self.a, np.zeros((more, self.a.shape[1]), np.float32)])
        for name, value in (*_SEQUENCE, *_STREAM):
            column = np.full(more, value, np.int64)
            setattr(self, name, np.concatenate([getattr(self, name), column]))
        self.stored = np.concatenate([self.stored, np.zeros(more, np.bool_)])
        self.streams += [b""] * more
        self.home += [None] * more
        self._names += [None] * more
        self._free += range(old + more - 1, old - 1, -1)  # rows are given out ascending


class Shard:
    """The streams of one shard and window: their rows in the arena, and their log.

    Attributes:
      id: the shard's number.
      window: what the caller keeps of its window.
      rows: the row of each stream.
      tags: what the caller knows the state by when it keeps the rows, or nothing.
      size: bytes of the log, as the caller counts them.
      changed: rows that the present bundle may have changed.
      held: events behind a gap, which wait for their turn, or None.
      stale: whether the log has events that are not to be held back any more.
      model, generation: as those of a Block.
      announced: whether the log keeps them even where there is no stream yet.
    """

    def __init__(self, id: int, window: Any = None) -> None:
        self.id = id
        self.window = window
        self.rows: dict[bytes, int] = {}
        self.tags: frozenset[bytes] = frozenset()
        self.size = 0
        self.changed: list[Ints] = []
        self.held: Packed | None = None
        self._held_logged = np.zeros(0, np.bool_)  # which of them the log has
        self.stale = False
        self.model, self.generation, self.announced = "", 0, False
        self._announced_in_log = 0  # the generation that the log announces
        self._gone: set[bytes] = set()
        self._serial = 0
        self._logged = 0

    def load(
        self,
        arena: Arena,
        log: Iterable[bytes],
        tag: Tag,
        codec: Codec,
    ) -> bool:
        """Reads the log into the arena; a bag has no order, so blocks come by their serials.

        Returns:
          Whether the log says that a tag of the state is kept beside it.

        Raises:
          StateError: a block is broken, or of another model or number of shards.
        """
        blocks = [Block.decode(data, tag, arena.a.shape[1]) for data in log]
        held: list[Packed] = []
        for block in sorted(blocks, key=lambda block: block.serial):
            self._serial = block.serial
            self.model, self.generation = block.model, block.generation
            self.announced = block.announced
            self._announced_in_log = block.generation * block.announced
            self._logged += len(block.streams) + len(block.ended) + BLOCK
            ended = [self.rows[stream] for stream in block.ended if stream in self.rows]
            if ended:
                held = [pack[_not_of(pack, block.ended)] for pack in held]
                self.drop(arena, np.array(ended))
                self._gone.clear()  # the log knows
            rows = self._set_rows(arena, block)
            arena.stored[rows] = True
            held += [Packed.decode(data, codec.decode_values) for data in block.held]
        self._logged += sum(map(len, held))
        self._hold_again(arena, held, logged=True)
        self.changed.clear()
        return any(block.tagged for block in blocks)

    @property
    def live(self) -> int:
        """How many streams there are."""
        return len(self.rows)

    def take_out(self, arena: Arena, rows: Ints, codec: Codec) -> Block:
        """Gives away streams, for another shard to ``put``."""
        held = self.held_back()
        places = np.zeros(0, np.int64)
        if held is not None:
            mine = np.isin(held[1], rows)
            places = np.flatnonzero(mine)
        block = self.block(arena, rows, codec, places)
        if held is not None:
            rest = np.flatnonzero(~mine)
            self.hold(arena, held[0][rest], held[1][rest], held[2][rest])
        self.drop(arena, rows)
        return block

    def put(self, arena: Arena, block: Block, codec: Codec) -> None:
        """Takes over the streams of a block, which the log does not have."""
        self._set_rows(arena, block)
        held = [Packed.decode(data, codec.decode_values) for data in block.held]
        self._hold_again(arena, held, logged=False)

    def _set_rows(self, arena: Arena, block: Block) -> Ints:
        rows = self.rows_of(arena, block.streams)
        arena.a[rows] = block.a
        arena.steps[rows] = block.steps
        arena.last[rows] = block.last
        arena.label[rows] = block.label
        arena.next[rows] = block.next
        arena.told[rows] = block.told
        for known, column in (
            (arena.memory, block.memory),
            (arena.pending, block.pending),
            (arena.missed, block.missed),
        ):
            if known or any(column):  # it may say that a row remembers nothing any more
                _remember(known, rows, column)
        return rows

    def _hold_again(self, arena: Arena, packs: list[Packed], *, logged: bool) -> None:
        """Holds back what was held, but for what was stepped or told since."""
        if not packs:
            return
        held = join(packs)
        if len({(pack.x is None, pack.seq is None) for pack in packs}) > 1:
            raise StateError("events that are held back have different columns")
        if held.seq is None:
            raise StateError("events are held back without their numbers")
        rows = self.rows_of(arena, held.streams)[held.stream]
        gone = (held.seq < arena.next[rows]) | (arena.next[rows] < 0)
        left = np.flatnonzero(~gone)
        events, rows, known = held[left], rows[left], np.full(len(left), logged)
        before = self.held_back()
        if before is not None:
            events = join([before[0], events])
            rows = np.concatenate([before[1], rows])
            known = np.concatenate([before[2], known])
        self.hold(arena, events, rows, known)

    def hold(self, arena: Arena, events: Packed, rows: Ints, logged: Flags) -> None:
        """Holds events back, instead of those that were.

        Args:
          events: n events.
          rows: (n,) their rows.
          logged: (n,) which of them the log has.
        """
        if self.held is not None:
            arena.held[[self.rows[stream] for stream in self.held.streams]] = 0
        np.add.at(arena.held, rows, 1)
        self.held = events.only(slice(None)) if len(events) else None
        self._held_logged = logged

    def held_back(self) -> tuple[Packed, Ints, Flags] | None:
        """What ``hold`` was given, or None where nothing is held back."""
        held = self.held
        if held is None:
            return None
        rows = np.array([self.rows[stream] for stream in held.streams], np.int64)[held.stream]
        return held, rows, self._held_logged

    def rows_of(self, arena: Arena, streams: Sequence[bytes]) -> Ints:
        """The rows of streams, which are going to change; those not seen before get one."""
        rows = [self.rows.get(stream, -1) for stream in streams]
        new = [place for place, row in enumerate(rows) if row < 0]
        if new:
            for place, row in zip(new, arena.take([streams[i] for i in new], self), strict=True):
                rows[place] = self.rows[streams[place]] = row
        found = np.array(rows, np.int64)
        self.changed.append(found)
        return found

    def drop(self, arena: Arena, rows: Ints) -> None:
        """Forgets streams; where the log has them, the next block says that they ended."""
        for row in rows.tolist():
            stream = arena.streams[row]
            del self.rows[stream]
            if arena.stored[row]:
                self._gone.add(stream)
        arena.reset(rows)
        arena.release(rows)

    def leave(self, arena: Arena) -> None:
        """Gives back all rows; the log has what they hold."""
        self.held = None
        rows = np.fromiter(self.rows.values(), np.int64, len(self.rows))
        arena.reset(rows)
        arena.release(rows)
        self.rows.clear()

    def write(
        self,
        arena: Arena,
        tag: Tag,
        codec: Codec,
        *,
        tagged: bool = False,
        anew: bool = False,
    ) -> tuple[bool, list[bytes]]:
        """What to do to the log: whether to clear it, and the blocks to append then.

        A log is written anew when more than half of its rows are stale.

        Args:
          tagged: whether a tag of the state is kept beside the log.
          anew: whether to write the whole log.
        """
        changed = np.unique(np.concatenate([*self.changed, np.zeros(0, np.int64)]))
        self.changed.clear()
        if not self.rows and not self.announced:
            self._gone.clear()
            clear, self._logged = self._logged > 0, 0
            return clear, []
        home = arena.home
        rows = np.array([row for row in changed.tolist() if home[row] is self], np.int64)
        logged = self._held_logged
        held_count = len(logged)
        more = len(rows) + len(self._gone) + BLOCK + held_count - int(logged.sum())
        live = len(self.rows) + held_count
        anew = anew or self.stale or outgrown(self._logged + more, live)
        self.stale = False
        if anew:
            logged = np.zeros(held_count, np.bool_)
            rows = np.sort(np.fromiter(self.rows.values(), np.int64, len(self.rows)))
            self._gone.clear()
            self._logged = len(rows) + BLOCK + held_count
        else:
            self._logged += more
        news = self.announced and self._announced_in_log != self.generation
        if not (len(rows) or self._gone or news or anew) and logged.all():
            return False, []
        self._announced_in_log = self.generation * self.announced
        self._serial += 1
        block = self.block(arena, rows, codec, np.flatnonzero(~logged))
        block.ended, block.tagged = sorted(self._gone), tagged
        block.model, block.generation = self.model, self.generation
        block.announced = self.announced
        self._gone.clear()
        self._held_logged = np.ones(held_count, np.bool_)
        arena.stored[rows] = True
        return anew, [block.encode(tag)]

    def block(self, arena: Arena, rows: Ints, codec: Codec, held: Ints) -> Block:
        """Rows as a block, with the events at the places ``held`` of those held back."""
        each = rows.tolist()
        waits = [arena.pending.get(row) for row in each] if arena.pending else []
        packs = []
        if self.held is not None and len(held):
            packs = [self.held[held].encode(codec.encode_values)]
        return Block(
            self._serial,
            [arena.streams[row] for row in each],
            arena.a[rows],
            arena.steps[rows],
            arena.last[rows],
            arena.label[rows],
            _remembered(arena.memory, each),
            [e if isinstance(e, bytes) else codec.encode_pending(e) if e else b"" for e in waits]
            or [b""] * len(each),
            arena.next[rows],
            arena.told[rows],
            _remembered(arena.missed, each),
            packs,
        )


def _remembered(known: dict[int, bytes], rows: list[int]) -> list[bytes]:
    return [known.get(row, b"") for row in rows] if known else [b""] * len(rows)


def _remember(known: dict[int, Any], rows: Ints, column: list[bytes]) -> None:
    for row, data in zip(rows.tolist(), column, strict=True):
        if data:
            known[row] = data
        else:
            known.pop(row, None)


def _not_of(pack: Packed, streams: Sequence[bytes]) -> Ints:
    """The places of the events of a pack that are of other streams."""
    gone = set(streams)
    mine = np.array([stream not in gone for stream in pack.streams], np.bool_)
    return np.flatnonzero(mine[pack.stream])
