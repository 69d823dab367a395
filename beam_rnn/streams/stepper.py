"""The waiting events of many streams, stepped together; what Step does, without Beam."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from beam_rnn.errors import InputError, StateError
from beam_rnn.nn.parameters import Ints
from beam_rnn.streams.answering import Answering
from beam_rnn.streams.answers import Answers, Said
from beam_rnn.streams.entries import Entries, gathered, latest_before
from beam_rnn.streams.event import why
from beam_rnn.streams.feature import Feature
from beam_rnn.streams.feeding import Feeding
from beam_rnn.streams.limits import DEFAULT, Limits
from beam_rnn.streams.order import Numbers
from beam_rnn.streams.pack import Packed, abreast, as_made
from beam_rnn.streams.sequence import InSequence
from beam_rnn.streams.shard import NEVER, Arena, Shard
from beam_rnn.streams.state import Tag
from beam_rnn.streams.waves import Flags

_CHUNK = 32_768  # events whose inputs and hidden vectors are in memory at once


class Stepper:
    """Steps events of many shards in waves; keeps their states between ``load`` and ``write``.

    Args:
      answering: what steps the inputs, and what is answered.
      shards: the number of shards, written into the state.
      feature: what makes inputs from values, or None where events carry x.
      expire_after: microseconds of event time without an event that end a sequence, or None.
      patience: microseconds after a stream expired at which it is let go at the latest, together
        with others: their shard is opened once for many.
      in_time: whether an event is late when its stream has stepped one of a later time.
      numbers: how events are numbered, where they are stepped in the order of their numbers.
      limits: how much is remembered of a stream.
    """

    def __init__(
        self,
        answering: Answering,
        shards: int,
        *,
        feature: Feature | None = None,
        expire_after: int | None = None,
        patience: int = 0,
        in_time: bool = False,
        numbers: Numbers | None = None,
        limits: Limits = DEFAULT,
    ) -> None:
        self.answering = answering
        self.tag = Tag(answering.fingerprint, shards)
        self.codec = answering.codec
        self.feature = feature
        self.expire_after = expire_after
        self.patience = patience
        self.in_time = in_time
        self.limits = limits
        self.sequence = None if numbers is None else InSequence(numbers)
        self.clear()

    def clear(self) -> None:
        """Forgets all shards and events."""
        self.arena = Arena(self.answering.state_size, self.codec.decode_key)
        self.answering.arena = self.arena
        self.waiting: list[tuple[Shard, Packed]] = []
        self.count = 0

    @property
    def speaks_last(self) -> bool:
        """Whether something may still be said when no more events can come."""
        brings = self.feature is not None or self.sequence is not None
        return brings or self.answering.speaks_last

    def shard(self, number: int, window: Any = None) -> Shard:
        """A shard without streams."""
        return Shard(number, window)

    def leave(self, shard: Shard) -> None:
        """Gives back all rows of a shard."""
        shard.leave(self.arena)

    def in_sequence(self, row: int) -> bool:
        """Whether the stream of a row is in a sequence."""
        return bool(self.arena.steps[row]) or row in self.arena.memory

    def load(self, shard: Shard, log: Iterable[bytes]) -> bool:
        """Reads the state of a shard; returns whether a tag is kept beside it.

        Raises:
          StateError: it is broken, or of another model or number of shards.
        """
        try:
            tagged = shard.load(self.arena, log, self.tag, self.codec)
            if shard.held is not None:
                self._check(shard.held)
        except StateError as error:
            raise StateError(f"shard {shard.id}: {error}") from None
        return tagged

    def write(
        self, shard: Shard, *, tagged: bool = False, anew: bool = False
    ) -> tuple[bool, list[bytes]]:
        """What to do to the shard's log: whether to clear it, and the blocks to append then."""
        return shard.write(self.arena, self.tag, self.codec, tagged=tagged, anew=anew)

    def restore(self, shard: Shard, data: bytes) -> None:
        """Begins a shard with a block that ``take_out`` gave; its log says so from now on.

        Raises:
          StateError: it is broken, or of another model or number of shards.
        """
        self.load(shard, [data])
        shard.announced, shard.generation = True, 1

    def take_out(self, shard: Shard) -> bytes:
        """Takes all streams of a shard out of it, as a block."""
        rows = np.fromiter(shard.rows.values(), np.int64, len(shard.rows))
        block = shard.take_out(self.arena, rows, self.codec)
        shard.announced = False
        return block.encode(self.tag)

    def receive(self, shard: Shard, packed: Packed) -> None:
        """Adds events to those that wait to be stepped.

        Raises:
          StateError: they were not packed for this model, feature or order.
        """
        if len(packed):
            self._check(packed)
            self.waiting.append((shard, packed))
            self.count += len(packed)

    def _check(self, packed: Packed) -> None:
        """Events come from other workers, or from the state: they must be what is stepped here."""
        if self.feature is None:
            try:
                packed.x = self.answering.inputs.check(() if packed.x is None else packed.x)
            except InputError as error:
                raise StateError(f"events that are not of this model: {error}") from None
        elif packed.inputs is None:
            raise StateError("events without the values that the feature takes")
        if packed.seq is None and self.sequence is not None:
            raise StateError("events without the numbers by which they are ordered")

    def due(self, shard: Shard) -> int | None:
        """When something of the shard is due, in microseconds of event time.

        A stream has been expired for ``patience`` or less, or a gap in its numbers has been waited
        for long enough.
        """
        due = [] if self.sequence is None else [self.sequence.due(self.arena, shard)]
        if self.expire_after is not None and shard.rows:
            expires = int(self._latest(shard)[1].min()) + self.expire_after
            due.append(-(-expires // self.patience) * self.patience if self.patience else expires)
        return min((when for when in due if when is not None), default=None)

    def settle(self, *, final: bool = False) -> Iterator[Answers]:
        """Steps all events that wait, a bounded number at a time.

        Args:
          final: whether no event can come any more that belongs before these.
        """
        waiting, self.waiting, self.count = as_made(self.waiting), [], 0
        for part in abreast(waiting, _CHUNK):
            yield self._settled(part, final)

    def _settled(self, waiting: list[tuple[Shard, Packed]], final: bool) -> Answers:
        said = Said()
        if self.sequence is not None:
            waiting = self._in_sequence(self.sequence, waiting, final, said)
        return self._answered(said, self._take(waiting, said))

    def _in_sequence(
        self,
        sequence: InSequence,
        waiting: list[tuple[Shard, Packed]],
        final: bool,
        said: Said,
    ) -> list[tuple[Shard, Packed]]:
        """The events whose turn it is."""
        by_shard: dict[Shard, list[Packed]] = {}
        for shard, packed in waiting:
            by_shard.setdefault(shard, []).append(packed)
        ready = []
        for shard, packs in by_shard.items():
            streams = [shard.rows_of(self.arena, packed.streams) for packed in packs]
            over = np.concatenate(streams) if final else None
            ready.append((shard, sequence.ready(self.arena, shard, packs, said, over=over)))
        return ready

    def _take(self, waiting: list[tuple[Shard, Packed]], said: Said) -> Ints:
        """Steps events; the rows of their streams."""
        arena = self.arena
        rows = np.concatenate(
            [shard.rows_of(arena, packed.streams)[packed.stream] for shard, packed in waiting]
        )
        if not len(rows):
            return rows
        events, resets = gathered([packed for _, packed in waiting], rows)
        first = events.first
        if self.in_time:
            on_time = self._on_time(events, said)
            events, resets = events.where(on_time), resets[on_time]
            first = events.first
            if not len(events):
                return events.row
        starts = np.flatnonzero(first)
        before = latest_before(events.time, first, arena.last[events.row[starts]])
        lasts = np.append(starts[1:], len(events)) - 1
        last_rows = events.row[starts]
        latest = np.maximum(before[lasts], events.time[lasts])
        idle = self._idle(events.time, before)
        over = idle | resets  # the sequence before the event, if there is one
        ended = np.where(idle, before + (self.expire_after or 0), events.time)
        remembered: dict[int, bytes] = {}
        if self.feature is None:
            at_first = over & first
            rows_over, times = events.row[at_first].tolist(), ended[at_first].tolist()
            closed = dict(zip(rows_over, times, strict=True))
            inside = np.flatnonzero(over & ~first & ~np.r_[False, events.end[:-1]])
            events.end[inside - 1] = True
            events.until[inside - 1] = ended[inside]
        else:
            events, feeding = self._fed(events, first, over, ended, said)
            closed, remembered = feeding.closed, feeding.memory
        self._close(closed, said)
        self._step(events, said)
        for at, memory in remembered.items():  # of sequences that go on, or have just begun
            if memory:
                arena.memory[at] = memory
            else:
                arena.memory.pop(at, None)
        arena.last[last_rows] = latest
        return last_rows

    def _on_time(self, events: Entries, said: Said) -> Flags:
        """Which events are not late; the others are said."""
        arena = self.arena
        before = arena.last[events.row]
        late: Flags = (before != NEVER) & (events.time < before)
        for at in np.flatnonzero(late).tolist():
            row = int(events.row[at])
            behind = (int(before[at]) - int(events.time[at])) / 1e6
            reason = f"late: {behind:g} s before what its stream has stepped"
            value = events.value(int(events.source[at]))
            said.leave(said.late, arena, row, int(events.time[at]), reason, value)
        return ~late

    def close(self, shard: Shard, now: int | None) -> Iterator[Answers]:
        """Ends the sequences that have expired by ``now`` (microseconds), or all where None."""
        said = Said()
        rows, latest = self._latest(shard)
        if now is not None:
            never = self.expire_after is None
            over = np.zeros(len(rows), np.bool_) if never else latest <= now - self._expiry(0)
            rows = rows[over]
        stepped = rows[:0]
        if self.sequence is not None and shard.held is not None:
            watermark = NEVER if now is None else now
            ready = self.sequence.ready(self.arena, shard, [], said, now=watermark, over=rows)
            stepped = self._take([(shard, ready)], said)
        shard.changed.append(rows)
        self._end(rows, self.arena.last[rows] + self._expiry(0), said)
        self.arena.forget(rows)
        yield self._answered(said, np.concatenate([rows, stepped]))

    def restart(self, shard: Shard, times: dict[bytes, int] | None = None) -> Answers:
        """Ends sequences; numbers go on.

        Args:
          shard: whose sequences.
          times: when, in microseconds, for streams; None: all, at the times of their last events.
        """
        said = Said()
        streams = shard.rows if times is None else [s for s in times if s in shard.rows]
        rows = np.array([shard.rows[stream] for stream in streams], np.int64)
        last = self.arena.last[rows]
        shard.changed.append(rows)
        ends = last if times is None else np.array([times[s] for s in streams], np.int64)
        self._end(rows, ends, said)
        self.arena.last[rows] = last
        return self._answered(said, rows)

    def _end(self, rows: Ints, times: Ints, said: Said) -> None:
        """Ends the sequences of rows, each at its time."""
        closed = dict(zip(rows.tolist(), times.tolist(), strict=True))
        if self.feature is not None:
            feeding = Feeding(self.feature, self.answering.inputs, self.limits)
            for row, when in closed.items():
                feeding.begin(row, self.arena.memory.get(row, b""), int(self.arena.steps[row]))
                feeding.end(row, when)
            self._unfinished(feeding, said)
            self._step(feeding.entries(), said)
            closed = feeding.closed
        self._close(closed, said)
        self.arena.reset(rows)

    def _latest(self, shard: Shard) -> tuple[Ints, Ints]:
        """The rows of the shard, and the time of the latest event of each, stepped or held."""
        rows = np.fromiter(shard.rows.values(), np.int64, len(shard.rows))
        latest = self.arena.last[rows]
        held = shard.held_back()
        if held is not None:
            events, held_rows, _ = held
            by_row = self.arena.last.copy()
            np.maximum.at(by_row, held_rows, events.time)
            latest = by_row[rows]
        return rows, latest

    def _expiry(self, last: int) -> int:
        return last + (self.expire_after or 0)

    def _idle(self, time: Ints, before: Ints) -> Flags:
        """Whether a sequence had ended by idleness before each event."""
        if self.expire_after is None:
            return np.zeros(len(time), np.bool_)
        far = 1 << 61  # beyond any date, and no difference of two overflows
        ages = np.clip(time, -far, far) - np.clip(before, -far, far)
        idle: Flags = (before != NEVER) & (ages >= self.expire_after)
        return idle

    def _fed(
        self, events: Entries, first: Flags, over: Flags, ended: Ints, said: Said
    ) -> tuple[Entries, Feeding]:
        """Feeds the events to the feature."""
        assert self.feature is not None
        try:
            feeding = self._feeding(events, first, over, ended, careful=False)
            entries = feeding.entries()
        except InputError:  # a feature is pure: all is fed once more, to find the bad
            feeding = self._feeding(events, first, over, ended, careful=True)
            entries = feeding.entries()
        arena = self.arena
        if self.answering.needs is not None:
            reason = f"InputError: an empty {self.answering.needs}: expected at least one input"
            for source, row, time in feeding.empty:
                said.leave(said.bad, arena, row, time, reason, events.value(source))
        for source, row, time, reason in feeding.bad:
            said.leave(said.bad, arena, row, time, reason, events.value(source))
        self._unfinished(feeding, said)
        return entries, feeding

    def _feeding(
        self, events: Entries, first: Flags, over: Flags, ended: Ints, *, careful: bool
    ) -> Feeding:
        assert self.feature is not None
        arena = self.arena
        feeding = Feeding(self.feature, self.answering.inputs, self.limits, careful)
        parts = (events.row, events.time, events.end, events.source, first, over, ended)
        for row, time, end, source, begins, anew, when in zip(
            *(part.tolist() for part in parts), strict=True
        ):
            if begins:
                feeding.begin(row, arena.memory.get(row, b""), int(arena.steps[row]))
            if anew:
                feeding.end(row, when)
            if feeding.feed(source, row, time, events.value(source)) and end:
                feeding.end(row, time, source)
        return feeding

    def _unfinished(self, feeding: Feeding, said: Said) -> None:
        """Reports the sequences whose last input the feature could not make, without a value."""
        for row, time, reason in feeding.unfinished:
            said.leave(said.bad, self.arena, row, time, reason, None)

    def _close(self, closed: dict[int, int], said: Said) -> None:
        """Ends sequences that get no more events, each at its time."""
        steps = self.arena.steps
        rows = np.array(sorted(row for row in closed if steps[row]), np.int64)
        if len(rows):
            times = np.array([closed[row] for row in rows.tolist()], np.int64)
            rest = self.answering.close(rows, times, said)
            if rest is not None:
                self._step(rest, said)

    def _step(self, entries: Entries, said: Said) -> None:
        """Steps entries, and answers what is to be answered.

        Where that fails, the entries are cut until the one that fails is alone: it is reported,
        and its stream's state is as before.
        """
        if not len(entries):
            return
        if self.answering.sure:
            self.answering.step(entries, said)
            return
        rows = entries.row[entries.first]
        before = self.arena.a[rows]
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # it is told, not warned of
                self.answering.step(entries, said)
        except StateError:  # no event is to blame
            raise
        except Exception as error:  # whatever the model raises
            self.arena.a[rows] = before
            if len(entries) == 1:
                self._refuse(entries, error, said)
                return
            starts = np.flatnonzero(entries.first)
            middle = int(starts[len(starts) // 2]) or len(entries) // 2
            self._step(entries.where(slice(0, middle)), said)
            self._step(entries.where(slice(middle, None)), said)

    def _refuse(self, entry: Entries, error: Exception, said: Said) -> None:
        """Reports the entry that fails, and what would have been answered by it."""
        arena, row, until = self.arena, int(entry.row[0]), int(entry.until[0])
        reason = why(error)
        if entry.pad[0]:
            left = self.answering.waiting(row)
            arena.reset(entry.row)
        else:
            left = [(int(entry.time[0]), entry.value(int(entry.source[0])))]
        for time, value in left:
            said.leave(said.bad, arena, row, time, reason, value)
        if entry.end[0]:
            self._close({row: until}, said)

    def _answered(self, said: Said, rows: Ints) -> Answers:
        """What was said; then the rows of streams that have no sequence are given back."""
        arena = self.arena
        answers = said.answers(arena, self.answering.join)
        idle = (arena.steps[rows] == 0) & (arena.next[rows] == 0) & (arena.held[rows] == 0)
        over = [row for row in np.unique(rows[idle]).tolist() if row not in arena.memory]
        by_home: dict[Shard, list[int]] = {}
        for row in over:
            home = arena.home[row]
            if home is not None:
                by_home.setdefault(home, []).append(row)
        for home, mine in by_home.items():
            home.drop(arena, np.array(mine))
        return answers
