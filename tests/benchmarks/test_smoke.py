"""Each part of the benchmark at a tiny size, without services: it runs and tells its figures."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import (
    columnar,
    decoding,
    latency,
    many,
    packing,
    report,
    runners,
    speech,
    touched,
    words,
)
from benchmarks.measure import Curve, Results, Row, against, alternate
from benchmarks.onnx_dict import OnnxDict
from benchmarks.plain import Cell, network
from tests.runners import harness

pytestmark = pytest.mark.slow


def test_tag_and_its_peers_run() -> None:
    rows = runners.run(runners.TINY, 1, 60).rows
    assert {row.peer for row in rows} == {"plain stateful DoFn", "bytewax"}
    bytewax = importlib.util.find_spec("bytewax") is not None
    for row in rows:
        assert (row.ratio is not None) == (bytewax or row.peer != "bytewax"), row
        assert row.ratio is not None or row.note.startswith("the peer is absent")


def test_the_columnar_lane_runs() -> None:
    rows = columnar.run(1, (8,), 200, 64).rows
    assert len(rows) == 2
    assert all(row.ours and row.peer == columnar.PEER for row in rows)


def test_many_streams_take_turns() -> None:
    results = many.run([3, 6], 1, 20, 10)
    (cost,) = results.curves
    assert cost.x == [3, 6]
    assert all(row.ours is not None for row in results.rows)


def test_bundles_that_touch_few_streams_are_told_by_their_size() -> None:
    found, sizes = touched.costs(harness.fn_api(), [5, 30], 60, 20, 2)
    assert sizes == {5: 20, 30: 20}
    assert all(len(rounds) == 2 and min(rounds) > 0 for rounds in found.values())


def test_latency_and_packing_run() -> None:
    assert [row.unit for row in latency.run(1, 0.2, ("FnApiRunner",), H=8).rows] == ["ms", "ms"]
    assert len(packing.run(1, 2).rows) == 4


def test_speech_runs() -> None:
    rows = speech.run(1, 5, 2, 1).rows
    peers = [row.peer for row in rows]
    absent = [row.note.startswith("the peer is absent") for row in rows]
    assert peers == [speech.PEER] * 4 or absent == [True]


def test_decoding_runs() -> None:
    assert [row.target for row in decoding.run(1, 20, 2).rows] == [5, None, 8]


def test_the_peers_say_what_we_say() -> None:
    """A comparison is of equal work: the answers of one network over the same words."""
    net = network(8)
    words.use(300, streams=20, skew=1.1)
    streams, ids = words.columns(0, 300)
    states = {stream: net.initial_state(1) for stream in streams}
    wanted = []
    for stream, word in zip(streams, ids, strict=True):
        y, states[stream] = net.step(np.array([word]), states[stream])
        wanted.append((int(y[0].argmax()), float(y[0].max())))
    cell = Cell(net)
    plain = {stream: np.zeros(16, np.float32) for stream in streams}
    for stream, word, (label, score) in zip(streams, ids, wanted, strict=True):
        plain[stream], found, probability = cell.step(plain[stream], word)
        assert found == label
        assert probability == pytest.approx(score, abs=1e-5)
    pytest.importorskip("onnxruntime")
    for (_, found, probability), (label, score) in zip(
        OnnxDict(net).tag(streams, ids), wanted, strict=True
    ):
        assert found == label
        assert probability == pytest.approx(score, abs=1e-5)


def test_a_part_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    written = tmp_path / "part.json"
    command = [sys.executable, "-m", "benchmarks", "--part", "packing", "--tiny"]
    subprocess.run([*command, "--output", str(written)], check=True)
    results = Results.of_json(json.loads(written.read_text()))
    assert len(results.rows) == 4


def test_the_soak_ends_with_an_empty_state() -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "--streams", "300"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "3,000 answers; 0 of 10 sampled answers wrong; 0 bytes of state left" in told


def test_results_are_written(tmp_path: Path) -> None:
    row = Row("3 something", "a case", "events/s", peer="peer", target=4)
    found = alternate({"a": lambda: 6.0, "b": lambda: 2.0}, 3)
    absent = Row("3 something", "another", "events/s", peer="gone", note="the peer is absent: x")
    curve = Curve("streams", "line", "streams", "µs per event", [1, 2], [3.0, 4.0])
    results = Results([against(row, found["a"], found["b"]), absent], [curve])
    assert row.ratio == 3
    text = report.write(results, {"numpy": "2"}, tmp_path)
    assert "| a case | events/s | 6.00 | peer | 2.00 | **3.00** |  | 4 missed |" in text
    assert "the peer is absent: x" in text
    assert json.loads((tmp_path / "results.json").read_text())["machine"] == {"numpy": "2"}
    if importlib.util.find_spec("matplotlib"):
        assert (tmp_path / "streams.png").exists()
    assert report.machine()["numpy"]
