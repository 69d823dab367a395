"""Step for unbounded events in event time: what waits for the watermark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam import coders
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    BagStateSpec,
    ReadModifyWriteStateSpec,
    TimerSpec,
    on_timer,
)

from beam_rnn.streams.pack import merge
from beam_rnn.streams.shard import Shard
from beam_rnn.transforms.metrics import METRICS
from beam_rnn.transforms.shards import LOG, TAGS, Cells, is_over, set_timer, window_of
from beam_rnn.transforms.step import StepEvents

BUFFER = BagStateSpec("buffer", coders.BytesCoder())
DUE = ReadModifyWriteStateSpec("due", coders.BytesCoder())


class StepInTime(StepEvents):
    """(shard, pack) -> answers in event time: packs wait in a bag until the watermark passes.

    One timer per shard, at the earliest time at which an event can be stepped or a stream ends;
    that time is kept beside the bag, so that a bundle of new events reads nothing else.
    """

    TIMER = TimerSpec("due", TimeDomain.WATERMARK)

    def start_bundle(self) -> None:
        super().start_bundle()
        self.added: dict[tuple[int, Any], tuple[int, Any, Any]] = {}

    def process(  # type: ignore[override]
        self,
        element: tuple[int, bytes],
        time: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
        buffer: Any = beam.DoFn.StateParam(BUFFER),
        due: Any = beam.DoFn.StateParam(DUE),
        timer: Any = beam.DoFn.TimerParam(TIMER),
    ) -> Iterable[Any]:
        number, data = element
        buffer.add(data)
        latest = window_of(window)[1]
        when = min(time.micros + (self.stepping.lateness or 0), latest)
        known = self.added.get((number, window))
        if known is not None:
            when = min(when, known[0])
        self.added[number, window] = (when, due, timer)
        return ()

    @on_timer(TIMER)
    def expire(
        self,
        number: Any = beam.DoFn.KeyParam,
        window: Any = beam.DoFn.WindowParam,
        fired: Any = beam.DoFn.TimestampParam,
        log: Any = beam.DoFn.StateParam(LOG),
        tags: Any = beam.DoFn.StateParam(TAGS),
        buffer: Any = beam.DoFn.StateParam(BUFFER),
        due: Any = beam.DoFn.StateParam(DUE),
        timer: Any = beam.DoFn.TimerParam(TIMER),
    ) -> Iterator[Any]:
        self.added.pop((number, window), None)
        shard = self.shards.open(number, window, Cells(log, tags, timer))
        over = is_over(shard, fired)
        passed = fired.micros - (self.stepping.lateness or 0)
        updates, packs = self._sorted(buffer.read())
        if updates:
            yield from self._update(shard, updates)
            if not packs:
                buffer.clear()
        wait: int | None = None
        if packs:
            events = merge(packs)
            ready = len(events) if over else int(events.time.searchsorted(passed, "right"))
            METRICS.events.inc(ready)
            self.stepper.receive(shard, events.only(slice(ready)))
            buffer.clear()
            if ready < len(events):
                rest = events.only(slice(ready, None))
                rest.origin = -1  # before what comes later with the same time
                buffer.add(rest.encode(self.encode_values))
                wait = int(rest.time[0]) + (self.stepping.lateness or 0)
        yield from self._settled()
        yield from self._closed(shard, None if over else passed)
        ends = self._next(shard)
        if ends is not None and ends < shard.window[1]:
            ends += self.stepping.lateness or 0
        times = [time for time in (wait, ends) if time is not None]
        if times:
            when = min(*times, shard.window[1])
            due.write(b"%d" % when)
            set_timer(timer, when, shard.window[1], self.stepping.behind)
        else:
            due.clear()

    def finish_bundle(self) -> Iterator[Any]:
        yield from super().finish_bundle()
        for (_, window), (when, due, timer) in self.added.items():
            known = due.read()
            if known is None or when < int(known):
                due.write(b"%d" % when)
                set_timer(timer, when, window_of(window)[1], self.stepping.behind)

    def _due(self, shard: Shard, cells: Cells) -> None:
        """Set when the timer came."""
