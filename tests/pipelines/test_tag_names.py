"""The main job end to end: real files and processes, the small tagger, the local runner."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import sinks
from pipelines.events import event
from pipelines.tag_names import main
from pipelines.texts import tagger_of
from tests.pipelines.twins import live_and_batch

REPOSITORY = Path(__file__).parents[2]


def as_lines(events: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(fields) + "\n" for fields in events)


def rows_of(output: Path) -> list[dict[str, Any]]:
    return [row for part in sinks.read_parts(output / "words") for row in part.to_pylist()]


def failed_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "failed.jsonl").read_text().splitlines()]


def texts_of(rows: list[dict[str, Any]]) -> dict[str, str]:
    texts: dict[str, str] = defaultdict(str)
    for row in rows:
        texts[row["stream"]] += row["before"] + row["token"]
    return dict(texts)


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["stream"], row["time"], row["step"]))


def told(events: list[dict[str, Any]]) -> dict[str, str]:
    texts: dict[str, str] = defaultdict(str)
    for fields in events:
        texts[fields["stream"]] += fields["text"]
    return {stream: text.rstrip() for stream, text in texts.items()}


def run(*arguments: str, output: Path, model: str) -> int:
    return main(["--output", str(output), "--model", model, "--no-view", *arguments])


@pytest.mark.slow
def test_a_file_gives_every_word_of_every_stream_its_label(
    tmp_path: Path, model: str, sample: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(as_lines(sample))
    assert run("--input", str(source), output=tmp_path / "out", model=model) == 0
    rows = rows_of(tmp_path / "out")
    assert texts_of(rows) == told(sample)
    streams = {fields["stream"] for fields in sample}
    for stream in streams:
        steps = [row["step"] for row in rows if row["stream"] == stream]
        assert steps == list(range(1, len(steps) + 1))
    assert failed_of(tmp_path / "out") == []
    assert f"{len(streams)} streams  {len(rows):,} words" in capsys.readouterr().out
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("<article ") == len(streams)
    assert f"<dd>{len(rows):,}</dd><dt>words</dt>" in page


@pytest.mark.slow
def test_labels_are_those_of_the_whole_text(
    tmp_path: Path, model: str, sample: list[dict[str, Any]]
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(as_lines(sample))
    assert run("--input", str(source), output=tmp_path / "out", model=model) == 0
    network, feature = tagger_of(model)
    labels = network.labels or ()
    want = []
    for stream in told(sample):
        pieces = [event(fields) for fields in sample if fields["stream"] == stream]
        words: list[tuple[int, Any, Any]] = []
        memory = b""
        for piece in pieces:
            pairs, memory = feature.feed(piece, memory)
            words += [(piece.time.micros, token.text, x) for token, x in pairs]
        last = pieces[-1].time.micros
        words += [(last, token.text, x) for token, x in feature.finish(memory)]
        x = np.stack([x for _, _, x in words])
        behind = np.zeros((network.lookahead, *x.shape[1:]), x.dtype)
        y = network.unroll(np.concatenate([x, behind]))[0][network.lookahead :]
        for step, ((at, text, _), row) in enumerate(zip(words, y, strict=True), 1):
            want.append((stream, at, text, labels[row.argmax()], float(row.max()), step))
    got = [
        (row["stream"], int(row["time"].timestamp() * 1_000_000 + 0.5), row["token"], row["label"],
         row["score"], row["step"])
        for row in rows_of(tmp_path / "out")
    ]  # fmt: skip
    assert sorted(got) == sorted(want)


@pytest.mark.slow
def test_batch_and_stream_give_the_same_rows_to_the_bit(
    tmp_path: Path, model: str, sample: list[dict[str, Any]]
) -> None:
    outputs = live_and_batch(partial(run, model=model), tmp_path, sample)
    streamed, batched = (in_order(rows_of(output)) for output in outputs)
    assert len(streamed) == len(batched) > 5_000
    assert streamed == batched  # floats too: no tolerance


def test_bad_lines_are_failed_rows_and_the_others_go_on(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [
        {"stream": "a", "time": 1, "text": "Anne Ell"},
        {"stream": "a", "time": 2, "text": "iot in Bath."},
    ]
    bad = ["hello", '{"stream": "a", "text": "x"}', '{"stream": "a", "time": "soon", "text": "x"}']
    bad += ['{"stream": "a", "time": 1, "text": 5}', '{"time": 1, "text": "x"}', "[]"]
    source = tmp_path / "in.jsonl"
    source.write_text(as_lines(good[:1]) + "\n".join(bad) + "\n" + as_lines(good[1:]))
    clean = tmp_path / "clean.jsonl"
    clean.write_text(as_lines(good))
    assert run("--input", str(source), output=tmp_path / "out", model=model) == 0
    assert "6 failed" in capsys.readouterr().out
    failed = failed_of(tmp_path / "out")
    assert [row["input"] for row in failed] == bad
    assert [row["stream"] for row in failed] == ["", "a", "a", "a", "", ""]
    assert all(row["reason"] for row in failed)
    assert run("--input", str(clean), output=tmp_path / "clean", model=model) == 0
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "clean")  # their a<t> is the same
    assert "<dd>6</dd><dt>inputs failed</dt>" in (tmp_path / "out" / "index.html").read_text()


def test_bad_rows_of_a_parquet_file(tmp_path: Path, model: str) -> None:
    table = pa.table(
        {
            "stream": ["a", None, "a"],
            "time": pa.array([1, 2, None], pa.timestamp("us", tz="UTC")),
            "text": ["Anne", "x", "y"],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    source = str(tmp_path / "in.parquet")
    assert run("--batch", "--input", source, output=tmp_path / "out", model=model) == 0
    assert texts_of(rows_of(tmp_path / "out")) == {"a": "Anne"}
    reasons = {row["reason"] for row in failed_of(tmp_path / "out")}
    assert reasons == {"has no stream", "has no time"}


def test_other_writings_are_tagged_and_given_back(tmp_path: Path, model: str) -> None:
    texts = [
        "彼は東京に住んでいる。",
        "سافر إلى القاهرة",
        "😀👩‍👩‍👧 Bath",
        "e\u0301 \u200b\ufeff x\x00y\x1b",
    ]
    source = tmp_path / "in.jsonl"
    source.write_text(as_lines([{"stream": text[:3], "time": 1, "text": text} for text in texts]))
    assert run("--input", str(source), output=tmp_path / "out", model=model) == 0
    assert texts_of(rows_of(tmp_path / "out")) == {text[:3]: text for text in texts}
    assert failed_of(tmp_path / "out") == []


def test_plain_text_is_tagged_as_it_is_in_json(tmp_path: Path, model: str) -> None:
    lines = ["Anne Elliot", "", "went to Bath, in", "Somersetshire"]
    (tmp_path / "in.txt").write_text("\n".join(lines))
    whole = {"stream": "in.txt", "time": 1, "text": "\n".join(lines)}
    (tmp_path / "in.jsonl").write_text(as_lines([whole]))
    told = []
    for name in ("in.txt", "in.jsonl"):
        output = tmp_path / f"out of {name}"
        assert run("--input", str(tmp_path / name), output=output, model=model) == 0
        told.append([{**row, "time": None} for row in rows_of(output)])
    assert told[0] == told[1]
    assert texts_of(told[0]) == {"in.txt": "\n".join(lines)}


def test_a_stream_that_ends_begins_anew(tmp_path: Path, model: str) -> None:
    source = tmp_path / "in.jsonl"
    twice = [{"stream": "a", "time": t, "text": "Anne in Bath", "end": True} for t in (1, 2)]
    source.write_text(as_lines(twice))
    assert run("--input", str(source), output=tmp_path / "out", model=model) == 0
    rows = rows_of(tmp_path / "out")
    assert [row["step"] for row in rows] == [1, 2, 3, 1, 2, 3]
    first, second = ([(r["token"], r["label"], r["score"]) for r in part] for part in
                     (rows[:3], rows[3:]))  # fmt: skip
    assert first == second


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--input", "empty", "--model", "none.safetensors"], "none.safetensors"),
        (["--input", "empty", "--speed", "nan"], "--speed is nan: give a number from 0"),
        (["--input", "empty", "--speeed=2"], "there is no option --speeed: see --help"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    before = sorted(tmp_path.rglob("*"))
    if "--model" not in arguments:
        arguments = [*arguments, "--model", model]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tag-names: ")
    assert err.count("\n") == 1
    assert says in err
    assert sorted(tmp_path.rglob("*")) == before


def test_overwrite_replaces_only_what_a_run_writes(tmp_path: Path, model: str) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    for text in ("Anne", "Bath"):
        source.write_text(as_lines([{"stream": "a", "time": 1, "text": text}]))
        assert run("--overwrite", "--input", str(source), output=output, model=model) == 0
        assert texts_of(rows_of(output)) == {"a": text}
    assert (output / "notes.txt").read_text() == "mine"


shown: list[Any] = []


def show_and_interrupt(word: Any) -> None:
    shown.append(word)
    if len(shown) in (10, 20):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_second_interrupt_aborts_and_keeps_what_was_done(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(as_lines([{"stream": "a", "time": t, "text": "Anne "} for t in range(50)]))
    monkeypatch.setattr("pipelines.live.show_word", show_and_interrupt)
    before = signal.getsignal(signal.SIGINT)  # ignored where the tests run in the background
    assert run("--input", str(source), output=tmp_path / "out", model=model) == 130
    assert len(shown) == 20
    assert len(rows_of(tmp_path / "out")) >= 19  # all but perhaps the word that was being shown
    assert (tmp_path / "out" / "index.html").exists()
    assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().err == ""


# As a person runs it: a process of its own, input that comes while it runs, signals.


class Job:
    """The command in a process; whatever it says is kept."""

    def __init__(self, output: Path, model: str, *arguments: str) -> None:
        self.output = output
        command = [sys.executable, "-m", "beam_rnn", "tag-names", "--model", model]
        self.process = subprocess.Popen(
            [*command, "--output", str(output), *arguments],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def say(self, *events: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(as_lines(list(events)))
        self.process.stdin.flush()

    def wait_until(self, happened: Callable[[], bool]) -> None:
        until = time.monotonic() + 60
        while not happened():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < until, "it did not happen in a minute"
            time.sleep(0.05)

    def end(self, signal_: int | None = signal.SIGINT) -> tuple[str, str]:
        if signal_ is not None:
            self.process.send_signal(signal_)
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        return out, err


@pytest.fixture
def start(model: str, tmp_path: Path) -> Iterator[Callable[..., Job]]:
    jobs: list[Job] = []

    def start_job(*arguments: str) -> Job:
        jobs.append(Job(tmp_path / "out", model, *arguments))
        return jobs[-1]

    yield start_job
    for job in jobs:
        if job.process.poll() is None:
            job.process.kill()
            job.process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_standard_input_live_then_a_signal(
    start: Callable[..., Job], sample: list[dict[str, Any]], signal_: int
) -> None:
    job = start("--input", "-")
    marker = '{"stream": "last", "time": "never"}\n'
    assert job.process.stdin
    for events in (sample[:300], sample[300:600]):
        job.say(*events)
        # A bad line shows in its file as soon as it is read: what came before it was read too.
        seen = len(failed_of(job.output)) if (job.output / "failed.jsonl").exists() else 0
        job.process.stdin.write(marker)
        job.process.stdin.flush()
        job.wait_until(
            lambda seen=seen: (
                (job.output / "failed.jsonl").exists() and len(failed_of(job.output)) > seen
            )
        )
    out, err = job.end(signal_)
    rows = rows_of(job.output)
    assert texts_of(rows) == told(sample[:600])
    assert "2 failed" in out
    assert "Traceback" not in err
    assert (job.output / "index.html").exists()
    assert not list(job.output.rglob("*.tmp"))


@pytest.mark.slow
def test_standard_input_that_ends(start: Callable[..., Job], sample: list[dict[str, Any]]) -> None:
    job = start("--input", "-", "--no-view")
    job.say(*sample[:200])
    out, _ = job.end(None)  # communicate() closes its standard input
    assert texts_of(rows_of(job.output)) == told(sample[:200])
    assert "0 failed" in out


@pytest.mark.slow
def test_a_folder_that_grows_then_a_signal(
    start: Callable[..., Job], sample: list[dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.jsonl").write_text(as_lines(sample[:100]) + "bad 1\n")
    job = start("--input", str(folder))
    failed = job.output / "failed.jsonl"
    job.wait_until(lambda: failed.exists() and len(failed_of(job.output)) == 1)
    (folder / "2.jsonl").write_text(as_lines(sample[100:200]) + "bad 2\n")
    job.wait_until(lambda: len(failed_of(job.output)) == 2)
    with (folder / "2.jsonl").open("a") as file:
        file.write(as_lines(sample[200:300]) + "bad 3\n")
    job.wait_until(lambda: len(failed_of(job.output)) == 3)
    job.end()
    assert texts_of(rows_of(job.output)) == told(sample[:300])


@pytest.mark.slow
def test_a_replay_is_seen_while_it_runs(start: Callable[..., Job], tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(
        as_lines([{"stream": "a", "time": t, "text": f"word{t} "} for t in range(0, 10_000, 10)])
    )
    job = start("--input", str(source), "--speed", "20")
    assert job.process.stdout
    line = ""
    while " words  " not in line:
        line = job.process.stdout.readline()
        assert line, "the job ended before it showed a word"
    job.end()
    words = rows_of(job.output)
    assert 0 < len(words) < 1_000
    assert texts_of(words)["a"].startswith("word0 word10 word20")
