"""The waiting events of many streams, stepped together; what Step does, without Beam."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from beam_rnn.errors import InputError, StateError
from beam_rnn.nn.network import Network
from beam_rnn.nn.parameters import Floats, Ints
from beam_rnn.streams.answers import Answers, Said, chosen
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.entries import Entries, latest_before
from beam_rnn.streams.feature import Feature
from beam_rnn.streams.feeding import Feeding
from beam_rnn.streams.order import Numbers
from beam_rnn.streams.pack import Packed, as_made
from beam_rnn.streams.sequence import InSequence
from beam_rnn.streams.shard import NEVER, Arena, Shard
from beam_rnn.streams.state import Tag
from beam_rnn.streams.waves import Flags, by_stream, place_in_group, waves

_CHUNK = 16_384  # events whose inputs and hidden vectors are in memory at once


class Stepper:
    """Steps events of many shards in waves; keeps their states between ``load`` and ``write``.

    Args:
      network: a causal network.
      shards: the number of shards, written into the state.
      codec: how keys and values are written.
      per_sequence: whether answers are about the sequence (Classify) or an event of it (Tag).
      emit: which answers are given.
      lookahead: how many inputs later an event is answered.
      feature: what makes inputs from values, or None where events carry x.
      expire_after: microseconds of event time without an event that end a sequence, or None.
      columnar: whether what answers echo is one array, instead of a list.
      in_time: whether an event is late when its stream has stepped one of a later time.
      numbers: how events are numbered, where they are stepped in the order of their numbers.
    """

    def __init__(
        self,
        network: Network,
        shards: int,
        codec: Codec,
        *,
        per_sequence: bool = False,
        emit: Emit,
        lookahead: int = 0,
        feature: Feature | None = None,
        expire_after: int | None = None,
        columnar: bool = False,
        in_time: bool = False,
        numbers: Numbers | None = None,
    ) -> None:
        self.network = network
        self.tag = Tag(network.fingerprint, shards)
        self.codec = codec
        self.per_sequence = per_sequence
        self.emit = emit
        self.lookahead = lookahead
        self.feature = feature
        self.expire_after = expire_after
        self.columnar = columnar
        self.in_time = in_time
        self.sequence = None if numbers is None else InSequence(numbers)
        # A final answer is about the last event: its value waits for the end of the sequence.
        self.answers_last = emit.each != 1 and not emit.change
        self.keeps_last = self.answers_last and not per_sequence and not lookahead
        self.clear()

    def clear(self) -> None:
        """Forgets all shards and events."""
        self.arena = Arena(self.network.state_size, self.codec.decode_key)
        self.waiting: list[tuple[Shard, Packed]] = []
        self.count = 0

    @property
    def speaks_last(self) -> bool:
        """Whether something may still be said when no more events can come."""
        says = self.answers_last or self.lookahead > 0 or self.feature is not None
        return says or self.sequence is not None

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
                packed.x = self.network.inputs.check(() if packed.x is None else packed.x)
            except InputError as error:
                raise StateError(f"events that are not of this model: {error}") from None
        elif packed.inputs is None:
            raise StateError("events without the values that the feature takes")
        if packed.seq is None and self.sequence is not None:
            raise StateError("events without the numbers by which they are ordered")

    def due(self, shard: Shard) -> int | None:
        """When something of the shard is due, in microseconds of event time.

        A stream expires, or a gap in its numbers has been waited for long enough.
        """
        due = [] if self.sequence is None else [self.sequence.due(self.arena, shard)]
        if self.expire_after is not None and shard.rows:
            due.append(int(self._latest(shard)[1].min()) + self.expire_after)
        return min((when for when in due if when is not None), default=None)

    def settle(self, *, final: bool = False) -> Iterator[Answers]:
        """Steps all events that wait, a bounded number at a time.

        Args:
          final: whether no event can come any more that belongs before these.
        """
        waiting, self.waiting, self.count = as_made(self.waiting), [], 0
        chunk: list[tuple[Shard, Packed]] = []
        count = 0
        for shard, packed in waiting:
            chunk.append((shard, packed))
            count += len(packed)
            if count >= _CHUNK:
                yield self._settled(chunk, final)
                chunk, count = [], 0
        if chunk:
            yield self._settled(chunk, final)

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
        order, first = by_stream(rows)
        packs = [packed for _, packed in waiting]
        inputs = None
        if packs[0].inputs is not None:
            inputs = [value for packed in packs for value in packed.inputs or ()]
        xs = [packed.x for packed in packs if packed.x is not None]
        time = np.concatenate([packed.time for packed in packs])[order]
        events = Entries(
            rows[order],
            time,
            np.concatenate([packed.end for packed in packs])[order],
            time.copy(),
            np.zeros(len(rows), np.bool_),
            order,
            np.concatenate(xs) if xs else np.zeros(0, np.float32),
            inputs,
        )
        resets = np.zeros(len(rows), np.bool_)
        if any(packed.reset is not None for packed in packs):
            no = [np.zeros(len(packed), np.bool_) for packed in packs]
            told = [n if p.reset is None else p.reset for p, n in zip(packs, no, strict=True)]
            resets = np.concatenate(told)[order]
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
            feeding = self._fed(events, first, over, ended, said)
            events, closed, remembered = feeding.entries(), feeding.closed, feeding.memory
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

    def restart(self, shard: Shard) -> Answers:
        """Ends all sequences at the times of their last events; numbers go on."""
        said = Said()
        rows = np.fromiter(shard.rows.values(), np.int64, len(shard.rows))
        last = self.arena.last[rows]
        shard.changed.append(rows)
        self._end(rows, last, said)
        self.arena.last[rows] = last
        return self._answered(said, rows)

    def _end(self, rows: Ints, times: Ints, said: Said) -> None:
        """Ends the sequences of rows, each at its time."""
        closed = dict(zip(rows.tolist(), times.tolist(), strict=True))
        if self.feature is not None:
            feeding = Feeding(self.feature, self.network)
            for row, when in closed.items():
                feeding.begin(row, self.arena.memory.get(row, b""))
                feeding.end(row, when)
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

    def _fed(self, events: Entries, first: Flags, over: Flags, ended: Ints, said: Said) -> Feeding:
        """Feeds the events to the feature."""
        assert self.feature is not None
        arena = self.arena
        feeding = Feeding(self.feature, self.network)
        parts = (events.row, events.time, events.end, events.source, first, over, ended)
        for row, time, end, source, begins, anew, when in zip(
            *(part.tolist() for part in parts), strict=True
        ):
            if begins:
                feeding.begin(row, arena.memory.get(row, b""))
            if anew:
                feeding.end(row, when)
            if feeding.feed(source, row, time, events.value(source)) and end:
                feeding.end(row, time)
        for source, row, time, reason in feeding.bad:
            said.leave(said.bad, arena, row, time, reason, events.value(source))
        return feeding

    def _close(self, closed: dict[int, int], said: Said) -> None:
        """Ends sequences that get no more events, each at its time."""
        steps = self.arena.steps
        rows = np.array(sorted(row for row in closed if steps[row]), np.int64)
        if not len(rows):
            return
        times = np.array([closed[row] for row in rows.tolist()], np.int64)
        if self.lookahead:
            m = len(rows) * self.lookahead
            places = np.arange(m) % self.lookahead
            pads = Entries(
                np.repeat(rows, self.lookahead),
                np.repeat(times, self.lookahead),
                places == self.lookahead - 1,
                np.repeat(times, self.lookahead),
                np.ones(m, np.bool_),
                np.zeros(m, np.int64),
                np.zeros((0, *self.network.input_shape), self.network.input_dtype),
                None,
            )
            self._step(pads, said)
            return
        if self.answers_last:
            unsaid = rows if not self.emit.each else rows[steps[rows] % self.emit.each > 0]
            when, inputs = times[np.isin(rows, unsaid)], []
            if self.keeps_last:
                kept = [self._pending(row)[-1] for row in unsaid.tolist()]
                when = np.array([time for time, _ in kept], np.int64)
                inputs = [value for _, value in kept]
            y = self.network.readout(self.arena.a[unsaid])
            self._say(unsaid, when, inputs, y, steps[unsaid], said)
        self.arena.reset(rows)

    def _step(self, entries: Entries, said: Said) -> None:
        """Steps entries, and answers what is to be answered.

        Where that fails, the entries are cut until the one that fails is alone: it is reported,
        and its stream's state is as before.
        """
        if not len(entries):
            return
        if self.network.bounded:
            self._step_all(entries, said)
            return
        rows = entries.row[entries.first]
        before = self.arena.a[rows]
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # it is told, not warned of
                self._step_all(entries, said)
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
        reason = f"{type(error).__name__}: {error}"
        if entry.pad[0]:
            left = self._pending(row)
            arena.reset(entry.row)
        else:
            left = [(int(entry.time[0]), entry.value(int(entry.source[0])))]
        for time, value in left:
            said.leave(said.bad, arena, row, time, reason, value)
        if entry.end[0]:
            self._close({row: until}, said)

    def _step_all(self, entries: Entries, said: Said) -> None:
        """Steps entries in waves, and answers; raises before anything but ``a`` has changed."""
        entries = entries.padded(self.lookahead)
        m = len(entries)
        arena = self.arena
        row, first, after_end = entries.row, entries.first, entries.after_end
        begins = first | after_end
        starts = np.flatnonzero(begins)
        base = np.where(first[starts], arena.steps[row[starts]], 0)
        step = place_in_group(begins) + 1
        step += np.repeat(base, np.diff(np.append(starts, m)))
        order, cut = waves(row, first, after_end)
        h = self.network.advance(entries.ordered_x(order), arena.a, cut)
        if not self.network.bounded and not np.isfinite(h).all():
            raise FloatingPointError("the step gives values that are not finite")
        said.waves.extend(wave.size for wave in cut)

        if self.lookahead:
            at, step_at, times, inputs = self._recalled(entries, first, begins, step)
        else:
            at, step_at, times, inputs = np.arange(m), step, entries.time, None
        usual = self.emit.change or (self.emit.each and step_at % max(self.emit.each, 1) == 0)
        usual = np.broadcast_to(usual, at.shape)
        keep = np.flatnonzero(usual | entries.end[at]) if self.answers_last else np.arange(len(at))
        place = np.empty(m, np.int64)
        place[order] = np.arange(m)
        y = self.network.head(h[place[at[keep]]])
        what: Any = []
        if self.per_sequence:  # an answer is of the time that brought it
            times = np.where(usual, entries.time[at], entries.until[at])
        elif inputs is None and self.columnar:
            what = entries.x[entries.source[keep]]
        elif inputs is None:
            what = entries.values(entries.source[keep])
        else:
            what = [inputs[i] for i in keep.tolist()]
        self._say(row[at[keep]], times[keep], what, y, step_at[keep], said)

        lasts = np.append(np.flatnonzero(first)[1:], m) - 1
        over = entries.end[lasts]
        going = lasts[~over]
        arena.steps[row[going]] = step[going]
        if self.keeps_last:
            values = entries.values(entries.source[going])
            for at_row, time, value in zip(
                row[going].tolist(), entries.time[going].tolist(), values, strict=True
            ):
                arena.pending[at_row] = [(time, value)]
        arena.reset(row[lasts[over]])

    def _recalled(
        self, entries: Entries, first: Flags, begins: Flags, step: Ints
    ) -> tuple[Ints, Ints, Ints, list[Any]]:
        """With a look-ahead: which entries give an answer, and to which earlier event."""
        at: list[int] = []
        times: list[int] = []
        inputs: list[Any] = []
        queue: list[Any] = []
        parts = (entries.row, entries.time, entries.pad, entries.source, first, begins, step)
        for i, (row, time, pad, source, is_first, starts, n) in enumerate(
            zip(*(part.tolist() for part in parts), strict=True)
        ):
            if is_first or starts:
                queue = self._pending(row) if is_first else []
                self.arena.pending[row] = queue
            if not pad:
                queue.append((time, entries.value(source)))
            if n > self.lookahead:
                at.append(i)
                answered = queue.pop(0)
                times.append(answered[0])
                inputs.append(answered[1])
        places = np.array(at, np.int64)
        return places, step[places] - self.lookahead, np.array(times, np.int64), inputs

    def _pending(self, row: int) -> list[Any]:
        """The events of a row that wait for their answer; decoded when they are needed."""
        pending = self.arena.pending.get(row) or []
        if isinstance(pending, bytes):
            pending = self.codec.decode_pending(pending)
        expected = min(int(self.arena.steps[row]), self.lookahead or 1)
        if len(pending) != expected:
            raise StateError(
                f"stream {self.arena.names([row])[0]!r}: {len(pending)} events wait for their "
                f"answer, expected {expected}: its state was written with another emit or lookahead"
            )
        return pending

    def _say(
        self, rows: Ints, times: Ints, inputs: Any, y: Floats, steps: Ints, said: Said
    ) -> None:
        """Says of ``rows``, those of a row together and in their order, what y says."""
        label, score = chosen(y)
        if self.emit.change and len(rows):
            first = np.r_[True, rows[1:] != rows[:-1]]
            before = np.where(first, self.arena.label[rows], np.r_[-1, label[:-1]])
            lasts = np.append(np.flatnonzero(first)[1:], len(rows)) - 1
            self.arena.label[rows[lasts]] = label[lasts]
            changed = np.flatnonzero((label != before) | (steps == 1))
            rows, times, steps = rows[changed], times[changed], steps[changed]
            label, score = label[changed], score[changed]
            if isinstance(inputs, np.ndarray):
                inputs = inputs[changed]
            elif inputs:
                inputs = [inputs[i] for i in changed.tolist()]
        said.add(rows, times, label, score, steps, inputs)

    def _answered(self, said: Said, rows: Ints) -> Answers:
        """What was said; then the rows of streams that have no sequence are given back."""
        arena = self.arena
        answers = said.answers(arena, columnar=self.columnar)
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
