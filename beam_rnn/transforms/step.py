"""Step: packed events -> answers, with the hidden states in Beam state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam import coders
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import TimerSpec, on_timer
from apache_beam.utils.windowed_value import create

from beam_rnn.streams.answering import Answering
from beam_rnn.streams.answers import Answers
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.event import BadEvent
from beam_rnn.streams.feature import Feature, flat
from beam_rnn.streams.limits import DEFAULT, Limits
from beam_rnn.streams.order import Numbers
from beam_rnn.streams.pack import Packed, merge
from beam_rnn.streams.shard import Shard
from beam_rnn.streams.stepper import Stepper
from beam_rnn.streams.updates import Updating
from beam_rnn.transforms.batches import batches_of
from beam_rnn.transforms.metrics import METRICS
from beam_rnn.transforms.model import Model, Update
from beam_rnn.transforms.moving import STATE, read_state
from beam_rnn.transforms.pack import FAILED
from beam_rnn.transforms.shards import LOG, TAGS, Cells, OpenShards, is_over, set_timer, window_of

_WAITING = 1 << 18  # events that wait for the end of a bundle, and their bytes
_WAITING_BYTES = 64 << 20
_HELD = 1 << 20  # sorted events that wait for those of other shards
_ANY = coders.FastPrimitivesCoder()
_TOGETHER = 10_000_000  # microseconds in which streams that expire are let go by one timer


@dataclass(frozen=True)
class Stepping:
    """How events are stepped: the options that Step needs.

    ``answering`` makes of the model and the codec what steps inputs and answers.
    """

    model: Model
    shards: int
    key_coder: coders.Coder
    value_coder: coders.Coder
    answering: Callable[[Any, Codec], Answering]
    feature: Feature | None
    expire_after: int | None
    closes_windows: bool
    columnar: bool = False
    lateness: int | None = None  # microseconds, where unbounded events are stepped in their time
    numbers: Numbers | None = None  # where events are stepped in the order of their numbers
    limits: Limits = DEFAULT
    on_update: str | None = None  # what becomes of live streams, where the model is updated
    export: bool = False  # whether state that is left when the input ends is given
    restore: str | None = None  # the folder of the state with which shards begin

    def stepper(self) -> Stepper | Updating:
        """What steps them."""
        first = self._with(self.model)
        if self.on_update is None:
            return first
        return Updating(
            first, lambda path: self._with(Model(path, self.model.kinds)), self.on_update
        )

    @property
    def patience(self) -> int:
        """How long after it expired a stream may be let go, in microseconds.

        The watermark of the answers waits for it, so not longer than for events held back.
        """
        together = min((self.expire_after or 0) // 16, _TOGETHER)
        return together if self._waits is None else min(together, self._waits)

    @property
    def behind(self) -> int:
        """By how much an answer may be before the timer that brings it, in microseconds."""
        return (self._waits or 0) + self.patience

    @property
    def _waits(self) -> int | None:
        """How long events are held back, in microseconds."""
        return self.numbers.max_wait if self.numbers else self.lateness

    @property
    def begin(self) -> Callable[[int], bytes] | None:
        """Shard -> the state with which it begins."""
        if self.restore is None:
            return None
        return lambda shard: read_state(str(self.restore), shard, self.shards)

    def _with(self, source: Model) -> Stepper:
        model = source.network()
        codec = Codec(self.key_coder.decode, self.value_coder.encode, self.value_coder.decode)
        if self.feature is not None and not isinstance(self.feature, flat):
            codec = codec._replace(encode_echo=_ANY.encode, decode_echo=_ANY.decode)
        if self.columnar:  # what waits for its answer is an input, not a value
            dtype, shape = model.inputs.dtype, model.inputs.shape
            codec = codec._replace(
                encode_value=lambda x: np.asarray(x, dtype).tobytes(),
                decode_value=lambda data: np.frombuffer(data, dtype).reshape(shape),
            )
        return Stepper(
            self.answering(model, codec),
            self.shards,
            feature=self.feature,
            expire_after=self.expire_after,
            patience=self.patience,
            in_time=self.lateness is not None,
            numbers=self.numbers,
            limits=self.limits,
        )


LATE = "late"


class Steps(beam.DoFn):
    """What all ways to step share: from packed bytes to the stepper, to outputs."""

    def __init__(self, stepping: Stepping) -> None:
        self.stepping = stepping

    def setup(self) -> None:
        self.stepper = self.stepping.stepper()
        self.shards = OpenShards(self.stepper, self.stepping.begin)
        self.given: set[Shard] = set()  # whose state was exported in this bundle
        values = coders.IterableCoder(self.stepping.value_coder)
        self.encode_values: Callable[[list[Any]], bytes] = values.encode
        self.decode_values: Callable[[bytes], list[Any]] = values.decode

    def _sorted(self, elements: Iterable[bytes]) -> tuple[list[Update], list[Packed]]:
        """The updates among the elements of a shard, the earliest first, and the packs."""
        updates, packs = [], []
        for data in elements:
            update = Update.of(data)
            if update is None:
                packs.append(self._decode(data))
            else:
                updates.append(update)
        return sorted(updates), packs

    def _update(self, shard: Shard, updates: Iterable[Update]) -> Iterator[Any]:
        """Takes other models for a shard, the last to go on with; reports those refused."""
        assert isinstance(self.stepper, Updating)
        for time, path in updates:
            refused = self.stepper.update(shard, path)
            if refused is not None:
                METRICS.models_refused.inc()
                windows, latest = shard.window
                bad = create(BadEvent(None, refused, path), min(time, latest), windows)
                yield beam.pvalue.TaggedOutput(FAILED, bad)

    def _decode(self, data: bytes) -> Packed:
        return Packed.decode(data, lambda values: list(self.decode_values(values)))

    def _next(self, shard: Shard) -> int | None:
        """When something of the shard is due, in microseconds of event time."""
        latest: int = shard.window[1]
        exports = self.stepping.export and shard not in self.given
        if not shard.live:
            return latest if exports else None
        due = self.stepper.due(shard)
        if due is None:
            closes = self.stepping.closes_windows and self.stepper.speaks_last
            return latest if closes or exports else None
        return min(due, latest)

    def _settled(self, *, final: bool = False) -> Iterator[Any]:
        for answers in self.stepper.settle(final=final):
            yield from self._outputs(answers)

    def _closed(self, shard: Shard, now: int | None) -> Iterator[Any]:
        if now is None and self.stepping.export:
            assert isinstance(self.stepper, Stepper)
            windows, latest = shard.window
            state = create((shard.id, self.stepper.take_out(shard)), latest, windows)
            self.given.add(shard)
            yield beam.pvalue.TaggedOutput(STATE, state)
            return
        for answers in self.stepper.close(shard, now):
            yield from self._outputs(answers)

    def _outputs(self, answers: Answers) -> Iterator[Any]:
        """Answers with the time and window of the events they answer."""
        METRICS.stepped(answers.waves)
        if answers.duplicates:
            METRICS.duplicates.inc(answers.duplicates)
        if answers.gaps:
            METRICS.gaps.inc(answers.gaps)
        leaving = ((FAILED, METRICS.failed, answers.bad), (LATE, METRICS.late, answers.late))
        for tag, counter, events in leaving:
            for home, time, bad in events:
                counter.inc()
                windows, latest = home.window
                yield beam.pvalue.TaggedOutput(tag, create(bad, min(time, latest), windows))
        if self.stepping.columnar:
            yield from batches_of(answers)
            return
        names, homes = answers.names, answers.homes
        rows = zip(answers.stream.tolist(), answers.time.tolist(), answers.what, strict=True)
        for stream, time, answer in rows:
            windows, latest = homes[stream].window
            yield create((names[stream], answer), time if time < latest else latest, windows)


class StepSorted(Steps):
    """(shard, all its packs of a window) -> answers, by time or number; needs no state."""

    def start_bundle(self) -> None:
        self.held: list[Shard] = []
        self.given.clear()
        self.stepper.clear()

    def process(
        self,
        element: tuple[int, Iterable[bytes]],
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterable[Any]:
        number, elements = element
        updates, packs = self._sorted(elements)
        shard = self.stepper.shard(number, window_of(window))
        self.shards.restore(shard)
        if updates:
            yield from self._update(shard, updates)
        if not packs:
            return
        packed = merge(packs)
        METRICS.events.inc(len(packed))
        self.held.append(shard)
        self.stepper.receive(shard, packed)
        if self.stepper.count >= _HELD:
            yield from self.finish_bundle()

    def finish_bundle(self) -> Iterator[Any]:
        held, self.held = self.held, []
        yield from self._settled(final=not self.stepping.export)
        for shard in held:
            yield from self._closed(shard, None)
        self.stepper.clear()


class StepEvents(Steps):
    """(shard, pack) -> answers, with the states of the shard's streams in Beam state."""

    def start_bundle(self) -> None:
        self.shards.begin()
        self.given.clear()
        self.bytes = 0

    def process(
        self,
        element: tuple[int, bytes],
        window: Any = beam.DoFn.WindowParam,
        log: Any = beam.DoFn.StateParam(LOG),
        tags: Any = beam.DoFn.StateParam(TAGS),
    ) -> Iterable[Any]:
        return self._receive(element, window, Cells(log, tags))

    def _receive(self, element: tuple[int, bytes], window: Any, cells: Cells) -> Iterable[Any]:
        number, data = element
        shard = self.shards.open(number, window, cells)
        update = Update.of(data)
        if update is not None:
            return self._update(shard, [update])
        packed = self._decode(data)
        METRICS.events.inc(len(packed))
        self.stepper.receive(shard, packed)
        self.bytes += len(data)
        if self.stepper.count >= _WAITING or self.bytes >= _WAITING_BYTES:
            self.bytes = 0
            return self._settled()
        return ()

    def finish_bundle(self) -> Iterator[Any]:
        yield from self._settled()
        for shard, cells in self.shards.write():
            self._due(shard, cells)

    def _due(self, shard: Shard, cells: Cells) -> None:
        """Nothing is ever due."""


