"""A source that replays a given stream of events, cut into bundles as the test asks."""

import pickle
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp

Event = tuple[Any, Any, float]
Chunks = Sequence[Sequence[Event]]
# Chunks as they travel: times in milliseconds, each with the watermark after it.
Replayed = list[tuple[list[tuple[Any, Any, int]], int | None]]


def replay(
    chunks: Chunks,
    *,
    bounded: bool = False,
    watermarks: Sequence[float] | None = None,
    pause: float | None = None,
) -> beam.PTransform:
    """Replays events, chunk after chunk, as a keyed PCollection.

    Args:
        chunks: each a list of (key, value, timestamp in seconds). Timestamps are rounded to
            milliseconds, which is all that TestStream and Flink carry. Keys are of one type
            (str, int or bytes): it becomes the key's type hint, and so its coder.
        bounded: whether the PCollection is bounded.
        watermarks: the watermark after each chunk, in seconds, rising; to make events late.
            Without it, the watermark is as far as it can be with no event late. (A GroupByKey
            of BundleBasedDirectRunner takes late events as if in time.)
        pause: seconds between chunks; then the source is one that any runner but
            BundleBasedDirectRunner can stop, and go on with from a checkpoint.

    Returns:
        a PTransform of the pipeline's root, giving tuple[key, value] with the timestamps.

    Which cuts into bundles the steps fused to the source, and a keyed step behind one shuffle,
    see (measured by tests/runners/test_sources.py):

    ================================ ===================================================
    FnApiRunner, unbounded           one bundle per chunk, in order
    BundleBasedDirectRunner          one bundle per chunk, in order; unbounded only
    Prism, unbounded                 one bundle per chunk, in order
    Flink, unbounded                 chunks only move the watermark: cut by the options,
                                     every `max_bundle_size=n` elements exactly, and every
                                     `max_bundle_time_mills=m` by the clock
    FnApiRunner, Prism, bounded      one bundle of everything
    FlinkBatch, bounded              fused steps: one bundle; a keyed step: one bundle per key
    ================================ ===================================================

    Order of a key's events: as given, but for two. FlinkBatch loses it. Prism keeps it from
    chunk to chunk, and hands a keyed step a chunk's events of a key in order of timestamp
    (equal timestamps: as given).
    """
    stamped = [[(key, value, round(t * 1000)) for key, value, t in chunk] for chunk in chunks]
    if watermarks is None:
        marks = _on_time([[event[2] for event in chunk] for chunk in stamped])
    else:
        marks = [round(seconds * 1000) for seconds in watermarks]
    return _Replay(list(zip(stamped, marks, strict=True)), bounded, pause)


class _Replay(beam.PTransform):
    """Chooses the source that the runner has: TestStream, or a splittable DoFn."""

    def __init__(self, replayed: Replayed, bounded: bool, pause: float | None) -> None:
        super().__init__()
        self._replayed = replayed
        self._bounded = bounded
        self._pause = pause

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection[Any]:
        keys = {type(key) for chunk, _ in self._replayed for key, _, _ in chunk}
        if self._bounded:
            chunks = [chunk for chunk, _ in self._replayed]
            read = root | beam.Create([chunks]) | beam.FlatMap(_stamped_all)
        elif self._pause is not None or isinstance(root.pipeline.runner, FnApiRunner):
            # FnApiRunner refuses TestStream; its bundles end where the rest is deferred.
            read = root | beam.Create([self._replayed])
            read = read | beam.ParDo(_ChunkByChunk(self._pause or 0))
        else:
            read = root | self._test_stream() | "Decode" >> beam.Map(pickle.loads)
        key_type: Any = keys.pop() if len(keys) == 1 else Any
        return read | "Typed" >> beam.Map(_same).with_output_types(tuple[key_type, Any])

    def _test_stream(self) -> beam.PTransform:
        # Bytes are the one coder that the SDKs of all runners can decode.
        stream = TestStream(coder=BytesCoder())
        for chunk, mark in self._replayed:
            stream.add_elements(
                [TimestampedValue(pickle.dumps((k, v)), _time(ms)) for k, v, ms in chunk]
            )
            if mark is not None:
                stream.advance_watermark_to(_time(mark))
        stream.advance_watermark_to_infinity()
        return stream.with_output_types(bytes)


class _Positions(RestrictionProvider):
    """Positions are chunk numbers."""

    def initial_restriction(self, element: Replayed) -> OffsetRange:
        return OffsetRange(0, len(element))

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, element: Replayed, restriction: OffsetRange) -> int:
        return int(restriction.size())


class _ChunkByChunk(beam.DoFn):
    """Emits one chunk per bundle, and defers the rest by `pause` seconds."""

    def __init__(self, pause: float) -> None:
        self._pause = pause

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        element: Replayed,
        tracker: Any = beam.DoFn.RestrictionParam(_Positions()),
        watermark: Any = beam.DoFn.WatermarkEstimatorParam(
            ManualWatermarkEstimator.default_provider()
        ),
    ) -> Iterable[TimestampedValue]:
        position = tracker.current_restriction().start
        if not tracker.try_claim(position):
            return
        chunk, mark = element[position]
        yield from _stamped(chunk)
        if mark is not None:
            watermark.set_watermark(_time(mark))
        tracker.defer_remainder(Duration(self._pause))


def _on_time(times: list[list[int]]) -> list[int | None]:
    """The watermark after each chunk: the earliest time still to come, None for no more.

    Each is lower than the next, which costs a millisecond where the times leave no room:
    Prism gives a keyed step one bundle per chunk only if the watermark moves in between.
    """
    marks: list[int | None] = []
    mark: int | None = None
    for chunk in reversed(times):
        marks.append(mark)
        limits = [*chunk, *([] if mark is None else [mark - 1])]
        mark = min(limits, default=mark)
    return marks[::-1]


def _stamped(chunk: list[tuple[Any, Any, int]]) -> Iterable[TimestampedValue]:
    for key, value, milliseconds in chunk:
        yield TimestampedValue((key, value), _time(milliseconds))


def _stamped_all(chunks: list[list[tuple[Any, Any, int]]]) -> Iterable[TimestampedValue]:
    for chunk in chunks:
        yield from _stamped(chunk)


def _time(milliseconds: int) -> Timestamp:
    # A float of seconds would lose the last digits of today's times.
    return Timestamp(micros=1000 * milliseconds)


def _same(event: Any) -> Any:
    return event
