"""Pack: the events of a bundle, per shard and window, as columns."""

from __future__ import annotations

import itertools
import operator
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam import coders
from apache_beam.transforms.core import Windowing
from apache_beam.transforms.window import FixedWindows, GlobalWindows, WindowFn
from apache_beam.utils.windowed_value import WindowedValue, create
from numpy.typing import NDArray

from beam_rnn.errors import InputError
from beam_rnn.nn.inputs import Inputs
from beam_rnn.streams.event import BadEvent, why
from beam_rnn.streams.limits import DEFAULT, Limits
from beam_rnn.streams.order import Numbers
from beam_rnn.streams.pack import Packed, shard_of
from beam_rnn.transforms.metrics import METRICS

FAILED = "failed"
_ANY = coders.registry.get_coder(Any)  # of what a failed event tells
_EVENTS = 32_768  # what is held before it is sent on, whatever the bundle
_BYTES = 32 << 20
_PROCESS = int.from_bytes(os.urandom(5), "little")
_numbers = itertools.count()  # of this process: its threads may take turns with one source


class Packs:
    """What packs of any kind share: their limits, and how they are sent on."""

    known_keys = 100_000  # keys whose shard is remembered; others are hashed again (a microsecond)

    def __init__(self, inputs: Inputs, events: int) -> None:
        width = int(np.prod(inputs.shape, dtype=np.int64)) * 8
        self.limit = max(1, min(events, _BYTES // max(width, 1)))

    def element(
        self,
        shard: int,
        packed: Packed,
        window: Any,
        values: Callable[[list[Any]], bytes] = lambda values: b"",
    ) -> WindowedValue:
        """(shard, bytes), at the earliest time of the events."""
        packed.origin, packed.number = _PROCESS << 22 | os.getpid(), next(_numbers)
        return create((shard, packed.encode(values)), int(packed.time.min()), (window,))


class _Lists:
    """The events of one shard and window while they are collected."""

    __slots__ = ("ends", "keys", "numbers", "places", "resets", "stream", "times", "values", "xs")

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.places: dict[bytes, int] = {}
        self.stream: list[int] = []
        self.times: list[int] = []
        self.values: list[Any] = []
        self.xs: list[Any] = []
        self.ends: list[int] = []  # places of the events that end a sequence
        self.resets: list[int] = []  # and of those that begin one anew
        self.numbers: list[int] = []


def overlap(windows: WindowFn) -> bool:
    """Whether an event may have several windows, as far as is known."""
    return not isinstance(windows, GlobalWindows | FixedWindows)


class EachWindow(beam.ParDo):
    """Elements of several windows once for each, as ``PackEvents`` takes them.

    ``WindowInto`` would put each of those into all windows of its time again.

    Args:
      windowing: that of the result, with the windows that the elements have.
    """

    def __init__(self, windowing: Windowing) -> None:
        super().__init__(_Same())
        self.windowing = windowing

    def get_windowing(self, inputs: Any) -> Windowing:
        return self.windowing


class _Same(beam.DoFn):
    """Since it asks for the window, Beam calls it once for each."""

    def process(self, element: Any, window: Any = beam.DoFn.WindowParam) -> Iterable[Any]:
        yield element


class PackEvents(beam.DoFn):
    """(key, value) -> (shard, packed columns); bad events to the output "failed".

    An event has one window: Beam would give what ``process`` sends on, be it of another window,
    once for each window of the event that it was called with.

    Args:
      inputs: what the network takes.
      shards: the number of shards.
      key_coder, value_coder: the coders of the events.
      x: value -> input of the network, or None: the value itself.
      end: value -> whether its sequence ends with it, or None: never.
      raw: whether values travel as they are, for a feature behind the shuffle.
      reset: value -> whether its sequence begins anew with it, or None: never.
      numbers: how events are numbered, or None: they are not.
      limits: how large keys and values may be.
    """

    carries_values = True  # as far as answers echo them

    def __init__(
        self,
        inputs: Inputs,
        shards: int,
        key_coder: coders.Coder,
        value_coder: coders.Coder,
        x: Callable[[Any], Any] | None,
        end: Callable[[Any], bool] | None,
        raw: bool,
        *,
        reset: Callable[[Any], bool] | None = None,
        numbers: Numbers | None = None,
        limits: Limits = DEFAULT,
    ) -> None:
        self.inputs = inputs
        self.shards = shards
        self.key_coder = key_coder
        self.value_coder = value_coder
        self.values_coder = coders.IterableCoder(value_coder)
        self.x = x
        self.end = end
        self.raw = raw
        self.reset = reset
        self.numbers = numbers
        self.limits = limits
        self.packs = Packs(inputs, _EVENTS)

    def setup(self) -> None:
        self.known: dict[Any, tuple[bytes, int]] = {}

    def start_bundle(self) -> None:
        self.held: dict[Any, dict[int, _Lists]] = {}
        self.window: Any = None  # that of ``lists``: most events come with the same
        self.lists: dict[int, _Lists] = {}
        self.count = 0
        self.bytes = 0

    def process(self, element: Any, given: Any = beam.DoFn.WindowedValueParam) -> Iterable[Any]:
        # The whole: time and window, each a parameter of its own, cost Beam 2 microseconds more.
        key, value = element
        try:
            encoded, shard = self.known.get(key) or self._locate(key)
            x = value if self.x is None else self.x(value)
            ends = self.end is not None and bool(self.end(value))
            resets = self.reset is not None and bool(self.reset(value))
            number = None if self.numbers is None else self._number(self.numbers, value)
        except Exception as error:  # whatever x, end or the key's coder raises
            METRICS.failed.inc()
            return [beam.pvalue.TaggedOutput(FAILED, self._bad(key, why(error), value))]
        (window,) = given.windows
        if window is not self.window:
            self.window, self.lists = window, self.held.setdefault(window, {})
        lists = self.lists.get(shard)
        if lists is None:
            lists = self.lists[shard] = _Lists()
        place = lists.places.get(encoded)
        if place is None:
            place = lists.places[encoded] = len(lists.keys)
            lists.keys.append(encoded)
        if ends:
            lists.ends.append(len(lists.stream))
        if resets:
            lists.resets.append(len(lists.stream))
        if number is not None:
            lists.numbers.append(number)
        lists.stream.append(place)
        lists.times.append(given.timestamp_micros)
        lists.values.append(value)
        if self.x is not None:
            lists.xs.append(x)
        self.count += 1
        if self.raw and isinstance(value, str | bytes):
            self.bytes += len(value)
        if self.count >= self.packs.limit or self.bytes >= _BYTES:
            return self.finish_bundle()
        return ()

    def finish_bundle(self) -> Iterator[Any]:
        held = self.held
        self.start_bundle()
        for window, shards in held.items():
            for shard, lists in shards.items():
                packed, values, bad = self._packed(lists)
                for place, reason in bad:
                    key = self.key_coder.decode(lists.keys[lists.stream[place]])
                    event = self._bad(key, reason, lists.values[place])
                    failed = create(event, lists.times[place], (window,))
                    METRICS.failed.inc()
                    yield beam.pvalue.TaggedOutput(FAILED, failed)
                if len(packed):
                    yield self._element(shard, packed, window, values)

    def _element(self, shard: int, packed: Packed, window: Any, values: bytes) -> Any:
        return self.packs.element(shard, packed, window, lambda _: values)

    def _number(self, numbers: Numbers, value: Any) -> int:
        """The number of an event; that of a stream's first is 0."""
        assert callable(numbers.of)
        number = operator.index(numbers.of(value)) - numbers.start
        if not 0 <= number < 1 << 62:
            raise InputError(f"number {number + numbers.start}, expected {numbers.start} or more")
        return number

    def _locate(self, key: Any) -> tuple[bytes, int]:
        encoded = self.key_coder.encode(key)
        if too_large := self.limits.too_large("key", len(encoded)):
            raise InputError(too_large)
        found = encoded, shard_of(encoded, self.shards)
        if len(self.known) >= self.packs.known_keys:
            self.known.clear()
        self.known[key] = found
        return found

    def _bad(self, key: Any, reason: str, value: Any) -> BadEvent:
        """What is told of an event, in a form that can be written."""
        return BadEvent(self._writable(key), reason, self._writable(value))

    def _writable(self, value: Any) -> Any:
        try:
            return value if len(_ANY.encode(value)) <= self.limits.event_bytes else None
        except Exception:  # whatever pickling it raises
            return None

    def _packed(self, lists: _Lists) -> tuple[Packed, bytes, list[tuple[int, str]]]:
        """The good events, their values as bytes, and the places of the bad."""
        n = len(lists.stream)
        end = np.zeros(n, np.bool_)
        end[lists.ends] = True
        reset = None
        if lists.resets:
            reset = np.zeros(n, np.bool_)
            reset[lists.resets] = True
        packed = Packed(
            lists.keys,
            np.array(lists.stream, np.int64),
            np.array(lists.times, np.int64),
            end,
            None,
            lists.values,
            reset=reset,
            seq=None if self.numbers is None else np.array(lists.numbers, np.int64),
        )
        bad: list[tuple[int, str]] = []
        left = np.arange(n)
        if not self.raw:
            xs = lists.values if self.x is None else lists.xs
            try:
                packed.x = self.inputs.stack(xs)
            except Exception:  # one of them at least is bad: find which
                x, bad = check_each(xs, self.inputs)
                left = np.delete(left, [place for place, _ in bad])
                packed = packed[left]
                packed.x = x
            # The value is in x already where it is a vector of the right type, or an id.
            kind = np.ndarray if self.inputs.shape else int
            if self.x is None and all(type(value) is kind for value in packed.inputs or ()):
                packed.inputs = None
            if packed.inputs is None or not self.carries_values:
                return packed, b"", bad
        values = packed.inputs or []
        try:
            encoded = self.values_coder.encode(values)
        except Exception:  # one of them at least is not for its coder
            encoded = None
        if encoded is None or len(encoded) > self.limits.event_bytes:
            unfit = self._unfit(values)
            bad += [(int(left[place]), reason) for place, reason in unfit]
            if unfit or encoded is None:
                packed = packed[np.delete(np.arange(len(left)), [place for place, _ in unfit])]
                encoded = self.values_coder.encode(packed.inputs)
        return packed, encoded, bad

    def _unfit(self, values: list[Any]) -> list[tuple[int, str]]:
        """Places of values that are too large, or that their coder cannot write."""
        unfit = []
        for place, value in enumerate(values):
            try:
                reason = self.limits.too_large("value", len(self.value_coder.encode(value)))
            except Exception as error:  # whatever the coder raises
                reason = why(error)
            if reason is not None:
                unfit.append((place, reason))
        return unfit


def check_each(xs: list[Any], inputs: Inputs) -> tuple[NDArray[Any], list[tuple[int, str]]]:
    """The good rows of ``xs``, and the places of the bad with what is wrong."""
    good: list[NDArray[Any]] = []
    bad: list[tuple[int, str]] = []
    for place, x in enumerate(xs):
        try:
            good.append(inputs.check_one(x))
        except Exception as error:  # np.asarray raises many kinds
            bad.append((place, why(error)))
    empty = np.zeros((0, *inputs.shape), inputs.dtype)
    return np.concatenate([empty, *good]), bad
