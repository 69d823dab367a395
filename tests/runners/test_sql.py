"""Beam SQL, in a worker in Java, on rows of answers: what it says is what Python counts."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
from apache_beam.transforms.sql import SqlTransform
from apache_beam.transforms.window import FixedWindows, GlobalWindows, TimestampedValue

import beam_rnn as rnn
from beam_rnn.features import TokenIds, Words
from tests.runners import harness, install, java_io
from tests.runners.harness import Runner
from tests.runners.services import Service

MODELS = install.REPOSITORY / "models"
TAGGER = str(MODELS / "tag_names.safetensors")
SPELLER = str(MODELS / "pronounce.safetensors")
_NETS: list[Any] = [rnn.load(TAGGER), rnn.load(SPELLER)]
WORDS, LETTERS = Words(_NETS[0].vocabulary), TokenIds(_NETS[1].encoder.vocabulary)
SAID = [
    ("ann", "Ann Lee left London for", 3),
    ("ann", " Paris.", 50),
    ("bob", "Bob Dylan sang in Paris.", 70),
    ("cid", "nobody came", 80),
]
MINUTE = 60


@pytest.fixture(scope="module")
def expansion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with java_io.sql(tmp_path_factory.mktemp("sql")) as address:
        yield address


def words_in(p: beam.Pipeline) -> beam.PCollection[Any]:
    """A row for each word of what was said, with its label, in windows of a minute."""
    return (
        p
        | beam.Create(SAID)
        | beam.MapTuple(lambda who, text, at: TimestampedValue(beam.Row(who=who, text=text), at))
        | beam.Map(lambda row: row).with_output_types(
            beam.typehints.row_type.RowTypeConstraint.from_fields([("who", str), ("text", str)])
        )
        | beam.WindowInto(FixedWindows(MINUTE))
        | rnn.OnRows(rnn.Tag(TAGGER, x=WORDS), stream="who", x="text")
    )


def spoken_in(p: beam.Pipeline) -> beam.PCollection[Any]:
    """A row with the sounds of each of a few words: arrays of strings."""
    speak = rnn.Translate(SPELLER, x=LETTERS, end=lambda row: True)
    words = p | beam.Create([beam.Row(word=word) for word in ("Paris", "London", "beam")])
    lower = words | beam.Select(word="word", x=lambda row: row.word.lower())
    return lower | rnn.OnRows(speak, stream="word", x="x")


@pytest.mark.parametrize("runner", ["Prism"], indirect=True)
def test_sql_counts_in_windows_and_joins_rows_of_parquet(
    runner: Runner, expansion: str, tmp_path: Path
) -> None:
    harness.fn_api().run(lambda p: spoken_in(p) | beam.io.WriteToParquet(str(tmp_path / "spoken")))
    written = [row for file in tmp_path.iterdir() for row in pq.read_table(file).to_pylist()]
    sounds = {row["word"]: row["output"] for row in written}

    def ask(p: beam.Pipeline) -> Any:
        words = words_in(p)
        spoken = p | beam.io.ReadFromParquet(str(tmp_path / "spoken*"), as_rows=True)
        plain = words | beam.Select("who", "text", "label", "score")
        counted = words | "Count" >> SqlTransform(
            "SELECT label, COUNT(*) AS times, MAX(score) AS best FROM PCOLLECTION GROUP BY label",
            expansion_service=expansion,
        )
        joined = {"words": words | "Whole" >> _whole(), "spoken": spoken} | "Join" >> SqlTransform(
            "SELECT who, `text`, output[1] AS sound, CARDINALITY(output) AS sounds "
            "FROM words JOIN spoken ON `text` = word",
            expansion_service=expansion,
        )
        told = [
            rows | name >> beam.Map(lambda row, name: (name, *row), name) | name + "At" >> _window()
            for name, rows in (("words", plain), ("counted", counted), ("joined", joined))
        ]
        alike = [rows | f"Rewindow {i}" >> _whole() for i, rows in enumerate(told)]
        return alike | beam.Flatten()

    found = defaultdict(list)
    for (name, *row), end in runner.collect(ask):
        found[name].append((*row, end))
    assert {word for _, word, *_ in found["words"]} >= {"Lee", "London", "Paris", ".", "came"}
    times: Counter[Any] = Counter()
    best: dict[Any, float] = defaultdict(float)
    for _, _, label, score, end in found["words"]:
        times[label, end] += 1
        best[label, end] = max(best[label, end], score)
    assert {label for label, _ in times} >= {"O", "I-PER", "I-LOC"}
    assert sorted(found["counted"]) == sorted(
        (label, count, best[label, end], end) for (label, end), count in times.items()
    )
    assert sorted(row[:-1] for row in found["joined"]) == sorted(
        (who, text, sounds[text][0], len(sounds[text]))
        for who, text, *_ in found["words"]
        if text in sounds
    )


def _whole() -> beam.PTransform:
    return beam.WindowInto(GlobalWindows())


def _window() -> beam.PTransform:
    """Element -> (element, end of its window in seconds)."""
    return beam.Map(lambda x, window=beam.DoFn.WindowParam: (x, window.end.micros // 10**6))


def test_the_example_of_the_page_runs(
    prism: tuple[Service, int],
    expansion: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = install.REPOSITORY / "docs" / "cookbook.md"
    (code,) = re.findall(r"^```python sql\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    (said,) = re.findall(r"^```text sql\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    code = code.replace("localhost:8073", f"localhost:{prism[1]}")
    code = code.replace("localhost:8097", expansion)
    monkeypatch.chdir(install.REPOSITORY)
    exec(compile(code, str(page), "exec"), {"__name__": "__main__"})
    assert set(said.splitlines()) <= set(capfd.readouterr().out.splitlines())
