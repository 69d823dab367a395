"""Sinks: complete files only, one schema, nothing lost."""

import json
from functools import partial
from pathlib import Path

import apache_beam as beam
import pyarrow.parquet as pq
import pytest

from pipelines import sinks
from pipelines.events import Failed
from pipelines.job import LOCAL_RUNNER

WORDS = [
    sinks.Word("s", 1_767_603_600_000_000 + i, i + 1, f"w{i}", " ", "B-PER", 0.5)
    for i in range(1_000)
]


def run(folder: Path, *, local: bool) -> None:
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        words = pipeline | beam.Create(WORDS).with_output_types(sinks.Word)
        words | sinks.WriteRows(sinks.Word, str(folder / "words"), local)
        failed = [
            pipeline | f"Failed{i}" >> beam.Create([Failed("é", f"reason {i}", "{")])
            for i in range(2)
        ]
        tuple(failed) | sinks.WriteFailed(str(folder), local)


@pytest.mark.parametrize("local", [True, False])
def test_what_is_written_is_what_came(tmp_path: Path, local: bool) -> None:
    if local:
        (tmp_path / "words").mkdir()
    run(tmp_path, local=local)
    assert not list(tmp_path.rglob("*.tmp"))
    rows = [row for part in sinks.read_parts(tmp_path / "words") for row in part.to_pylist()]
    assert sorted(row["step"] for row in rows) == list(range(1, 1_001))
    first = min(rows, key=lambda row: row["step"])
    assert first["time"].isoformat() == "2026-01-05T09:00:00+00:00"
    assert [first[name] for name in ("stream", "token", "before", "label", "score")] == [
        "s", "w0", " ", "B-PER", 0.5,
    ]  # fmt: skip
    failed = [
        json.loads(line)
        for path in sorted(tmp_path.glob(sinks.FAILED_FILES))
        for line in path.read_text().splitlines()
    ]
    assert sorted(row["reason"] for row in failed) == ["reason 0", "reason 1"]
    assert {(row["stream"], row["input"]) for row in failed} == {("é", "{")}


def test_a_batch_that_is_written_again_is_the_same_file(tmp_path: Path) -> None:
    write = sinks._WriteBatches(
        str(tmp_path / "new" / "part-"), ".parquet", partial(sinks._parquet, sinks.SCHEMA)
    )
    for words in (WORDS[:5], WORDS[:5], WORDS[5:9]):
        write.process((0, words))
    (part,) = sinks.read_parts(tmp_path / "new")  # in order, whichever file came first
    assert part.column("step").to_pylist() == list(range(1, 10))
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_the_schema_of_the_files_is_stable(tmp_path: Path) -> None:
    path = sinks.write_part(tmp_path, WORDS[:1])
    assert pq.read_schema(path) == sinks.SCHEMA


def test_parts_get_the_next_free_number(tmp_path: Path) -> None:
    (tmp_path / "part-00001.parquet.tmp").touch()  # somebody is writing it
    names = [sinks.write_part(tmp_path, WORDS[:1]).name for _ in range(3)]
    assert names == ["part-00000.parquet", "part-00002.parquet", "part-00003.parquet"]


def test_a_part_is_closed_when_it_is_full_or_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = sinks._WriteParts(str(tmp_path), sinks.SCHEMA)
    writer.setup()
    monkeypatch.setattr(sinks, "ROWS_IN_FILE", 10)
    for word in WORDS[:9]:
        writer.process(word)
    writer.finish_bundle()
    assert not list(tmp_path.iterdir())
    writer.process(WORDS[9])
    writer.finish_bundle()
    assert [len(part) for part in sinks.read_parts(tmp_path)] == [10]
    monkeypatch.setattr(sinks, "SECONDS_IN_FILE", 0.0)
    writer.process(WORDS[10])
    writer.finish_bundle()
    writer.finish_bundle()
    assert [len(part) for part in sinks.read_parts(tmp_path)] == [10, 1]
    writer.process(WORDS[11])
    writer.teardown()
    assert [len(part) for part in sinks.read_parts(tmp_path)] == [10, 1, 1]
