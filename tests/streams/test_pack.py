"""Packs: columns <-> bytes, shards of streams, order."""

import pickle
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_rnn.errors import StateError
from beam_rnn.streams import columns
from beam_rnn.streams.pack import Packed, abreast, as_made, merge, shard_of


def pack(times: list[int], stream: str = "a", number: int = 0, origin: int = 0) -> Packed:
    n = len(times)
    return Packed(
        [stream.encode()],
        np.zeros(n, np.int64),
        np.array(times, np.int64),
        np.zeros(n, np.bool_),
        np.arange(n * 2, dtype=np.float32).reshape(n, 2),
        [f"{stream}{time}" for time in times],
        origin,
        number,
    )


def test_a_pack_travels_as_bytes() -> None:
    sent = pack([5, 3, 9], "é", number=7, origin=2)
    sent.end[1] = True
    got = Packed.decode(sent.encode(pickle.dumps), pickle.loads)
    assert (got.streams, got.inputs, got.origin, got.number) == (
        ["é".encode()],
        ["é5", "é3", "é9"],
        2,
        7,
    )
    for name in ("stream", "time", "end", "x"):
        assert np.array_equal(getattr(got, name), getattr(sent, name)), name


@given(cut=st.integers(0, 10_000))
def test_a_truncated_pack_is_refused(cut: int) -> None:
    data = pack([1, 2, 3]).encode(pickle.dumps)
    with pytest.raises(StateError):
        Packed.decode(data[: cut % len(data)], pickle.loads)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"stream": np.zeros(1, np.int64)}, "column 'stream' of type b'i8' and 1 axes: not exp"),
        ({"what": [b""]}, "a column 'what' of type b's_' and 1 axes: not expected"),
        ({"streams": [b"a", b"a"]}, "a stream is in a pack twice"),
        ({"inputs": [b"x"]}, "values that their coder cannot read: invalid load key"),
        ({"end": np.ones(2, np.bool_)}, "a pack of 1 events has columns of other lengths"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_pack_of_other_columns_is_refused(column: dict[str, Any], message: str) -> None:
    named = columns.decode(pack([1]).encode(pickle.dumps))
    with pytest.raises(StateError, match=message):
        Packed.decode(columns.encode(named | column), pickle.loads)


@given(place=st.integers(0, 10_000), value=st.integers(0, 255))
def test_changed_bytes_are_refused_or_read_as_columns(place: int, value: int) -> None:
    data = bytearray(columns.encode({"a": np.arange(6.0, dtype="f4").reshape(2, 3), "b": [b"x"]}))
    data[place % len(data)] = value
    try:
        found = columns.decode(bytes(data))
    except StateError:
        return
    assert sum(getattr(c, "nbytes", len(c)) for c in found.values()) <= len(data)


def test_shards_are_the_same_for_ever() -> None:
    assert [shard_of(b"stream %d" % i, 32) for i in range(6)] == [22, 0, 15, 0, 31, 9]
    counts = np.bincount([shard_of(b"stream %d" % i, 32) for i in range(32_000)], minlength=32)
    assert counts.min() > 850
    assert counts.max() < 1150


def test_merge_is_in_event_time_and_stable() -> None:
    merged = merge([pack([4, 1, 4]), pack([4, 0], "b"), pack([2], "a")])
    names = [merged.streams[i].decode() for i in merged.stream]
    assert merged.inputs == ["b0", "a1", "a2", "a4", "a4", "b4"]
    assert names == ["b", "a", "a", "a", "a", "b"]
    assert merged.x is not None
    assert merged.x[:, 0].tolist() == [2, 2, 0, 0, 4, 0]


def test_swapped_packs_of_one_origin_are_put_back() -> None:
    one, two = object(), object()
    made = [
        (owner, pack([0], number=i, origin=o))
        for i in range(5)
        for owner, o in ((one, 1), (two, 1), (one, 2))
    ]
    mixed = random.Random(0).sample(made, len(made))
    numbers: dict[tuple[int, int], list[int]] = {}
    for owner, packed in as_made(mixed):
        numbers.setdefault((id(owner), packed.origin), []).append(packed.number)
    assert list(numbers.values()) == [[0, 1, 2, 3, 4]] * 3
    owners = [(id(owner), packed.origin) for owner, packed in mixed]
    assert [(id(owner), packed.origin) for owner, packed in as_made(mixed)] == owners


@given(
    packs=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=12),
    most=st.integers(1, 40),
    share=st.integers(1, 20),
)
def test_parts_have_all_events_and_keep_each_owners_order(
    packs: list[tuple[str, int]], most: int, share: int
) -> None:
    given, sent = [], {owner: list[str]() for owner in "abc"}
    for number, (owner, size) in enumerate(packs):
        made = pack([number * 10 + i for i in range(size)], owner, number)
        given.append((owner, made))
        sent[owner] += made.inputs or []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("beam_rnn.streams.pack._SHARE", share)
        parts = list(abreast(given, most))
    got = {owner: list[str]() for owner in "abc"}
    for part in parts:
        for owner, made in part:
            got[owner] += made.inputs or []
    assert got == sent
    assert all(sum(len(made) for _, made in part) <= most + len(part) for part in parts)


def test_a_part_has_a_share_of_every_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beam_rnn.streams.pack._SHARE", 10)
    given = [(owner, pack(list(range(40)), owner)) for owner in "abc"]
    parts = list(abreast(given, 30))
    assert [[(owner, len(made)) for owner, made in part] for part in parts] == [
        [("a", 10), ("b", 10), ("c", 10)]
    ] * 4


def test_a_part_of_a_pack_has_the_streams_of_its_events_alone() -> None:
    both = Packed(
        [b"a", b"b", b"c"],
        np.array([2, 0, 2, 1]),
        np.arange(4),
        np.zeros(4, np.bool_),
        None,
        ["c0", "a1", "c2", "b3"],
    )
    some = both.only(slice(0, 3))
    assert (some.streams, some.stream.tolist(), some.inputs) == (
        [b"a", b"c"],
        [1, 0, 1],
        ["c0", "a1", "c2"],
    )
    assert both.only(np.array([3, 0])).streams == [b"b", b"c"]
