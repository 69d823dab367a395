"""Sources: every line once, in order, at its pace; an end when nothing more can come."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp

from pipelines import sources
from pipelines.events import Event
from pipelines.job import LOCAL_RUNNER
from pipelines.tracking import PositionTracker

# What the pipelines of this module saw: they run in this process.
seen: list[tuple[float, Any, Timestamp]] = []


def see(value: Any, stamp: Any = beam.DoFn.TimestampParam) -> None:
    seen.append((time.monotonic(), value, stamp))


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    seen.clear()
    sources.start()
    yield
    sources.stop()


def line(stream: str, second: float, text: str, **more: Any) -> str:
    return json.dumps({"stream": stream, "time": second, "text": text} | more) + "\n"


def run(path: Path, **options: Any) -> None:
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        events = pipeline | sources.ReadEvents(sources.lines_of(str(path)), **options)
        events | "Events" >> beam.Map(see)
        events.failed | "Failed" >> beam.Map(see)


def texts() -> list[str]:
    return [value.text for _, value, _ in seen if isinstance(value, Event) and not value.end]


def wait_for(texts_wanted: list[str]) -> None:
    until = time.monotonic() + 60
    while texts() != texts_wanted:
        assert time.monotonic() < until, f"waited for {texts_wanted}, saw {texts()}"
        time.sleep(0.02)


def test_a_file_is_read_once_in_order_and_each_stream_ended(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(line(f"s{i % 3}", i, str(i)) for i in range(5_000)))
    run(path)
    assert texts() == [str(i) for i in range(5_000)]
    ends = {value.stream: value.time for _, value, _ in seen if value.end}
    assert ends == {"s0": 4998, "s1": 4999, "s2": 4997}
    assert len(seen) == 5_003
    assert all(stamp == value.time for _, value, stamp in seen)


def test_an_end_of_the_input_is_not_said_twice(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(line("a", 1, "x") + line("b", 2, "y", end=True))
    run(path)
    assert [(v.stream, v.text, v.end) for _, v, _ in seen] == [
        ("a", "x", False),
        ("b", "y", True),
        ("a", "", True),
    ]


def test_last_line_without_a_break_windows_breaks_and_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n\r\n" + line("a", 1, "x").strip().encode() + b"\r\n\n" * 3)
    path.write_bytes(path.read_bytes() + line("a", 2, "y").strip().encode())
    run(path)
    assert texts() == ["x", "y"]
    assert len(seen) == 3


@pytest.mark.parametrize("content", ["", "\n" * 5_000, "no\n"])
def test_a_file_without_events_ends(tmp_path: Path, content: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(content)
    run(path)
    assert len(seen) == (content == "no\n")


def test_a_line_longer_than_a_block(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    long = "x" * (3 * sources.BYTES_AT_ONCE)
    path.write_text(line("a", 1, "y") + line("a", 1, long) + line("a", 2, "z"))
    run(path)
    assert texts() == ["y", long, "z"]


def test_bad_lines_leave_on_their_own_output(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(line("a", 5, "x") + "{}\n" + line("a", 6, "y"))
    run(path)
    assert texts() == ["x", "y"]
    (bad,) = [(value, stamp) for _, value, stamp in seen if not isinstance(value, Event)]
    assert bad[0].reason == "has no stream"
    assert bad[1] == Timestamp(5)  # the time at which it came


def test_a_replay_keeps_its_pace(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(line("a", i, str(i)) for i in range(10)))
    for _ in range(5):  # a busy machine may be late, but not each time
        seen.clear()
        run(path, speed=10)
        assert texts() == [str(i) for i in range(10)]
        late = [at - seen[0][0] - i / 10 for i, (at, value, _) in enumerate(seen) if not value.end]
        if min(late) >= -0.05 and max(late) <= 0.5:
            return
    pytest.fail(f"seconds behind their turns: {late}")


def test_stop_ends_a_replay_and_its_streams(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(line("a", i * 1000, str(i)) for i in range(2)))
    job = threading.Thread(target=run, args=(path,), kwargs={"speed": 1})
    job.start()
    wait_for(["0"])
    sources.stop()
    job.join(timeout=60)
    assert not job.is_alive()
    assert texts() == ["0"]
    assert [value.end for _, value, _ in seen] == [False, True]


def test_a_folder_that_grows(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text(line("a", 1, "one"))
    job = threading.Thread(target=run, args=(tmp_path,))
    job.start()
    wait_for(["one"])
    (tmp_path / "2.jsonl").write_text(line("b", 2, "two"))
    wait_for(["one", "two"])
    (tmp_path / ".hidden").write_text(line("b", 2, "no"))
    (tmp_path / "3.jsonl.tmp").write_text(line("b", 2, "no"))
    with (tmp_path / "1.jsonl").open("a") as file:
        file.write(line("a", 3, "three"))
        file.flush()
        wait_for(["one", "two", "three"])
        half = line("a", 4, "four")
        file.write(half[:20])
        file.flush()
        time.sleep(0.3)
        file.write(half[20:])
        file.flush()
        wait_for(["one", "two", "three", "four"])
    (tmp_path / "2.jsonl").write_text("")
    time.sleep(0.5)
    (tmp_path / "2.jsonl").write_text(line("b", 5, "anew"))
    wait_for(["one", "two", "three", "four", "anew"])
    sources.stop()
    job.join(timeout=60)
    assert not job.is_alive()
    assert {(value.stream, value.end) for _, value, _ in seen[-2:]} == {("a", True), ("b", True)}


def test_until_idle_ends_a_folder_with_its_last_half_line(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text(line("a", 1, "one") + line("a", 2, "two").strip())
    began = time.monotonic()
    run(tmp_path, until_idle=0.5)
    assert texts() == ["one", "two"]
    assert 0.5 <= time.monotonic() - began < 60


def test_an_empty_folder_ends_when_idle(tmp_path: Path) -> None:
    run(tmp_path, until_idle=0.3)
    assert not seen


def test_a_restriction_splits_only_where_it_is() -> None:
    tracker = PositionTracker(sources.Position())
    at = sources.Position({"f": 3}, Timestamp(1), None, 1.0)
    assert tracker.try_claim(at)
    assert tracker.try_split(0.5) is None
    primary, residual = tracker.try_split(0) or (None, None)
    assert residual == at
    assert primary == tracker.current_restriction() == sources.Position(done=True)
    assert not tracker.try_claim(at)
    tracker.check_done()
    assert sources.Position().latest == MIN_TIMESTAMP


def test_a_tracker_that_is_left_early_says_so() -> None:
    with pytest.raises(ValueError, match="not been read to its end"):
        PositionTracker(sources.Position()).check_done()
