"""What every application does alike: sources, what bad input gets, what is written."""

import importlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_rnn.cli import PIPELINES
from pipelines import annotate_dna, sinks
from pipelines.application import Application

pytest.importorskip("cv2", reason="the extra apps is not installed")

FIELDS = {"detect-running": "joints", "transcribe-speech": "sound"}


def application_of(command: str) -> Application:
    application = importlib.import_module(f"pipelines.{command.replace('-', '_')}").APPLICATION
    assert isinstance(application, Application)
    return application


ALL = [*map(application_of, PIPELINES), annotate_dna.SPLICE]
each = pytest.mark.parametrize("application", ALL, ids=[*PIPELINES, "splice"])


def run(application: Application, *arguments: str, output: Path) -> int:
    own = ["--splice"] if application is annotate_dna.SPLICE else []
    return application.main(["--output", str(output), "--no-view", *own, *arguments])


def failed_of(output: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (output / "failed.jsonl").read_text().splitlines()]


def rows_of(application: Application, output: Path) -> list[Any]:
    return [
        row
        for name, kind in application.rows.items()
        for row in sinks.read_rows(output / name, kind)
    ]


@pytest.mark.slow
@each
def test_nothing_and_broken_lines_give_no_rows(application: Application, tmp_path: Path) -> None:
    broken = ["hello", "[1]", '{"stream": "a"', '{"stream": "a", "time": 1, "end": 7}', "\ufffd"]
    broken += ['{"time": 1}', '{"stream": "", "time": 1, "text": "A", "joints": [], "sound": ""}']
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "broken.jsonl").write_bytes("\n".join(broken).encode()[:-3] + b"\xff\n")
    for name, failures in (("empty", 0), ("broken", len(broken))):
        output = tmp_path / name
        assert run(application, "--input", f"{output}.jsonl", output=output) == 0
        assert rows_of(application, output) == []
        failed = failed_of(output)
        assert len(failed) == failures
        assert all(row["reason"] for row in failed)
        assert f"<dd>{failures}</dd><dt>inputs failed</dt>" in (output / "index.html").read_text()


@pytest.mark.slow
@each
def test_an_archive_without_rows_and_bad_rows(application: Application, tmp_path: Path) -> None:
    field = FIELDS.get(application.name, "text")
    kind = pa.list_(pa.float32()) if field == "joints" else pa.string()
    empty = pa.table({"stream": pa.array([], "string"), "time": pa.array([], "float64")})
    empty = empty.append_column(field, pa.array([], kind))
    bad = pa.table({"stream": [None, "a"], "time": [1.0, None], field: pa.array([None] * 2, kind)})
    for name, table in (("empty", empty), ("bad", bad)):
        output = tmp_path / name
        pq.write_table(table, f"{output}.parquet")
        assert run(application, "--batch", "--input", f"{output}.parquet", output=output) == 0
        assert rows_of(application, output) == []
        assert [row["stream"] for row in failed_of(output)] == ["", "a"][: len(table)]


@each
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--input", "none.jsonl"], "the input none.jsonl cannot be read"),
        (["--batch", "--input", "text"], "text is not a Parquet file"),
        (["--batch", "--input", "empty"], "empty is not a Parquet file"),
        (["--batch", "--input", "columns.parquet"], "columns.parquet has no column time"),
        (["--batch", "--input", "-"], "--batch reads a Parquet file"),
        (["--batch", "--input", "text", "--answers", "kafka://h/t"], "leave --batch out"),
        (["--input", "kafka://h:1/t", "--speed", "2"], "--speed is for files"),
        (["--input", "kafka://h:1/"], "names no topic"),
        (["--input", "empty.jsonl", "--speed", "-1"], "--speed is -1.0: give a number from 0"),
        (["--input", "empty.jsonl", "--output", "text/out"], "text/out cannot be written"),
        (["--input", "empty.jsonl", "--output", "earlier"], "holds an earlier run"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(
    application: Application,
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "empty.jsonl"):
        Path(name).touch()
    Path("text").write_text("no Parquet\n")
    Path("earlier").mkdir()
    Path("earlier/failed.jsonl").touch()
    pq.write_table(pa.table({"stream": ["a"]}), "columns.parquet")
    before = sorted(tmp_path.rglob("*"))
    assert run(application, *arguments, output=Path("out")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{application.name}: ")
    assert err.count("\n") == 1
    assert says in err
    assert sorted(tmp_path.rglob("*")) == before


@each
@pytest.mark.parametrize("broken", [b"", b"no weights", b"\x08\0\0\0\0\0\0\0{}      "])
def test_weights_that_are_none_are_refused(
    application: Application, broken: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, source = tmp_path / "broken.safetensors", tmp_path / "in.jsonl"
    weights.write_bytes(broken)
    source.touch()
    option = "--splice-model" if application is annotate_dna.SPLICE else "--model"
    arguments = [option, str(weights), "--input", str(source)]
    assert run(application, *arguments, output=tmp_path / "out") == 2
    assert str(weights) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
