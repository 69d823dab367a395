"""Files of sound as lines: side by side, as they grow, and what is missing of them."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile", reason="the extra apps is not installed")

from pipelines.recordings import CHUNK, Recordings, opened, samples_of, sound_in  # noqa: E402

RATE = 8000
LONG_AGO = 1_000_000_000


def write(path: Path, samples: Any, at: float = LONG_AGO) -> None:
    soundfile.write(path, samples, RATE, "PCM_16")
    os.utime(path, (at, at))


def read(source: Recordings, offsets: dict[str, int], closing: bool = False) -> list[Any]:
    """The events that are read on, after which the offsets are moved."""
    lines, _ = source.read(offsets, closing)
    for line in lines:
        offsets[line.file] = line.end
    return [json.loads(line.data) for line in lines if line.data]


def heard(events: list[Any], stream: str) -> np.ndarray:
    parts = [samples_of(e["sound"]) for e in events if e["stream"] == stream and "sound" in e]
    return np.frombuffer(b"".join(parts), "<i2")


def ramp(number: int) -> np.ndarray:
    return np.arange(number).astype(np.int16)


def test_files_are_told_side_by_side_and_end(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", ramp(4_100))
    write(tmp_path / "b.flac", ramp(2_000))
    (tmp_path / ".hidden.wav").write_bytes(b"")
    source, offsets = Recordings(str(tmp_path), RATE), dict[str, int]()
    events = read(source, offsets)
    assert [event["stream"] for event in events[:4]] == ["a.wav", "b.flac"] * 2
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    assert [event["stream"] for event in events if event.get("end")] == ["b.flac", "a.wav"]
    assert np.array_equal(heard(events, "a.wav"), ramp(4_100))
    assert np.array_equal(heard(events, "b.flac"), ramp(2_000))
    assert read(source, offsets) == read(source, offsets, closing=True) == []


def test_a_file_is_read_as_it_grows(tmp_path: Path) -> None:
    path, now = tmp_path / "a.wav", 4e9  # later than any clock: just written
    source, offsets = Recordings(str(tmp_path), RATE), dict[str, int]()
    path.write_bytes(b"RIFF")  # its header is being written
    os.utime(path, (now, now))
    assert read(source, offsets) == []
    write(path, ramp(1_900), now)
    first = read(source, offsets)
    assert len(heard(first, "a.wav")) == 1_600  # whole chunks
    write(path, ramp(2_500), now)
    second = read(source, offsets)
    write(path, ramp(2_500))  # since long
    last = read(source, offsets)
    assert np.array_equal(heard(first + second + last, "a.wav"), ramp(2_500))
    assert [e.get("end", False) for e in first + second + last] == [False] * 4 + [True]
    # What is appended later is another sequence.
    write(path, ramp(3_000), LONG_AGO + 9)
    more = read(source, offsets)
    assert np.array_equal(heard(more, "a.wav"), ramp(3_000)[2_500:])
    assert more[-1]["end"]


def test_a_long_file_is_read_in_parts(tmp_path: Path) -> None:
    write(tmp_path / "a.flac", ramp(15 * RATE))
    source, offsets, parts = Recordings(str(tmp_path / "a.flac"), RATE), dict[str, int](), []
    while events := read(source, offsets):
        parts.append(events)
    assert len(parts) == 4
    whole = [event for events in parts for event in events]
    assert np.array_equal(heard(whole, "a.flac"), ramp(15 * RATE))
    assert len(sound_in(str(tmp_path / "a.flac"), RATE, 3.0)) == 3 * RATE


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_long_file_that_is_cut_off_is_read_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    noise = np.random.default_rng(0).integers(-9_000, 9_000, 20 * RATE).astype(np.int16)
    write(path, noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    source, offsets, events = Recordings(str(path), RATE), dict[str, int](), list[Any]()
    while more := read(source, offsets):
        events += more
    *_, failed, end = events
    assert "stops in the middle, after 13" in failed["sound"]["failed"]
    assert "of 20.0 seconds" in failed["sound"]["failed"]
    assert end["end"]
    got = heard(events[:-2], path.name)
    assert 13 * RATE < len(got) < 14 * RATE
    assert np.array_equal(got, noise[: len(got)])
    assert len(events) - 2 == -(-len(got) // round(CHUNK * RATE))


def test_what_a_file_is_not(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", ramp(100))
    opened(str(tmp_path / "a.wav"), RATE).close()
    with pytest.raises(ValueError, match="expected 16000: say --rate 8000"):
        opened(str(tmp_path / "a.wav"), 16_000)
