"""Events in the order of their numbers: duplicates, gaps, and what is held back behind them."""

from __future__ import annotations

import numpy as np

from beam_rnn.nn.parameters import Ints
from beam_rnn.streams.answers import Said
from beam_rnn.streams.order import Numbers
from beam_rnn.streams.pack import Packed, join
from beam_rnn.streams.shard import NEVER, Arena, Shard
from beam_rnn.streams.waves import Flags, place_in_group

_FAILED = -1  # the next number of a stream that failed at a gap
_MISSED = 64  # ranges of skipped numbers that a stream remembers, the latest


class InSequence:
    """Brings numbered events into their order.

    Args:
      numbers: how they are numbered. Here the first number of a stream is 0.
    """

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers

    def due(self, arena: Arena, shard: Shard) -> int | None:
        """When the first gap of the shard has been waited for long enough, in microseconds."""
        held = shard.held_back()
        if held is None or self.numbers.max_wait is None:
            return None
        events, rows, _ = held
        waits = arena.told[rows] != arena.next[rows]
        if not waits.any():
            return None
        return int(events.time[waits].min()) + self.numbers.max_wait

    def ready(
        self,
        arena: Arena,
        shard: Shard,
        packs: list[Packed],
        said: Said,
        *,
        now: int = NEVER,
        over: Ints | None = None,
    ) -> Packed:
        """The events whose turn it is, of those that came and of those held back.

        Duplicates are dropped; what is behind a gap is held back. A gap that was waited for long
        enough is given up.

        Args:
          arena: where the streams have rows.
          shard: whose events.
          packs: what came.
          said: takes what is reported.
          now: the watermark, in microseconds.
          over: rows of streams of which no more events come; their gaps are given up.

        Returns:
          Events grouped by stream, in the order of their numbers.
        """
        rows = [shard.rows_of(arena, pack.streams)[pack.stream] for pack in packs]
        logged = [np.zeros(len(pack), np.bool_) for pack in packs]
        held = shard.held_back()
        if held is not None:
            packs, rows, logged = [held[0], *packs], [held[1], *rows], [held[2], *logged]
        events = join(packs)
        found = _Numbered(arena, shard, events, np.concatenate(rows))
        found.drop_what_failed(said)
        found.drop_duplicates(said)
        rest = found.take_contiguous()
        if len(rest):
            rest = self._without_gaps(found, rest, now, over, said)
            rest = self._within_buffer(found, rest, said)
        rest = np.sort(rest)  # as they came, so that the first of two duplicates stays the first
        known = np.concatenate(logged)
        gone = known.copy()
        gone[rest] = False
        following = arena.next[found.row]
        if (gone & ((found.seq >= following) | (following == _FAILED))).any():
            shard.stale = True  # their numbers do not tell that they are gone
        shard.hold(arena, events[rest], found.row[rest], known[rest])
        return events[np.concatenate(found.taken)]

    def _without_gaps(
        self, found: _Numbered, rest: Ints, now: int, over: Ints | None, said: Said
    ) -> Ints:
        """Gives up gaps, each for itself; what is still held back."""
        row, time = found.row[rest], found.events.time[rest]
        ends = np.zeros(len(rest), np.bool_) if over is None else np.isin(row, over)
        max_wait = self.numbers.max_wait
        late = np.zeros(len(rest), np.bool_)
        if max_wait is not None and now != NEVER:
            late = time <= now - max_wait
        due = np.unique(row[ends | late])
        if not len(due):
            return rest
        left = [rest[~np.isin(row, due)]]
        for each in due.tolist():
            mine = rest[row == each]
            gives_up = bool(ends[row == each][0])
            if self.numbers.on_gap == "skip":
                left.append(self._skip(found, each, mine, None if gives_up else now, said))
            elif self.numbers.on_gap == "fail":
                self._tell_gap(found, each, mine, said)
                found.fail(mine, "behind a gap at which its stream failed", said)
                found.arena.next[each] = _FAILED
                found.arena.last[each] = max(
                    int(found.arena.last[each]), int(found.events.time[mine].max())
                )
            else:
                if found.arena.told[each] != found.arena.next[each]:
                    self._tell_gap(found, each, mine, said)
                    found.arena.told[each] = found.arena.next[each]
                if gives_up:
                    found.fail(mine, "behind a gap that was never filled", said)
                else:
                    left.append(mine)
            found.shard.changed.append(np.array([each], np.int64))
        return np.concatenate(left)

    def _skip(self, found: _Numbered, row: int, mine: Ints, now: int | None, said: Said) -> Ints:
        """Steps over the gaps of a row that were waited for long enough; the rest behind them.

        Args:
          now: the watermark, or None where no gap is waited for.
        """
        arena, events = found.arena, found.events
        assert events.seq is not None
        assert self.numbers.max_wait is not None
        number, time = events.seq[mine], events.time[mine]
        gap = np.diff(number, prepend=arena.next[row] - 1) > 1
        stop = len(mine)
        if now is not None:
            waited = np.minimum.accumulate(time[::-1])[::-1] <= now - self.numbers.max_wait
            patient = np.flatnonzero(gap & ~waited)
            stop = int(patient[0]) if len(patient) else stop
        missed = np.frombuffer(arena.missed.get(row, b""), np.int64).reshape(-1, 2)
        ranges = [missed]
        for place in np.flatnonzero(gap[:stop]).tolist():
            arena.next[row] = number[place - 1] + 1 if place else arena.next[row]
            self._tell_gap(found, row, mine[place:], said)
            ranges.append(np.array([[arena.next[row], number[place] - 1]]))
        if stop:
            arena.next[row] = number[stop - 1] + 1
            found.taken.append(mine[:stop])
        arena.missed[row] = np.concatenate(ranges)[-_MISSED:].astype("<i8").tobytes()
        return mine[stop:]

    def _tell_gap(self, found: _Numbered, row: int, behind: Ints, said: Said) -> None:
        events = found.events
        assert events.seq is not None
        start = self.numbers.start
        first, last = int(found.arena.next[row]) + start, int(events.seq[behind[0]]) - 1 + start
        what = f"number {first}" if first == last else f"numbers {first} to {last}"
        said.gaps += 1
        said.leave(said.bad, found.arena, row, int(events.time[behind].min()), f"gap: {what}", None)

    def _within_buffer(self, found: _Numbered, rest: Ints, said: Said) -> Ints:
        """What may be held back; the events of the highest numbers beyond it are failed."""
        row = found.row[rest]
        over = place_in_group(np.diff(row, prepend=-1) != 0) >= self.numbers.buffer
        if over.any():
            why = f"{self.numbers.buffer} events of its stream wait behind a gap already"
            found.fail(rest[over], why, said)
        return rest[~over]


