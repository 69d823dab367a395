"""State that older versions wrote: it is read for ever, and its streams go on.

The files of a format version are made once, by the code that writes it, and never again: nothing
here can write them. All are of the networks in ``tests.weights.exact``.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beam_rnn import Network
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.order import Numbers
from beam_rnn.streams.pack import Packed
from beam_rnn.streams.shard import Shard
from beam_rnn.streams.state import VERSION, Block, Tag
from tests.streams.steppers import labelling
from tests.streams.test_feeding import TEXT
from tests.weights import exact

GOLDEN = Path(__file__).parent / "golden"
NUMBERS = Codec(bytes.decode, lambda value: b"%d" % value, int)
VECTORS = Codec(bytes.decode, np.ndarray.tobytes, lambda data: np.frombuffer(data, np.float32))


def golden(name: str) -> bytes:
    return (GOLDEN / f"state_{name}.bin").read_bytes()


def block(name: str, net: Network, shards: int) -> Block:
    return Block.decode(golden(name), Tag(net.fingerprint, shards), net.state_size)


def columns(block: Block) -> dict[str, Any]:
    """The columns that every version has; those of later ones have tests of their own."""
    numbers = {name: getattr(block, name).tolist() for name in ("steps", "last", "label")}
    rest = ("serial", "streams", "memory", "ended", "tagged")
    return numbers | {name: getattr(block, name) for name in rest}


def waiting(block: Block, codec: Codec) -> list[Any]:
    return [codec.decode_pending(data) if data else [] for data in block.pending]


def same_bits(a: np.ndarray, expected: list[list[float]]) -> None:
    assert a.dtype == np.float32
    assert a.tolist() == np.array(expected, np.float32).tolist()


ALL = pytest.mark.parametrize("version", ["v1", "v2"])


def test_every_version_has_its_files() -> None:
    found = {path.name.split("_")[1] for path in GOLDEN.glob("state_*.bin")}
    assert found == {f"v{version + 1}" for version in range(VERSION)}


@ALL
def test_bare(version: str) -> None:
    read = block(f"{version}_bare", exact.vectors(), 1)
    assert columns(read) == {
        "serial": 1,
        "streams": [b"a", b"b"],
        "steps": [2, 1],
        "last": [9, 7],
        "label": [-1, -1],
        "memory": [b"", b""],
        "ended": [],
        "tagged": False,
    }
    assert read.pending == [b"", b""]
    same_bits(read.a, [[0.6158447, 0, 0.1998291], [0.73046875, 0, 0]])


@ALL
def test_vectors_wait_for_their_answer(version: str) -> None:
    read = block(f"{version}_vectors", exact.vectors(), 7)
    assert (read.streams, read.steps.tolist()) == ([b"a", b"b"], [2, 1])
    ((a, x), (b, z)) = (events[0] for events in waiting(read, VECTORS))
    assert (a, x.tolist(), b, z.tolist()) == (9, [1, 1], 7, [0.25, 2])


@ALL
def test_label_pending_tagged_and_ended(version: str) -> None:
    first, second = (block(f"{version}_words_{i}", exact.words(), 32) for i in (1, 2))
    assert columns(first) == {
        "serial": 1,
        "streams": [b"ann", b"bob", "é".encode()],
        "steps": [3, 1, 1],
        "last": [2_000_001, 1_500_000, -5],
        "label": [1, -1, -1],
        "memory": [b"", b"", b""],
        "ended": [],
        "tagged": False,
    }
    assert waiting(first, NUMBERS) == [[(2_000_001, 5)], [(1_500_000, 2)], [(-5, 3)]]
    same_bits(
        first.a,
        [
            [-0.19464746, 0.18792677, -0.49381906, 0.39152977, -0.25533026],
            [-0.04594878, 0.027872525, -0.17172864, 0.044067897, -0.14989114],
            [-0.022252379, 0.012348873, -0.07821756, 0.021259673, -0.15515012],
        ],
    )
    assert columns(second) == {
        "serial": 2,
        "streams": [b"ann", b"cy"],
        "steps": [4, 1],
        "last": [4_000_000, 4_000_000],
        "label": [1, -1],
        "memory": [b"", b""],
        "ended": [b"bob"],
        "tagged": True,
    }
    assert waiting(second, NUMBERS) == [[(4_000_000, 2)], [(4_000_000, 1)]]


@ALL
def test_memory_of_a_feature(version: str) -> None:
    read = block(f"{version}_memory", exact.words(), 32)
    assert read.streams == [b"ann", b"bob", b"cy"]
    assert read.memory == [b"5", b"4", b""]
    assert read.steps.tolist() == [2, 0, 2]
    assert waiting(read, TEXT) == [[(3, "34")], [], [(4, "11")]]


def test_v1_has_no_numbers() -> None:
    read = block("v1_words_1", exact.words(), 32)
    assert (read.next.tolist(), read.told.tolist()) == ([0, 0, 0], [-1, -1, -1])
    assert (read.missed, read.held) == ([b"", b"", b""], [])


def test_v2_skipped_numbers() -> None:
    read = block("v2_skipped", exact.words(), 32)
    assert (read.streams, read.next.tolist()) == ([b"ann", b"bob"], [7, 1])
    assert [np.frombuffer(m, "<i8").tolist() for m in read.missed] == [[2, 2, 4, 5], []]


def test_v2_events_behind_a_gap() -> None:
    blocks = [block(f"v2_waiting_{i}", exact.words(), 32) for i in (1, 2)]
    for read in blocks:
        assert (read.next.tolist(), read.told.tolist()) == ([2, 1], [2, -1])
    packs = [Packed.decode(data, NUMBERS.decode_values) for b in blocks for data in b.held]
    events = [
        (pack.streams[stream], *event)
        for pack in packs
        for stream, *event in zip(pack.stream, pack.time, pack.x, pack.seq, strict=True)
    ]
    assert events == [
        (b"ann", 1003, 2, 3),
        (b"ann", 1002, 5, 4),
        (b"ann", 1003, 3, 6),
        (b"bob", 2000, 2, 2),
    ]


def test_v2_goes_on_when_gaps_are_filled() -> None:
    net = exact.words()
    numbers = Numbers(int, 0, None, "wait", 10)
    stepper = labelling(net, 32, NUMBERS, emit=Emit.of("each"), lookahead=1, numbers=numbers)
    shard = Shard(0)
    stepper.load(shard, [golden("v2_waiting_2"), golden("v2_waiting_1")])
    three = np.zeros(3, np.int64)
    pack = Packed(
        [b"ann"], three, three, three > 0, np.array([1, 5, 0]), None, seq=three + [2, 5, 7]
    )
    stepper.receive(shard, pack)
    (said,) = stepper.settle()
    assert said.names == ["ann"]
    assert said.what.input == [4, 1, 2, 5, 5, 3]
    y, _ = net.unroll([1, 4, 1, 2, 5, 5, 3, 0])
    assert said.what.label.tolist() == y[2:].argmax(axis=1).tolist()
    np.testing.assert_allclose(said.what.score, y[2:].max(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("log", "earlier"),
    [
        (["words_1"], {"ann": [1, 4, 5], "bob": [2], "é": [3]}),
        (["words_2", "words_1"], {"ann": [1, 4, 5, 2], "cy": [1], "é": [3]}),
    ],
    ids=["one block", "two blocks"],
)
@ALL
def test_streams_go_on(version: str, log: list[str], earlier: dict[str, list[int]]) -> None:
    """Each stream steps 3 and 1 and ends; "bob", where it had ended, begins anew."""
    net = exact.words()
    stepper = labelling(net, 32, NUMBERS, emit=Emit.of("each"), lookahead=1)
    shard = Shard(0)
    stepper.load(shard, [golden(f"{version}_{name}") for name in log])
    assert set(shard.rows) == {stream.encode() for stream in earlier}
    streams = ["ann", "bob", "cy", "é"]
    n = len(streams)
    stepper.receive(
        shard,
        Packed(
            [stream.encode() for stream in streams],
            np.arange(2 * n) % n,
            np.full(2 * n, 5_000_000),
            np.arange(2 * n) >= n,
            np.repeat([3, 1], n),
            None,
        ),
    )
    (said,) = stepper.settle()
    for place, stream in enumerate(said.names):
        mine = said.stream == place
        before = earlier.get(stream, [])
        y, _ = net.unroll([*before, 3, 1, 0])  # the zero is the look-ahead
        y = y[1 + max(len(before) - 1, 0) :]
        assert said.what.label[mine].tolist() == y.argmax(axis=1).tolist()
        np.testing.assert_allclose(said.what.score[mine], y.max(axis=1), rtol=1e-5)
        assert [said.what.input[i] for i in np.flatnonzero(mine)] == [*before[-1:], 3, 1]
