"""Step: packed events -> answers, with the hidden states in Beam state.

A state cell that ``process`` was given stays valid until the bundle commits, after
``finish_bundle``. Beam does not promise it, so only this module relies on it, and the
conformance suite checks it on every runner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam import coders
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, TimerSpec, on_timer
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import create

from beam_rnn.streams.answers import Answers
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.event import Classified, Tagged
from beam_rnn.streams.feature import Feature
from beam_rnn.streams.pack import Packed, merge
from beam_rnn.streams.shard import Shard
from beam_rnn.streams.stepper import Stepper
from beam_rnn.transforms.metrics import METRICS
from beam_rnn.transforms.model import Model
from beam_rnn.transforms.pack import FAILED

_EVENTS = 16_384  # sorted events that are stepped at once
_WAITING = 1 << 18  # events that wait for the end of a bundle, and their bytes
_WAITING_BYTES = 64 << 20
_HELD = 1 << 20  # sorted events that wait for those of other shards


@dataclass(frozen=True)
class Stepping:
    """How events are stepped: the options that Step needs."""

    model: Model
    shards: int
    key_coder: coders.Coder
    value_coder: coders.Coder
    per_sequence: bool
    emit: Emit
    lookahead: int
    feature: Feature | None
    expire_after: int | None
    closes_windows: bool

    def stepper(self) -> Stepper:
        """What steps them."""
        codec = Codec(self.key_coder.decode, self.value_coder.encode, self.value_coder.decode)
        return Stepper(
            self.model.network(),
            self.shards,
            codec,
            per_sequence=self.per_sequence,
            emit=self.emit,
            lookahead=self.lookahead,
            feature=self.feature,
            expire_after=self.expire_after,
        )


class _Steps(beam.DoFn):
    """What the two ways to step share: from packed bytes to the stepper, to outputs."""

    def __init__(self, stepping: Stepping) -> None:
        self.stepping = stepping

    def setup(self) -> None:
        self.stepper = self.stepping.stepper()
        self.decode_values: Callable[[bytes], list[Any]] = coders.IterableCoder(
            self.stepping.value_coder
        ).decode

    def _unpack(self, data: bytes) -> Packed:
        packed = Packed.decode(data, lambda values: list(self.decode_values(values)))
        METRICS.events.inc(len(packed))
        return packed

    def _settled(self) -> Iterator[Any]:
        for answers in self.stepper.settle():
            yield from self._outputs(answers)

    def _outputs(self, answers: Answers) -> Iterator[Any]:
        """Answers with the time and window of the events they answer."""
        if answers.waves:
            METRICS.waves.inc(len(answers.waves))
            for size in answers.waves:
                METRICS.wave_size.update(size)
        rows = zip(
            answers.name,
            answers.home,
            answers.time,
            answers.input,
            answers.label,
            answers.score,
            answers.step,
            strict=True,
        )
        per_sequence = self.stepping.per_sequence
        for name, home, time, value, label, score, step in rows:
            windows, latest = home.window
            result = (
                Classified(label, score, step)
                if per_sequence
                else Tagged(value, label, score, step)
            )
            yield create((name, result), min(time, latest), windows)
        for home, time, bad in answers.bad:
            METRICS.failed.inc()
            windows, latest = home.window
            yield beam.pvalue.TaggedOutput(FAILED, create(bad, min(time, latest), windows))


class StepSorted(_Steps):
    """(shard, all its packs of a window) -> answers, in event time; needs no state."""

    def start_bundle(self) -> None:
        self.held: list[tuple[Shard, Packed]] = []
        self.stepper.clear()

    def process(
        self, element: tuple[int, Iterable[bytes]], window: Any = beam.DoFn.WindowParam
    ) -> Iterable[Any]:
        number, packs = element
        packed = merge([self._unpack(data) for data in packs])
        shard = Shard(number, ((window,), window.max_timestamp().micros))
        self.held.append((shard, packed))
        if sum(len(packed) for _, packed in self.held) >= _HELD:
            return self.finish_bundle()
        return ()

    def finish_bundle(self) -> Iterator[Any]:
        """Steps the shards side by side, so that their streams share waves."""
        held, self.held = self.held, []
        stepper = self.stepper
        share = max(1, _EVENTS // max(len(held), 1))
        longest = max((len(packed) for _, packed in held), default=0)
        for start in range(0, longest, share):
            for shard, packed in held:
                stepper.receive(shard, packed[start : start + share])
            yield from self._settled()
        for shard, _ in held:
            yield from self._outputs(stepper.close(shard, None))
        stepper.clear()


class _Open:
    """A shard in use by the present bundle, with its cells."""

    __slots__ = ("log", "shard", "size", "timer")

    def __init__(self, shard: Shard, log: Any, timer: Any, size: int) -> None:
        self.shard = shard
        self.log = log
        self.timer = timer
        self.size = size


LOG = BagStateSpec("log", coders.BytesCoder())


class StepEvents(_Steps):
    """(shard, pack) -> answers; the states of the shard's streams are a log in a bag."""

    def start_bundle(self) -> None:
        self.open: dict[tuple[int, Any], _Open] = {}
        self.bytes = 0
        self.stepper.clear()

    def process(
        self,
        element: tuple[int, bytes],
        window: Any = beam.DoFn.WindowParam,
        log: Any = beam.DoFn.StateParam(LOG),
    ) -> Iterable[Any]:
        return self._receive(element, window, log, None)

    def _receive(
        self, element: tuple[int, bytes], window: Any, log: Any, timer: Any
    ) -> Iterable[Any]:
        number, data = element
        opened = self._opened(number, window, log, timer)
        self.stepper.receive(opened.shard, self._unpack(data))
        self.bytes += len(data)
        if self.stepper.count >= _WAITING or self.bytes >= _WAITING_BYTES:
            self.bytes = 0
            return self._settled()
        return ()

    def _opened(self, number: int, window: Any, log: Any, timer: Any) -> _Open:
        opened = self.open.get((number, window))
        if opened is None:
            blocks = list(log.read())
            shard = Shard(number, ((window,), window.max_timestamp().micros))
            self.stepper.load(shard, blocks)
            opened = _Open(shard, log, timer, sum(map(len, blocks)))
            self.open[number, window] = opened
        return opened

    def finish_bundle(self) -> Iterator[Any]:
        yield from self._settled()
        for opened in self.open.values():
            self._write(opened)
        self.start_bundle()

    def _write(self, opened: _Open) -> None:
        clear, blocks = self.stepper.write(opened.shard)
        if clear:
            opened.log.clear()
            opened.size = 0
        for block in blocks:
            opened.log.add(block)
            opened.size += len(block)
        METRICS.live_streams.update(len(opened.shard.rows))
        METRICS.state_bytes.update(opened.size)