class StepEventsUntilTheyEnd(StepEvents):
    """Step with one event-time timer per shard: streams that expire, windows that close."""

    TIMER = TimerSpec("due", TimeDomain.WATERMARK)

    def process(
        self,
        element: tuple[int, bytes],
        window: Any = beam.DoFn.WindowParam,
        log: Any = beam.DoFn.StateParam(LOG),
        tags: Any = beam.DoFn.StateParam(TAGS),
        timer: Any = beam.DoFn.TimerParam(TIMER),
    ) -> Iterable[Any]:
        return self._receive(element, window, Cells(log, tags, timer))

    @on_timer(TIMER)
    def expire(
        self,
        number: Any = beam.DoFn.KeyParam,
        window: Any = beam.DoFn.WindowParam,
        fired: Any = beam.DoFn.TimestampParam,
        log: Any = beam.DoFn.StateParam(LOG),
        tags: Any = beam.DoFn.StateParam(TAGS),
        timer: Any = beam.DoFn.TimerParam(TIMER),
    ) -> Iterator[Any]:
        shard = self.shards.open(number, window, Cells(log, tags, timer))
        yield from self._settled()
        over = is_over(shard, fired)
        yield from self._closed(shard, None if over else fired.micros)

    def _due(self, shard: Shard, cells: Cells) -> None:
        due = self._next(shard)
        if due is None:
            cells.timer.clear()
        else:
            set_timer(cells.timer, due, shard.window[1], self.stepping.behind)
