"""The columnar lane gives the answers of single events, to the bit."""

import random
from collections import defaultdict
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that

import beam_rnn as rnn
from tests.transforms.test_streams import NET, answers, network, pipeline


def words(seed: int, streams: int = 30, longest: int = 20) -> dict[str, list[int]]:
    chance = random.Random(seed)
    return {
        f"s{i}": [chance.randrange(10) for _ in range(chance.randint(1, longest))]
        for i in range(streams)
    }


def batches(sequences: dict[str, list[int]], sizes: int) -> list[pa.RecordBatch]:
    """All words, those of a stream in their order, at seconds that ascend."""
    chance = random.Random(1)
    waiting = [key for key, xs in sequences.items() for _ in xs]
    chance.shuffle(waiting)
    at: dict[str, int] = defaultdict(int)
    rows = []
    for second, key in enumerate(waiting):
        at[key] += 1
        rows.append((key, sequences[key][at[key] - 1], second * 1_000_000))
    return [
        pa.RecordBatch.from_arrays(
            [
                pa.array([key for key, _, _ in part]),
                pa.array([x for _, x, _ in part]),
                pa.array([time for _, _, time in part]).cast(pa.timestamp("us", tz="UTC")),
            ],
            names=["stream", "x", "time"],
        )
        for part in (rows[i : i + sizes] for i in range(0, len(rows), sizes))
    ]


def rows_of(found: list[pa.RecordBatch]) -> dict[str, list[tuple[Any, ...]]]:
    by_stream = defaultdict(list)
    for batch in found:
        for row in batch.to_pylist():
            by_stream[row["stream"]].append((row["x"], row["label"], row["score"], row["step"]))
    return {key: sorted(rows, key=lambda row: row[3]) for key, rows in by_stream.items()}


@pytest.mark.parametrize("order", [rnn.arrival, rnn.event_time], ids=str)
@pytest.mark.parametrize("lookahead", [0, 2])
def test_batches_are_tagged_as_single_events_are(order: Any, lookahead: int) -> None:
    sequences = words(2)
    wanted = {
        key: [
            (x, *later[1:3], step)
            for step, (x, later) in enumerate(
                zip(xs, answers(NET, xs + [0] * lookahead)[lookahead:], strict=True), 1
            )
        ]
        for key, xs in sequences.items()
    }

    def check(found: list[pa.RecordBatch]) -> None:
        assert rows_of(found) == wanted
        for batch in found:
            assert batch.schema.field("time").type == pa.timestamp("us", tz="UTC")

    with pipeline() as p:
        events = p | beam.Create(batches(sequences, 37)).with_output_types(pa.RecordBatch)
        assert_that(events | rnn.Tag(NET, order=order, lookahead=lookahead, shards=5), check)


