"""The columnar lane against a hand-written dictionary with ONNX Runtime, nothing durable."""

import time
from collections.abc import Callable

import apache_beam as beam
import pyarrow as pa

import beam_rnn as rnn
from benchmarks import words
from benchmarks.measure import Results, Row, against, alternate
from benchmarks.onnx_dict import BATCH, OnnxDict
from benchmarks.plain import model, network
from tests.runners import harness

FIGURE = "4 columnar lane, 1,000 streams"
PEER = f"dict + ONNX Runtime, batches of {BATCH}"


def run(
    rounds: int,
    widths: tuple[int, ...] = (64, 256),
    count: int = 200_000,
    batch: int = 4096,
) -> Results:
    """RecordBatches in and out of rnn.Tag on FnApiRunner, against lists of keys and ids."""
    results = Results()
    for H in widths:
        net = network(H)
        for skew in (None, 1.1):
            words.use(count, skew=skew)
            keys = "round robin" if skew is None else f"zipf {skew}"
            what = f"columnar lane, FnApiRunner, one bundle, H={H}, {keys}"
            row = Row(FIGURE, what, "events/s", peer=PEER, target=1)
            row.note = f"batches of {batch:,} rows in"
            ours: Callable[[], float] = lambda H=H: _ours(model(H), count, batch)  # noqa: E731
            try:
                theirs = _theirs(net, count)
            except ImportError as error:
                row.note = f"the peer is absent: {error}"
                found = alternate({"ours": ours}, rounds)
                row.ours = sorted(found["ours"])[rounds // 2]
            else:
                found = alternate({"ours": ours, "theirs": theirs}, rounds)
                against(row, found["ours"], found["theirs"])
            results.rows.append(row)
    return results


def _ours(model: str, count: int, batch: int) -> float:
    words.clear()
    parts = [(i, min(i + batch, count)) for i in range(0, count, batch)]
    words.make_batches(parts)

    def build(p: beam.Pipeline) -> None:
        batches = p | beam.Create(parts) | beam.Map(words.batch).with_output_types(pa.RecordBatch)
        _ = batches | rnn.Tag(model, order=rnn.arrival) | beam.ParDo(words.SeenBatches())

    harness.fn_api().run(build)
    return count / words.seconds(count)


def _theirs(net: rnn.Network, count: int) -> Callable[[], float]:
    OnnxDict(net)  # or it is absent
    streams, ids = words.columns(0, count)

    def rate() -> float:
        peer = OnnxDict(net)
        start = time.perf_counter()
        found = peer.tag(streams, ids)
        seconds = time.perf_counter() - start
        if len(found) != count:
            raise RuntimeError(f"{len(found)} answers, expected {count}")
        return count / seconds

    return rate