class StepEventsUntilTheyEnd(StepEvents):
    """Step with one event-time timer per shard: streams that expire, windows that close."""

    TIMER = TimerSpec("due", TimeDomain.WATERMARK)

    def process(
        self,
        element: tuple[int, bytes],
        window: Any = beam.DoFn.WindowParam,
        log: Any = beam.DoFn.StateParam(LOG),
        timer: Any = beam.DoFn.TimerParam(TIMER),
    ) -> Iterable[Any]:
        return self._receive(element, window, log, timer)

    @on_timer(TIMER)
    def expire(
        self,
        number: Any = beam.DoFn.KeyParam,
        window: Any = beam.DoFn.WindowParam,
        fired: Any = beam.DoFn.TimestampParam,
        log: Any = beam.DoFn.StateParam(LOG),
        timer: Any = beam.DoFn.TimerParam(TIMER),
    ) -> Iterator[Any]:
        opened = self._opened(number, window, log, timer)
        yield from self._settled()
        over = fired.micros >= opened.shard.window[1]
        yield from self._outputs(self.stepper.close(opened.shard, None if over else fired.micros))

    def _write(self, opened: _Open) -> None:
        super()._write(opened)
        shard, stepper = opened.shard, self.stepper
        if not shard.rows:
            opened.timer.clear()
            return
        latest = shard.window[1]
        due = stepper.due(shard)
        if self.stepping.closes_windows and stepper.speaks_last:
            due = latest if due is None else min(due, latest)
        if due is not None:
            opened.timer.set(Timestamp(micros=min(due, latest)))
