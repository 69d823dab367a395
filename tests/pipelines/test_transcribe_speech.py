"""What is said, end to end with the committed weights: files, folders, PCM, the batch twin."""

import base64
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile", reason="the extra apps is not installed")
pytest.importorskip("matplotlib", reason="the extra apps is not installed")

import beam_rnn as rnn  # noqa: E402
from pipelines import sinks, sources, speech  # noqa: E402
from pipelines.transcribe_speech import APPLICATION, VOICE_MODEL, main  # noqa: E402
from tests.pipelines.twins import live_and_batch  # noqa: E402

ROOT = Path(__file__).parents[2]
SOUND = soundfile.read(APPLICATION.sample, dtype="int16")[0]
SAID = [speech.DIGITS[int(digit)] for digit in "409673582061"]


def run(*arguments: str, output: Path) -> int:
    return main(["--output", str(output), "--no-view", *arguments])


def rows_of(output: Path, folder: str = "texts") -> list[dict[str, Any]]:
    row = APPLICATION.rows[folder]
    parts = sinks.read_parts(output / folder, sinks.schema_of(row))
    rows = [row for part in parts for row in part.to_pylist()]
    return sorted(rows, key=lambda row: (row["stream"], row["step"], row.get("final", False)))


def lines_of(output: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / name).read_text().splitlines()]


def words_of(output: Path) -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for line in lines_of(output, "words.jsonl"):
        words.setdefault(line["stream"], []).append(line["word"])
    return words


def events_of(stream: str, samples: Any, size: int, start: float = 0) -> list[dict[str, Any]]:
    """Chunks of a sound, as a JSON line has them, and its end."""
    events = [
        {
            "stream": stream,
            "time": start + at / 8000,
            "sound": base64.b64encode(samples[at : at + size].tobytes()).decode(),
            "end": False,
        }
        for at in range(0, len(samples), size)
    ]
    return [*events, {"stream": stream, "time": start + len(samples) / 8000, "end": True}]


def write_lines(path: Path, events: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))


def test_the_sample(tmp_path: Path) -> None:
    assert run(output=tmp_path / "out") == 0
    words = lines_of(tmp_path / "out", "words.jsonl")
    assert [line["word"] for line in words] == SAID
    times = [line["time"] for line in words]
    assert times == sorted(times)
    texts = rows_of(tmp_path / "out")
    assert any(not row["final"] for row in texts)
    assert " ".join(row["text"] for row in texts if row["final"]).split() == SAID
    voice = lines_of(tmp_path / "out", "voice.jsonl")
    # Each word is heard while somebody speaks, or a moment later.
    for at in times:
        assert any(line["start"] <= at <= line["stop"] + 0.4 for line in voice)
    spoken = sum(line["stop"] - line["start"] for line in voice)
    assert 3 < spoken < len(SOUND) / 8000 - 2  # not in the gaps
    assert (tmp_path / "out" / "speech.png").stat().st_size > 20_000
    assert lines_of(tmp_path / "out", "failed.jsonl") == []
    # The same, without a pipeline.
    network, feature = rnn.load(str(APPLICATION.model)), speech.feature_of()
    pairs, memory = feature.feed(SOUND, b"")
    y, _ = network.unroll(np.stack([x for _, x in pairs + feature.finish(memory)]))
    best = y.argmax(axis=1)
    new = best[np.flatnonzero(np.diff(best, prepend=0))]
    assert [network.labels[label].strip() for label in new if label] == SAID  # type: ignore[index]


@pytest.mark.slow
def test_fifty_streams_live_and_in_batch_are_the_same_to_the_bit(tmp_path: Path) -> None:
    streams = [
        events_of(f"call {n}", SOUND[n * 1_100 : n * 1_100 + 8_000 + 97 * n], 700 + 31 * n, n / 99)
        for n in range(50)
    ]
    events = sorted((e for own in streams for e in own), key=lambda event: event["time"])
    live, batch = live_and_batch(run, tmp_path, events)
    for folder in ("texts", "voice"):
        rows = rows_of(live, folder)
        assert rows == rows_of(batch, folder)  # floats too: no tolerance
        assert len({row["stream"] for row in rows}) == 50
    assert words_of(live) == words_of(batch)
    for output in (live, batch):
        assert (output / "failed.jsonl").read_text() == ""
    # And of one stream, alone.
    own, feature = SOUND[7 * 1_100 : 7 * 1_100 + 8_000 + 97 * 7], speech.voice_of()
    pairs, memory = feature.feed(own, b"")
    frames = np.stack([x for _, x in pairs + feature.finish(memory)])
    y, _ = rnn.load(str(VOICE_MODEL)).unroll(frames)
    scores = [r["score"] for r in rows_of(live, "voice") if r["stream"] == "call 7"]
    np.testing.assert_array_equal(np.float32(scores), y[:, 0])


