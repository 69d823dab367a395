"""Who runs, end to end with the committed weights: poses, a video, the batch twin, bad input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

cv2 = pytest.importorskip("cv2", reason="the extra apps is not installed")
pytest.importorskip("matplotlib", reason="the extra apps is not installed")

from pipelines import sinks  # noqa: E402
from pipelines.detect_running import APPLICATION, Moment, answers_in, detector_of, main  # noqa: E402
from pipelines.places import SAMPLES  # noqa: E402
from tests.pipelines.twins import live_and_batch  # noqa: E402

VIDEO = SAMPLES / "running.avi"


def run(*arguments: str, output: Path) -> int:
    return main(["--output", str(output), "--no-view", *arguments])


def rows_of(output: Path) -> list[dict[str, Any]]:
    parts = sinks.read_parts(output / "answers", sinks.schema_of(Moment))
    rows = [row for part in parts for row in part.to_pylist()]
    return sorted(rows, key=lambda row: (row["stream"], row["time"]))


def runs_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "runs.jsonl").read_text().splitlines()]


def failed_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "failed.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def poses() -> list[dict[str, Any]]:
    return [json.loads(line) for line in APPLICATION.sample.read_text().splitlines()]


@pytest.mark.slow
def test_the_play_has_two_runs_and_the_others_none_but_the_runner(tmp_path: Path) -> None:
    assert run(output=tmp_path / "out") == 0
    runs = runs_of(tmp_path / "out")
    assert [spell["stream"] for spell in runs] == ["play", "play", "running_1"]
    # 75 frames of walking, 6 between, 80 of running; 75 of jumping between it and the second
    first, second, alone = runs
    assert 2.4 < first["start"] < 3.2
    assert 5.0 < first["stop"] < 5.9
    assert first["known"] - 81 / 30 < 1.0  # seconds after he began
    assert 7.8 < second["start"] < 8.8
    assert alone["known"] < 1.0
    assert all(spell["score"] > 0.8 for spell in runs)
    assert (tmp_path / "out" / "strip.png").stat().st_size > 20_000
    assert failed_of(tmp_path / "out") == []


@pytest.mark.slow
def test_fifty_streams_live_and_in_batch_are_the_same_to_the_bit(
    tmp_path: Path, poses: list[dict[str, Any]]
) -> None:
    few = [p for p in poses if p["stream"] != "play" and p["time"] < 0.5]
    twice = [
        event
        for pose in few
        for event in (pose, pose | {"stream": pose["stream"] + " turned", "joints": _turned(pose)})
    ]
    twice += [{"stream": "walking_1", "time": 0.6, "end": True}]
    play = [p for p in poses if p["stream"] == "play" and p["time"] < 0.3]
    twice += [*play, *[pose | {"stream": "play again"} for pose in play]]
    live, batch = live_and_batch(run, tmp_path, twice)
    rows = rows_of(live)
    assert rows == rows_of(batch)  # floats too: no tolerance
    assert len(rows) == len(twice) - 1
    assert len({row["stream"] for row in rows}) == 50
    network, feature = detector_of(str(APPLICATION.model))
    own = [p["joints"] for p in twice if p["stream"] == "jumping_1"]
    y, _ = network.unroll(feature._feature.rows(np.reshape(own, (-1, 38, 3))))
    scores = [row["score"] for row in rows if row["stream"] == "jumping_1"]
    np.testing.assert_array_equal(np.float32(scores), y.max(axis=1))


def _turned(pose: dict[str, Any]) -> list[float]:
    joints = np.reshape(pose["joints"], (38, 3))
    return [float(v) for v in (joints * [0.9, 1, 1.1]).reshape(-1)]


@pytest.mark.slow
def test_a_video(tmp_path: Path) -> None:
    assert run("--silhouettes", "--input", str(VIDEO), output=tmp_path / "out") == 0
    runs = runs_of(tmp_path / "out")
    assert {spell["stream"] for spell in runs} == {"running.avi#1"}
    assert len(runs) == 2
    assert 2.4 < runs[0]["start"] < 3.4
    assert 7.8 < runs[1]["start"] < 9.0
    marked = cv2.VideoCapture(str(tmp_path / "out" / "marked.avi"))
    assert marked.get(cv2.CAP_PROP_FRAME_COUNT) > 100
    assert (tmp_path / "out" / "strip.png").stat().st_size > 10_000


@pytest.mark.slow
def test_bad_poses_fail_and_the_others_go_on(tmp_path: Path, poses: list[dict[str, Any]]) -> None:
    own = [p for p in poses if p["stream"] == "running_1"]
    bad: list[Any] = [
        {"stream": "running_1", "time": 0.1, "joints": [0] * 114},
        {"stream": "running_1", "time": 0.1, "joints": [1] * 100},
        {"stream": "running_1", "time": 0.1, "joints": "x"},
        {"stream": "running_1", "time": 0.1},
        {"stream": "running_1", "time": 0.1, "joints": [None] * 114},
    ]
    clean, mixed = tmp_path / "clean.jsonl", tmp_path / "mixed.jsonl"
    clean.write_text("".join(json.dumps(event) + "\n" for event in own))
    mixed.write_text("".join(json.dumps(event) + "\n" for event in own[:4] + bad + own[4:]))
    assert run("--input", str(clean), output=tmp_path / "a") == 0
    assert run("--input", str(mixed), output=tmp_path / "b") == 0
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")
    reasons = " ".join(sorted(row["reason"] for row in failed_of(tmp_path / "b")))
    for part in ("no length", "shape (100,)", "numbers of a pose"):
        assert part in reasons
    assert "has no joints" in reasons
    assert len(failed_of(tmp_path / "b")) == len(bad)
    typed = [p for p in own[:4] + bad + own[4:] if isinstance(p.get("joints", []), list)]
    pq.write_table(pa.Table.from_pylist(typed), tmp_path / "in.parquet")
    archive = str(tmp_path / "in.parquet")
    assert run("--batch", "--input", archive, output=tmp_path / "batch") == 0
    assert rows_of(tmp_path / "batch") == rows_of(tmp_path / "a")
    assert len(failed_of(tmp_path / "batch")) == len(bad) - 1


@pytest.mark.slow
def test_poses_that_stop_and_begin_again(tmp_path: Path, poses: list[dict[str, Any]]) -> None:
    own = [p for p in poses if p["stream"] == "running_1"]
    end = {"stream": "running_1", "time": own[-1]["time"], "end": True}
    thrice = [*own, end, *own, end, *own[:20]]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(event) + "\n" for event in thrice))
    assert run("--input", str(source), output=tmp_path / "out") == 0
    assert [len(told) for told in answers_in(tmp_path / "out" / "answers").values()] == [
        len(own),
        len(own),
        20,
    ]


def test_a_camera_that_is_not_there_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("--input", "97", output=tmp_path / "out") == 2
    assert "detect-running: the input 97 is no video that OpenCV can open" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.avi", b"", "is no video that OpenCV can open"),
        ("text.mp4", b"no video", "is no video that OpenCV can open"),
        ("cut.avi", VIDEO.read_bytes()[:4_000], "video"),
        ("missing.avi", None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_video_says_so_in_one_line(
    name: str, content: bytes | None, says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    code = run("--silhouettes", "--input", str(path), output=tmp_path / "out")
    if name == "cut.avi" and code == 0:  # a part of it could be read: it ends there
        assert runs_of(tmp_path / "out") == []
        return
    assert code == 2
    err = [line for line in capfd.readouterr().err.splitlines() if "detect-running: " in line]
    assert len(err) == 1
    assert says in err[0]
    assert not (tmp_path / "out").exists()


def test_a_video_with_nobody_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "still.avi"
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 96))
    for _ in range(40):
        video.write(np.full((96, 96, 3), 80, np.uint8))
    video.release()
    assert run("--input", str(path), output=tmp_path / "out") == 0
    assert "0 people, 0 moments, 0 times somebody ran" in capsys.readouterr().out
    assert runs_of(tmp_path / "out") == []


def test_another_network_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = APPLICATION.model.with_name("annotate_dna.safetensors")
    assert run("--model", str(other), output=tmp_path / "out") == 2
    assert "is no detector of running" in capsys.readouterr().err
