"""Tag and Classify: events of many streams in, answers out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import apache_beam as beam
import pyarrow as pa
from apache_beam import coders
from apache_beam.transforms.core import Windowing
from apache_beam.transforms.trigger import AccumulationMode, AfterWatermark
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints.native_type_compatibility import convert_to_beam_type
from apache_beam.typehints.trivial_inference import key_value_types
from apache_beam.utils.timestamp import Duration

from beam_rnn.errors import OptionError
from beam_rnn.nn import Network, Recurrent, StepModel
from beam_rnn.nn.network import MOST_LOOKAHEAD
from beam_rnn.streams.answering import Answering
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.event import BadEvent, Classified, Tagged
from beam_rnn.streams.feature import Feature
from beam_rnn.streams.labels import Labelling
from beam_rnn.streams.limits import DEFAULT, Limits
from beam_rnn.streams.order import MOST_MICROS, Order, arrival, event_time, micros
from beam_rnn.streams.whole import WholeLabelling
from beam_rnn.transforms.batches import PackBatches, ToBatches
from beam_rnn.transforms.in_time import StepInTime
from beam_rnn.transforms.model import Model, ModelUpdates
from beam_rnn.transforms.moving import STATE, every_shard
from beam_rnn.transforms.pack import FAILED, EachWindow, PackEvents, overlap
from beam_rnn.transforms.runner import check_options, closes_windows
from beam_rnn.transforms.step import (
    LATE,
    StepEvents,
    StepEventsUntilTheyEnd,
    Stepping,
    StepSorted,
)

for _answer in (Tagged, Classified, BadEvent):
    coders.registry.register_coder(_answer, coders.RowCoder)


@dataclass
class OverStreams(beam.PTransform):
    """What all transforms over streams share: options in, Pack -> Step -> answers.

    Args:
      model: the model, or the path of one (any filesystem of Beam), or ``ModelUpdates``.
      x: value -> input of the network, a Feature, or None: the value is the input.
      order: ``arrival``, ``by_event_time(lateness)`` or ``by_sequence(fn)``. Default: event time
        where the input is bounded, else arrival. What is late leaves on ``.late``.
      end: value -> whether it is the last event of its sequence; the next one begins anew.
      reset: value -> whether a sequence begins anew with it; the one before it ends.
      expire_after: seconds of event time without an event after which a sequence ends.
      shards: how many parts the state has; fixed for the life of the state.
      limits: how large events, and what is remembered of a stream, may be.
      export: whether what is known of sequences that have not ended when the input ends leaves on
        ``.state``, for ``WriteState``, instead of ending them.
      restore: the folder of state with which to begin, as ``WriteState`` or ``beam-rnn reshard``
        wrote it for this number of shards.

    Raises:
      OptionError: an option is wrong, or would lose data under the pipeline's options.
    """

    model: Any
    x: Callable[[Any], Any] | Feature | None = None
    order: Order | None = None
    end: Callable[[Any], bool] | None = None
    reset: Callable[[Any], bool] | None = None
    expire_after: float | Duration | None = None
    shards: int = 32
    limits: Limits = DEFAULT
    export: bool = False
    restore: str | None = None

    kinds: ClassVar[tuple[type, ...]] = (Network, StepModel)
    answer: ClassVar[type]
    columnar: ClassVar[bool] = False  # whether RecordBatches can be answered

    def __post_init__(self) -> None:
        super().__init__()
        self._updates = self.model if isinstance(self.model, ModelUpdates) else None
        source = self._updates.first if self._updates else self.model
        self._model = Model(source, self.kinds)
        model = self._model.network()
        self._inputs = model.inputs
        self._check(model)
        if not isinstance(self.shards, int) or not 1 <= self.shards <= 1 << 20:
            raise OptionError(f"shards is {self.shards!r}, expected a whole number from 1")
        if not (self.x is None or isinstance(self.x, Feature) or callable(self.x)):
            raise OptionError(f"x is {self.x!r}, expected a function, a Feature or None")
        for option in ("end", "reset"):
            given: Any = getattr(self, option)
            if not (given is None or callable(given)):
                raise OptionError(f"{option} is {given!r}, expected a function or None")
        if not (self.order is None or isinstance(self.order, Order)):
            raise OptionError(f"order is {self.order!r}, expected arrival or by_event_time(), ...")
        self._expire_after = None
        if not (self.restore is None or isinstance(self.restore, str | os.PathLike)):
            raise OptionError(f"restore is {self.restore!r}, expected the path of a folder")
        if self._updates is not None and (self.export or self.restore is not None):
            raise OptionError("the state of a job whose model is updated cannot be moved")
        if not isinstance(self.limits, Limits):
            raise OptionError(f"limits is {self.limits!r}, expected rnn.Limits(...)")
        if self.expire_after is not None:
            given = self.expire_after
            self._expire_after = given.micros if isinstance(given, Duration) else micros(given)
            if not 0 < (self._expire_after or 0) <= MOST_MICROS:
                raise OptionError(f"expire_after is {given!r}, expected seconds > 0")

    def _check(self, model: Any) -> None:
        """Raises OptionError where the options are wrong, or wrong for the model."""
        raise NotImplementedError

    def _answering(self, columnar: bool) -> Callable[[Any, Codec], Answering]:
        """What makes of the model, on a worker, what answers."""
        raise NotImplementedError

    def _feature(self) -> Feature | None:
        """What makes inputs of values behind the shuffle, or None: ``x`` does it before."""
        return self.x if isinstance(self.x, Feature) else None

    def expand(self, events: beam.PCollection[Any]) -> beam.PCollection[Any]:
        columnar = events.element_type is pa.RecordBatch
        if columnar and not self.columnar:
            raise OptionError(f"{type(self).__name__} takes single events, no RecordBatches")
        if columnar and not (self.x is None and self.end is None and self.reset is None):
            raise OptionError("x, end and reset are columns of a RecordBatch, not options")
        key_type, value_type = (str, bytes) if columnar else key_value_types(events.element_type)
        moves = self.export or self.restore is not None
        if not isinstance(events.windowing.windowfn, GlobalWindows):
            if self._updates is not None:
                raise OptionError("a model is updated in the global window: others do not see it")
            if moves:
                raise OptionError("export and restore are for the state of the global window")
        order = self.order or (event_time if events.is_bounded else arrival)
        numbers = order.numbers
        if numbers is not None and isinstance(numbers.of, str) != columnar:
            expected = "the name of a column" if columnar else "a function of the value"
            raise OptionError(f"by_sequence({numbers.of!r}): expected {expected}")
        in_time = order.lateness is not None
        waits = numbers is not None and numbers.max_wait is not None
        sorts = events.is_bounded and (in_time or numbers is not None)
        needs = [f"order={order!r}"] if in_time else []
        needs += ["max_wait"] if waits else []
        needs += [] if self._expire_after is None else ["expire_after"]
        needs += ["export"] if self.export else []
        check_options(events, stateful=not sorts, timers=needs)
        stepping = Stepping(
            self._model,
            self.shards,
            self._key_coder(key_type),
            coders.registry.get_coder(value_type),
            self._answering(columnar),
            self._feature(),
            self._expire_after,
            closes_windows(events),
            columnar,
            None if sorts else order.lateness,
            numbers,
            limits=self.limits,
            on_update=self._updates.on_update if self._updates else None,
            export=self.export,
            restore=None if self.restore is None else os.fspath(self.restore),
        )
        windowing = events.windowing
        if sorts:  # one pane
            windowing = Windowing(
                windowing.windowfn,
                AfterWatermark(),
                AccumulationMode.DISCARDING,
                allowed_lateness=windowing.allowed_lateness,
            )
        if overlap(windowing.windowfn):
            each = EachWindow(windowing).with_output_types(events.element_type)
            events |= "EachWindow" >> each
        elif sorts:
            events |= "OnePane" >> beam.WindowInto(
                windowing, allowed_lateness=windowing.allowed_lateness
            )
        packed = events | "Pack" >> beam.ParDo(self._pack(stepping)).with_outputs(
            FAILED, main="packed"
        )
        shards = _typed(packed.packed, tuple[int, bytes])
        if self._updates is not None:
            updates = self._updates.for_shards(self.shards)
            shards = _typed((shards, updates) | "AddUpdates" >> beam.Flatten(), tuple[int, bytes])
        if moves:
            every = every_shard(events.pipeline, self.shards)
            every |= "AllShardsWindow" >> beam.WindowInto(shards.windowing)
            shards = _typed((shards, every) | "AddAllShards" >> beam.Flatten(), tuple[int, bytes])
        if sorts:
            shards |= "GroupByShard" >> beam.GroupByKey()
            step: beam.DoFn = StepSorted(stepping)
        elif in_time:
            step = StepInTime(stepping)
        elif (
            stepping.expire_after is None
            and not waits
            and not self.export
            and not (stepping.closes_windows and stepping.stepper().speaks_last)
        ):
            step = StepEvents(stepping)
        else:
            step = StepEventsUntilTheyEnd(stepping)
        tags = (FAILED, LATE, STATE) if self.export else (FAILED, LATE)
        stepped = shards | "Step" >> beam.ParDo(step).with_outputs(*tags, main="answers")
        said = pa.RecordBatch if columnar else beam.typehints.Tuple[key_type, self.answer]
        answers = _typed(stepped.answers, said)
        answers.failed = (
            _typed(packed[FAILED], BadEvent),
            _typed(stepped[FAILED], BadEvent),
        ) | "Failed" >> beam.Flatten()
        answers.late = _typed(stepped[LATE], BadEvent)
        if self.export:
            answers.state = _typed(stepped[STATE], tuple[int, bytes])
        return answers

    def _pack(self, stepping: Stepping) -> beam.DoFn:
        if stepping.columnar:
            return PackBatches(self._inputs, self.shards, stepping.numbers, self.limits)
        raw = stepping.feature is not None
        x: Any = None if raw else self.x
        return PackEvents(
            self._inputs,
            self.shards,
            stepping.key_coder,
            stepping.value_coder,
            x,
            self.end,
            raw,
            reset=self.reset,
            numbers=stepping.numbers,
            limits=self.limits,
        )

    def _key_coder(self, key_type: Any) -> coders.Coder:
        coder = coders.registry.get_coder(key_type)
        if not coder.is_deterministic():
            raise OptionError(
                f"the streams' keys are of type {key_type}, whose coder "
                f"({type(coder).__name__}) is not deterministic: one stream could be taken for "
                "two. Give the keys a type, for instance "
                "beam.Map(...).with_output_types(tuple[str, float])"
            )
        return coder


def _typed(elements: beam.PCollection[Any], kind: Any) -> beam.PCollection[Any]:
    elements.element_type = convert_to_beam_type(kind)
    return elements


@dataclass
class _Labelling(OverStreams):
    """What Tag and Classify share."""

    lookahead: int | None = None
    emit: str | Emit = "each"

    per_sequence: ClassVar[bool]
    columnar: ClassVar[bool] = True

    def _check(self, model: Recurrent) -> None:
        self._emit = Emit.of(self.emit)
        self._lookahead = model.lookahead if self.lookahead is None else self.lookahead
        if not isinstance(self._lookahead, int) or not 0 <= self._lookahead <= MOST_LOOKAHEAD:
            raise OptionError(f"lookahead is {self.lookahead!r}, expected a number of steps")

    def _answering(self, columnar: bool) -> Callable[[Any, Codec], Answering]:
        return partial(
            Labelling,
            per_sequence=self.per_sequence,
            emit=self._emit,
            lookahead=self._lookahead,
            columnar=columnar,
        )


@dataclass
class Tag(_Labelling):
    """One label per event (many-to-many, Tx = Ty).

    ``events`` is a keyed PCollection, tuple[K, V]: K names the stream, V is the observation.
    Gives tuple[K, Tagged]; what could not be stepped is in its attribute ``failed``, a
    PCollection of BadEvent. Answers have the timestamp and window of the event they answer.

    ``events`` may also be pyarrow RecordBatches with the columns ``stream`` (strings), ``x`` and
    perhaps ``time`` and ``end``; the answers are then RecordBatches with ``stream``, ``time``,
    ``x``, ``step``, ``label`` and ``score``. All rows of a batch are in the window of the batch.

    A network that reads whole sequences (Bidirectional, CRF) answers all events of a sequence
    when it ends; until then they are kept, at most ``longest`` of them.

    Besides the arguments below: ``lookahead``, how many inputs later an event is answered
    (default: as the model was trained); ``emit``, which answers are given: "each", "final",
    "change" or ``every(n)``.
    """

    __doc__ = __doc__ + (OverStreams.__doc__ or "").partition("\n")[2]
    longest: int = 1000
    per_sequence: ClassVar[bool] = False
    answer: ClassVar[type] = Tagged

    def _check(self, model: Recurrent) -> None:
        super()._check(model)
        self._whole = not model.causal
        if not isinstance(self.longest, int) or self.longest < 1:
            raise OptionError(f"longest is {self.longest!r}, expected a number of inputs from 1")
        if self._whole and (self._emit != Emit.of("each") or self._lookahead):
            raise OptionError(
                "the model reads whole sequences: it labels each event, and looks ahead to the end"
            )

    def _answering(self, columnar: bool) -> Callable[[Any, Codec], Answering]:
        if self._whole:
            return partial(WholeLabelling, longest=self.longest, columnar=columnar)
        return super()._answering(columnar)


@dataclass
class Classify(_Labelling):
    """One label per sequence (many-to-one).

    ``events`` is a keyed PCollection, tuple[K, V]: K names the stream, V is the observation.
    Gives tuple[K, Classified] when a sequence ends, expires or its window closes (or as
    ``emit`` says); what could not be stepped is in its attribute ``failed``.

    Besides the arguments below: ``lookahead`` and ``emit``, as for ``Tag``.
    """

    __doc__ = __doc__ + (OverStreams.__doc__ or "").partition("\n")[2]
    emit: str | Emit = "final"
    per_sequence: ClassVar[bool] = True
    answer: ClassVar[type] = Classified

    def _check(self, model: Recurrent) -> None:
        super()._check(model)
        if not model.causal:
            raise OptionError("Classify steps event by event: the model reads whole sequences")


@dataclass
class Pack(beam.PTransform):
    """The events of a bundle as pyarrow RecordBatches, which Tag and Classify take as they are.

    For pipelines whose events are single but whose later steps may work on columns. ``events`` is
    tuple[str, V]; gives RecordBatches with ``stream``, ``time``, ``x`` and ``end``, at the
    earliest time of their events; what is no input of the model is in the attribute ``failed``.

    Args:
      model: a Network, or the path of one: what is checked against.
      x: value -> input of the network, or None: the value is the input.
      end: value -> whether it is the last event of its sequence, or None.

    Raises:
      OptionError: the keys are no strings.
    """

    model: Any
    x: Callable[[Any], Any] | None = None
    end: Callable[[Any], bool] | None = None

    def __post_init__(self) -> None:
        super().__init__()
        self._inputs = Model(self.model).network().inputs

    def expand(self, events: beam.PCollection[Any]) -> beam.PCollection[Any]:
        key_type, value_type = key_value_types(events.element_type)
        if key_type is not str:
            raise OptionError(f"the streams' keys are of type {key_type}, expected str")
        coder = coders.registry.get_coder(value_type)
        pack = ToBatches(self._inputs, 1, coders.StrUtf8Coder(), coder, self.x, self.end, False)
        if overlap(events.windowing.windowfn):
            each = EachWindow(events.windowing).with_output_types(events.element_type)
            events |= "EachWindow" >> each
        packed = events | "Pack" >> beam.ParDo(pack).with_outputs(FAILED, main="batches")
        batches = _typed(packed.batches, pa.RecordBatch)
        batches.failed = _typed(packed[FAILED], BadEvent)
        return batches