def test_another_rate_is_resampled(tmp_path: Path) -> None:
    wave = tmp_path / "sixteen.wav"
    twice = np.repeat(SOUND.astype(float), 2)
    twice = (twice + np.roll(twice, 1)) / 2  # between two samples their mean
    soundfile.write(wave, twice.astype(np.int16), 16_000)
    assert run("--rate", "16000", "--input", str(wave), output=tmp_path / "out") == 0
    heard = words_of(tmp_path / "out")["sixteen.wav"]
    assert sum(a == b for a, b in zip(heard, SAID, strict=False)) >= 10


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.wav", b"", "an empty file"),
        ("text.wav", b"not a recording", "no WAV or FLAC file that can be read"),
        ("cut.flac", APPLICATION.sample.read_bytes()[:30], "no WAV or FLAC file that can be read"),
        ("silent.wav", SOUND[:0], "a file without sound"),
        ("fast.wav", (SOUND, 16_000), "16000 samples per second, expected 8000: say --rate 16000"),
        ("stereo.wav", np.stack([SOUND, SOUND], 1), "sound of 2 channels, expected one"),
        ("missing.wav", None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_says_so_in_one_line(
    name: str, content: Any, says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        samples, rate = content if isinstance(content, tuple) else (content, 8000)
        soundfile.write(path, samples, rate)
    assert run("--input", str(path), output=tmp_path / "out") == 2
    err = [line for line in capfd.readouterr().err.splitlines() if "transcribe-speech: " in line]
    assert len(err) == 1
    assert says in err[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_file_that_stops_in_the_middle_is_heard_up_to_there(kind: str, tmp_path: Path) -> None:
    whole, cut = tmp_path / f"whole.{kind}", tmp_path / f"cut.{kind}"
    soundfile.write(whole, SOUND, 8000)
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    assert run("--input", str(cut), output=tmp_path / "out") == 0
    assert len(words_of(tmp_path / "out")[cut.name]) >= 4
    assert rows_of(tmp_path / "out")[-1]["final"]
    (failed,) = lines_of(tmp_path / "out", "failed.jsonl")
    assert failed["stream"] == cut.name
    assert "the file stops in the middle, after" in failed["reason"]
    assert f"of {len(SOUND) / 8000:.1f} seconds" in failed["reason"]


def test_bad_chunks_fail_and_the_others_go_on(tmp_path: Path) -> None:
    own = events_of("a", SOUND[:24_000], 800)
    bad: list[dict[str, Any]] = [
        {"stream": "a", "time": 1, "sound": "AAA="},  # two bytes: a sample, which is heard
        {"stream": "a", "time": 1, "sound": "AAAA"},
        {"stream": "a", "time": 1, "sound": "no base64"},
        {"stream": "a", "time": 1, "sound": [1, 2]},
        {"stream": "a", "time": 1},
        {"stream": "b", "time": 1, "end": True},
        {"stream": "c", "time": 1, "sound": base64.b64encode(b"RIFF0000").decode()},
    ]
    write_lines(tmp_path / "clean.jsonl", own)
    write_lines(tmp_path / "mixed.jsonl", [*own[:9], *bad[1:], *own[9:]])
    assert run("--input", str(tmp_path / "clean.jsonl"), output=tmp_path / "clean") == 0
    assert run("--input", str(tmp_path / "mixed.jsonl"), output=tmp_path / "mixed") == 0
    assert rows_of(tmp_path / "clean") == [
        row for row in rows_of(tmp_path / "mixed") if row["stream"] == "a"
    ]
    reasons = " ".join(row["reason"] for row in lines_of(tmp_path / "mixed", "failed.jsonl"))
    for part in ("3 bytes of sound", "not base64", "a list", "has no sound", "header of a WAV"):
        assert part in reasons


def test_a_stream_that_stops_without_an_end_is_answered(tmp_path: Path) -> None:
    write_lines(tmp_path / "in.jsonl", events_of("a", SOUND[:16_000], 800)[:-1])
    assert run("--input", str(tmp_path / "in.jsonl"), output=tmp_path / "out") == 0
    assert rows_of(tmp_path / "out")[-1]["final"]
    assert len(words_of(tmp_path / "out")["a"]) >= 2


@pytest.mark.slow
def test_a_folder_that_grows(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    soundfile.write(folder / "first.flac", SOUND[:24_000], 8000)
    (folder / "broken.wav").write_bytes(b"no sound")
    (folder / "notes.txt").write_text("no recording")

    def grow() -> None:
        with soundfile.SoundFile(folder / "second.wav", "w", 8000, 1, "PCM_16") as file:
            for at in range(0, len(SOUND), 8_000):
                file.write(SOUND[at : at + 8_000])
                file.flush()
                time.sleep(0.1)

    writer = threading.Thread(target=grow)
    writer.start()
    code = run("--input", str(folder), "--until-idle", "2.5", output=tmp_path / "out")
    writer.join()
    assert code == 0
    words = words_of(tmp_path / "out")
    assert words["second.wav"] == SAID
    assert words["first.flac"] == SAID[: len(words["first.flac"])]
    assert set(words) == {"first.flac", "second.wav"}
    (failed,) = lines_of(tmp_path / "out", "failed.jsonl")
    assert failed["stream"] == "broken.wav"


@pytest.mark.slow
def test_pcm_on_standard_input_is_written_down_while_it_comes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "beam_rnn", "transcribe-speech", "--input", "-", "--output"]
    process = subprocess.Popen(
        [*command, str(tmp_path / "out")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=False,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    data = SOUND.tobytes()
    process.stdin.write(data[: len(data) // 2])
    process.stdin.flush()
    assert b"four" in process.stdout.readline()  # a partial text, while the rest has not come
    process.stdin.write(data[len(data) // 2 :] + b"\0")  # half a sample
    process.stdin.close()
    process.stdout.read()
    assert process.wait(120) == 0
    assert words_of(tmp_path / "out") == {"standard input": SAID}
    assert lines_of(tmp_path / "out", "failed.jsonl") == []


def test_another_network_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = APPLICATION.model.with_name("annotate_dna.safetensors")
    assert run("--model", str(other), output=tmp_path / "out") == 2
    assert "hears no speech" in capsys.readouterr().err


def test_when_somebody_speaks() -> None:
    track = list(enumerate([0.1, 0.6, 0.4, 0.3, 0.2, 0.9, 0.5]))
    assert speech.spells_of((float(at), score) for at, score in track) == [(1, 3), (5, 6.032)]


@pytest.fixture(autouse=True)
def _sources_go_on() -> None:
    sources.start()