class _Numbered:
    """Events of one shard, by row and number.

    Attributes:
      row: (n,) the row of each event.
      order: places of the events by row and number, those that were dropped left out.
      taken: places of the events whose turn it is.
    """

    def __init__(self, arena: Arena, shard: Shard, events: Packed, row: Ints) -> None:
        assert events.seq is not None
        self.arena = arena
        self.shard = shard
        self.events = events
        self.seq = events.seq
        self.row = row
        self.order: Ints = np.lexsort((self.seq, row))
        self.taken: list[Ints] = []

    def drop_what_failed(self, said: Said) -> None:
        """Events of failed streams; a stream goes on with the first event that resets it."""
        failed = self.arena.next[self.row[self.order]] == _FAILED
        if not failed.any():
            return
        reset = self.events.reset
        mine = self.order[failed]
        for row in np.unique(self.row[mine]).tolist():
            places = np.sort(mine[self.row[mine] == row])  # as they came
            begins = np.flatnonzero(reset[places]) if reset is not None else np.zeros(0, np.int64)
            until = int(begins[0]) if len(begins) else len(places)
            self.fail(places[:until], "its stream failed at a gap", said)
            latest = self.events.time[places[:until]].max(initial=NEVER)  # it is not idle
            self.arena.last[row] = max(int(self.arena.last[row]), int(latest))
            failed[np.isin(self.order, places[until:])] = False
            if until < len(places):
                self.arena.next[row] = self.seq[places[until]]
        self.order = self.order[~failed]

    def drop_duplicates(self, said: Said) -> None:
        """Events whose number was there before; those of a skipped number are late."""
        row, number = self.row[self.order], self.seq[self.order]
        again = np.zeros(len(row), np.bool_)
        again[1:] = (row[1:] == row[:-1]) & (number[1:] == number[:-1])
        old = number < self.arena.next[row]
        dropped = again | old
        if not dropped.any():
            return
        late = 0
        for place in self.order[old].tolist():
            late += self._is_missed(place, said)
        said.duplicates += int(dropped.sum()) - late
        self.order = self.order[~dropped]

    def _is_missed(self, place: int, said: Said) -> bool:
        """Whether the number of an event was skipped; then the event is late."""
        row, number = int(self.row[place]), int(self.seq[place])
        missed = np.frombuffer(self.arena.missed.get(row, b""), np.int64).reshape(-1, 2)
        if not ((missed[:, 0] <= number) & (number <= missed[:, 1])).any():
            return False
        time, value = int(self.events.time[place]), self.events.value(place)
        said.leave(said.late, self.arena, row, time, "late: its number was skipped", value)
        return True

    def take_contiguous(self) -> Ints:
        """Takes what follows on each row without a gap; the places of the rest."""
        row, number = self.row[self.order], self.seq[self.order]
        first = np.ones(len(row), np.bool_)
        first[1:] = row[1:] != row[:-1]
        ready: Flags = number == self.arena.next[row] + place_in_group(first)
        self.taken.append(self.order[ready])
        np.add.at(self.arena.next, row[ready], 1)
        return self.order[~ready]

    def fail(self, places: Ints, why: str, said: Said) -> None:
        """Reports events that are not stepped."""
        for place in places.tolist():
            row, time = int(self.row[place]), int(self.events.time[place])
            said.leave(said.bad, self.arena, row, time, why, self.events.value(place))
