"""The replay source: which bundles it makes, and in what order a key's events come."""

import itertools
import random
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import VarIntCoder
from apache_beam.transforms.userstate import BagStateSpec
from apache_beam.transforms.window import FixedWindows, GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from tests.runners import harness
from tests.runners.harness import Runner
from tests.runners.sources import Chunks, replay

BY_CHUNK = ["FnApiRunner", "BundleBasedDirectRunner", "Prism"]
SIZES = [4, 1, 30, 2, 2, 17, 1, 60, 5]


class Bundles(beam.DoFn):
    """Gives each bundle as the list of its elements."""

    def __init__(self, label: str) -> None:
        self._label = label

    def start_bundle(self) -> None:
        self._seen: list[Any] = []

    def process(self, event: Any) -> Iterable[Any]:
        self._seen.append(event)
        yield event

    def finish_bundle(self) -> Iterable[Any]:
        bundle = WindowedValue((self._label, self._seen), Timestamp(0), [GlobalWindow()])
        yield beam.pvalue.TaggedOutput("bundles", bundle)


class KeyedBundles(Bundles):
    """The same behind a shuffle by key, with the count of the key's events before."""

    SEEN = BagStateSpec("seen", VarIntCoder())

    def process(self, event: Any, seen: Any = beam.DoFn.StateParam(SEEN)) -> Iterable[Any]:
        self._seen.append((*event, len(list(seen.read()))))
        seen.add(1)
        yield event


def _chunks(sizes: list[int], *, disorder: bool = False) -> Chunks:
    """Values count up; times rise too, or are shuffled inside a chunk."""
    numbers = itertools.count()
    chunks = [
        [(f"k{n % 3}", n, n / 1000) for n in itertools.islice(numbers, size)] for size in sizes
    ]
    chooser = random.Random(3)
    for chunk in chunks if disorder else []:
        times = chooser.sample([event[2] for event in chunk], len(chunk))
        chunk[:] = [(key, n, t) for (key, n, _), t in zip(chunk, times, strict=True)]
    return chunks


def _bundles(
    runner: Runner, chunks: Chunks, *, bounded: bool = False, **options: Any
) -> tuple[list[list[Any]], list[list[Any]]]:
    """The bundles of a step fused to the source, and of a keyed step."""

    def build(pipeline: beam.Pipeline) -> beam.PCollection[Any]:
        source = pipeline | replay(chunks, bounded=bounded)
        fused = source | beam.ParDo(Bundles("fused")).with_outputs("bundles", main="events")
        typed = fused.events | beam.Map(lambda e: e).with_output_types(tuple[str, int])
        keyed = typed | beam.ParDo(KeyedBundles("keyed")).with_outputs("bundles", main="events")
        return (fused.bundles, keyed.bundles) | beam.Flatten()

    rows = runner.collect(build, **options)
    # Values count up, so the least of a bundle tells its place.
    rows.sort(key=lambda row: min(event[1] for event in row[1]))
    return [b for label, b in rows if label == "fused"], [
        b for label, b in rows if label == "keyed"
    ]


def _per_key(keyed: list[list[Any]]) -> dict[str, list[int]]:
    """Each key's values in the order in which its state saw them."""
    rows = [row for bundle in keyed for row in bundle]
    seen: dict[str, list[int]] = {}
    for key, value, _ in sorted(rows, key=lambda row: row[2]):
        seen.setdefault(key, []).append(value)
    return seen


def _given(chunks: Chunks, *, by_time: bool = False) -> dict[str, list[int]]:
    seen: dict[str, list[int]] = {}
    for chunk in chunks:
        for key, value, _ in sorted(chunk, key=lambda e: e[2]) if by_time else chunk:
            seen.setdefault(key, []).append(value)
    return seen


@pytest.mark.parametrize("runner", BY_CHUNK, indirect=True)
def test_unbounded_gives_one_bundle_per_chunk(runner: Runner) -> None:
    chunks = _chunks(SIZES)
    fused, keyed = _bundles(runner, chunks)
    assert [len(bundle) for bundle in fused] == SIZES
    assert [len(bundle) for bundle in keyed] == SIZES
    assert _per_key(keyed) == _given(chunks)


@pytest.mark.parametrize("runner", harness.FLINK_UNBOUNDED, indirect=True)
@pytest.mark.parametrize("size", [1, 7])
def test_flink_cuts_by_its_options_and_at_checkpoints(runner: Runner, size: int) -> None:
    chunks = _chunks(SIZES)
    fused, keyed = _bundles(runner, chunks, max_bundle_size=size, max_bundle_time_mills=60_000)
    total = sum(SIZES)
    for bundles in (fused, keyed):
        sizes = [len(bundle) for bundle in bundles]
        if runner.name == "FlinkStreaming":
            assert sizes == [size] * (total // size) + [total % size] * (total % size > 0)
        else:  # a checkpoint ends a bundle too
            assert max(sizes) == size
            assert sum(sizes) == total
    assert _per_key(keyed) == _given(chunks)


@pytest.mark.parametrize("runner", harness.UNBOUNDED, indirect=True)
def test_order_of_a_key_whose_times_are_not_in_order(runner: Runner) -> None:
    chunks = _chunks(SIZES, disorder=True)
    _, keyed = _bundles(runner, chunks, max_bundle_size=10)
    assert _per_key(keyed) == _given(chunks, by_time=runner.name == "Prism")


@pytest.mark.parametrize("runner", harness.UNBOUNDED, indirect=True)
def test_order_of_a_key_whose_times_are_equal(runner: Runner) -> None:
    chunks = [[(key, value, 1.0) for key, value, _ in chunk] for chunk in _chunks(SIZES)]
    _, keyed = _bundles(runner, chunks, max_bundle_size=10)
    assert _per_key(keyed) == _given(chunks)


def test_bounded_gives_everything(runner: Runner) -> None:
    chunks = _chunks(SIZES)
    fused, keyed = _bundles(runner, chunks, bounded=True)
    assert [len(bundle) for bundle in fused] == [sum(SIZES)]
    if runner.name == "FlinkBatch":
        assert [{key for key, _, _ in bundle} for bundle in keyed] == [{"k0"}, {"k1"}, {"k2"}]
    else:
        assert [len(bundle) for bundle in keyed] == [sum(SIZES)]
        assert _per_key(keyed) == _given(chunks)
    assert sorted(v for b in keyed for _, v, _ in b) == list(range(sum(SIZES)))


@pytest.mark.parametrize("runner", ["Prism", *harness.FLINK_UNBOUNDED], indirect=True)
def test_given_watermarks_make_events_late(runner: Runner) -> None:
    chunks = [[("k", 1, 0.0), ("k", 2, 11.0)], [("k", 3, 1.0), ("k", 4, 12.0)]]

    def build(pipeline: beam.Pipeline, watermarks: list[float] | None) -> beam.PCollection[Any]:
        windows = beam.WindowInto(FixedWindows(10))
        events = pipeline | replay(chunks, watermarks=watermarks)
        return events | windows | beam.GroupByKey() | beam.MapTuple(lambda _, v: sorted(v))

    in_time = runner.collect(lambda pipeline: build(pipeline, None))
    assert sorted(in_time) == [[1, 3], [2, 4]]
    # The first window has been answered and forgotten when its second event comes.
    late = runner.collect(lambda pipeline: build(pipeline, [10.5, 20.5]), max_bundle_size=1)
    assert sorted(late) == [[1], [2, 4]]


def test_each_chunk_has_a_watermark() -> None:
    with pytest.raises(ValueError, match="longer"):
        replay([[("k", 1, 1.0)]], watermarks=[1.0, 2.0])