@pytest.mark.parametrize("together", [1, 3])
def test_parts_and_turns_change_no_bit(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs, the parts that are stepped, and who steps side by side are cut small."""
    monkeypatch.setattr("beam_rnn.transforms.batches._ROWS", 50)
    monkeypatch.setattr("beam_rnn.streams.stepper._CHUNK", 100)
    monkeypatch.setattr("beam_rnn.streams.pack._SHARE", 30)
    monkeypatch.setattr("beam_rnn.streams.answering._NEAR", 0)
    monkeypatch.setattr("beam_rnn.streams.answering._TILE", together)
    sequences = words(5, streams=9, longest=80)
    wanted = {key: [tuple(a) for a in answers(NET, xs)] for key, xs in sequences.items()}

    def check(found: list[pa.RecordBatch]) -> None:
        assert rows_of(found) == wanted

    with pipeline() as p:
        events = p | beam.Create(batches(sequences, 37)).with_output_types(pa.RecordBatch)
        assert_that(events | rnn.Tag(NET, order=rnn.arrival, shards=5), check)


def test_sequences_are_classified_from_batches() -> None:
    sequences = words(3)

    def check(found: list[pa.RecordBatch]) -> None:
        said = {
            row["stream"]: (row["label"], row["score"], row["step"])
            for batch in found
            for row in batch.to_pylist()
        }
        assert said == {key: answers(NET, xs)[-1][1:] for key, xs in sequences.items()}

    with pipeline() as p:
        events = p | beam.Create(batches(sequences, 50)).with_output_types(pa.RecordBatch)
        assert_that(events | rnn.Classify(NET), check)


def test_vectors_come_as_lists() -> None:
    draw = np.random.default_rng(0)
    cell = rnn.RNN(draw.normal(size=(4, 3)), draw.normal(size=(4, 4)), np.zeros(4))
    net = rnn.Network([cell, rnn.Dense(draw.normal(size=(2, 4)), np.zeros(2))])
    xs = draw.normal(size=(9, 3)).astype(np.float32)
    y = net.unroll(xs)[0]
    batch = pa.RecordBatch.from_arrays(
        [pa.array(["a"] * 9), pa.FixedSizeListArray.from_arrays(pa.array(xs.ravel()), 3)],
        names=["stream", "x"],
    )

    def check(found: list[pa.RecordBatch]) -> None:
        table = pa.Table.from_batches(found)
        assert table["label"].to_pylist() == y.argmax(axis=1).tolist()
        assert np.array_equal(np.array(table["score"], np.float32), y.max(axis=1))
        assert np.array_equal(np.array(table["x"].to_pylist(), np.float32), xs)

    with pipeline() as p:
        events = p | beam.Create([batch]).with_output_types(pa.RecordBatch)
        assert_that(events | rnn.Tag(net), check)


def test_bad_rows_and_bad_batches_leave() -> None:
    good = {"stream": ["a", "b", "a"], "x": [1, 12, 2]}
    bad = [{"stream": ["a"]}, {"stream": [1], "x": [1]}, {"stream": ["a"], "x": ["one"]}]

    def check_bad(found: list[rnn.BadEvent]) -> None:
        assert sorted((event.stream or "", event.reason) for event in found) == [
            ("", "InputError: a batch without the column 'x': ['stream']"),
            ("", "InputError: column 'stream' is of int64, expected strings"),
            ("", "InputError: column 'x' is of string, expected integer ids"),
            ("b", "InputError: x has the id 12, expected 0..9"),
        ]

    def check(found: list[pa.RecordBatch]) -> None:
        assert rows_of(found) == {"a": answers(NET, [1, 2])}

    with pipeline() as p:
        events = p | beam.Create(
            [pa.RecordBatch.from_pydict(columns) for columns in [good, *bad]]
        ).with_output_types(pa.RecordBatch)
        tagged = events | rnn.Tag(NET)
        assert_that(tagged, check, label="good")
        assert_that(tagged.failed, check_bad, label="bad")


def test_pack_makes_the_batches() -> None:
    def check(found: list[pa.RecordBatch]) -> None:
        assert rows_of(found) == {"a": answers(NET, [1, 2]), "b": answers(NET, [3])}

    with pipeline() as p:
        words = p | beam.Create([("a", "1"), ("b", "3"), ("a", "2"), ("a", "x")])
        packed = words | rnn.Pack(NET, x=int)
        assert_that(packed | rnn.Tag(NET), check, label="good")
        streams = packed.failed | beam.Map(lambda event: event.stream)
        assert_that(streams, lambda found: found == ["a"] or pytest.fail(str(found)), label="bad")


def test_options_that_are_columns_are_refused() -> None:
    empty = beam.Create([]).with_output_types(pa.RecordBatch)
    with pytest.raises(rnn.OptionError, match="x, end and reset are columns of a RecordBatch"):
        _ = pipeline() | empty | rnn.Tag(network(), x=int)
    with pytest.raises(rnn.OptionError, match=r"keys are of type .*int.*, expected str"):
        _ = pipeline() | beam.Create([(1, 1)]) | rnn.Pack(NET)
