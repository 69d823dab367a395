"""The packed form: our columns against Arrow IPC, to bytes and back."""

import io
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from beam_rnn.streams.pack import Packed
from benchmarks.measure import Results, Row, against, alternate

FIGURE = "packed form"


def run(rounds: int, calls: int = 300) -> Results:
    """Microseconds to encode and decode packs of 60 and of 1,000 events."""
    results = Results()
    for n in (60, 1000):
        for what, x in _inputs(n).items():
            pack = _pack(n, x)
            row = Row(FIGURE, f"{n:,} events, x of {what}, there and back", "µs", peer="Arrow IPC")
            peer = pack_of(arrow(pack), n)
            assert np.array_equal(peer.x, pack.x)
            assert peer.streams == pack.streams
            ours = _timed(lambda pack=pack: _there_and_back(pack), calls)
            theirs = _timed(lambda pack=pack, n=n: pack_of(arrow(pack), n), calls)
            found = alternate({"ours": ours, "theirs": theirs}, rounds)
            against(row, found["ours"], found["theirs"], more_is_better=False)
            row.note = f"{len(pack.encode(_no_values)):,} bytes, Arrow {len(arrow(pack)):,}"
            results.rows.append(row)
    return results


def arrow(pack: Packed) -> bytes:
    """The pack as an Arrow IPC stream of one batch; its streams as a dictionary."""
    x = pack.x
    assert x is not None
    flat = pa.array(x.ravel())
    stream = pa.DictionaryArray.from_arrays(
        pa.array(pack.stream.astype(np.int32)), pa.array(pack.streams, pa.binary())
    )
    columns = {
        "stream": stream,
        "time": pa.array(pack.time),
        "x": flat if x.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, x.shape[1]),
    }
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def pack_of(data: bytes, n: int) -> Packed:
    """Reads what ``arrow`` wrote, as Step needs it."""
    batch = pa.ipc.open_stream(data).read_next_batch()
    stream, x = batch.column("stream"), batch.column("x")
    flat = x.flatten() if isinstance(x, pa.FixedSizeListArray) else x
    return Packed(
        stream.dictionary.to_pylist(),
        stream.indices.to_numpy().astype(np.int64),
        batch.column("time").to_numpy(),
        np.zeros(n, np.bool_),
        flat.to_numpy().reshape(n, -1) if flat is not x else flat.to_numpy(),
        None,
    )


def _inputs(n: int) -> dict[str, NDArray[np.generic]]:
    draw = np.random.default_rng(0)
    return {
        "ids": draw.integers(0, 10_000, n),
        "64 floats": draw.normal(size=(n, 64)).astype(np.float32),
    }


def _pack(n: int, x: NDArray[np.generic]) -> Packed:
    streams = [f"stream {i}".encode() for i in range(max(1, n // 2))]
    stream = np.arange(n) % len(streams)
    return Packed(streams, stream, np.arange(n), np.zeros(n, np.bool_), x, None)


def _no_values(values: object) -> bytes:
    return b""


def _there_and_back(pack: Packed) -> Packed:
    return Packed.decode(pack.encode(_no_values), lambda data: [])


def _timed(call: Callable[[], object], calls: int) -> Callable[[], float]:
    def microseconds() -> float:
        found = []
        for _ in range(calls):
            start = time.perf_counter()
            call()
            found.append(time.perf_counter() - start)
        return 1e6 * median(found)

    return microseconds
