"""Python, RunInference, the command line, Beam YAML and Java give the same words and scores."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

import beam_rnn as rnn
from beam_rnn.features import Words
from tests.runners import harness, install
from tests.runners.services import Service, free_port, installed, stopped

MODEL = str(install.REPOSITORY / "models" / "tag_names.safetensors")
NET: Any = rnn.load(MODEL)
WORDS = Words(NET.vocabulary)
RUNNER = harness.LOCAL["FnApiRunner"]()
SOURCES = install.REPOSITORY / "pipelines" / "java" / "src" / "main" / "java"
SAMPLE = install.REPOSITORY / "pipelines" / "sample" / "texts.jsonl"

# stream -> (token, label, score) of each of its words; scores are float32.
Answers = dict[str, list[tuple[str, str, np.float32]]]


def texts() -> dict[str, str]:
    """Ten texts of the sample, each whole, so that there is no order to be kept."""
    found: dict[str, str] = defaultdict(str)
    for line in SAMPLE.read_text("utf-8").splitlines():
        event = json.loads(line)
        found[event["stream"]] += event["text"]
    return dict(sorted(found.items())[:10])


TEXTS = texts()


def in_order(rows: list[dict[str, Any]], stream: str, token: str = "text") -> Answers:
    """The rows of words as answers."""
    answers: Answers = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["step"]):
        answers[row[stream]].append((row[token], row["label"], np.float32(row["score"])))
    return dict(answers)


def rows_of(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """The rows of Parquet files."""
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


@pytest.fixture(scope="module")
def expected() -> Answers:
    """What Tag says in Python."""
    answers = RUNNER.collect(lambda p: p | beam.Create(TEXTS.items()) | rnn.Tag(MODEL, x=WORDS))
    rows = [
        {"stream": stream, **word.input._asdict(), **word._asdict()} for stream, word in answers
    ]
    return in_order(rows, "stream")


def test_the_network_itself(expected: Answers) -> None:
    assert len(expected) == 10
    for stream, text in TEXTS.items():
        pieces, memory = WORDS.feed(text)
        pieces += WORDS.finish(memory)
        zeros = np.zeros((NET.lookahead, WORDS.width), np.int64)
        y, _ = NET.unroll(np.concatenate([np.stack([x for _, x in pieces]), zeros]))
        assert expected[stream] == [
            (token.text, NET.labels[row.argmax()], row.max())
            for (token, _), row in zip(pieces, y[NET.lookahead :], strict=True)
        ]


def test_run_inference(expected: Answers) -> None:
    tokens = {}
    for stream, text in TEXTS.items():
        pieces, memory = WORDS.feed(text)
        tokens[stream] = [token.text for token, _ in [*pieces, *WORDS.finish(memory)]]
    sequences = [(stream, WORDS.rows(words)) for stream, words in tokens.items()]
    handler = KeyedModelHandler(rnn.RnnModelHandler(MODEL))
    for stream, result in RUNNER.collect(
        lambda p: p | beam.Create(sequences) | RunInference(handler)
    ):
        assert expected[stream] == [
            (token, tagged.label, np.float32(tagged.score))
            for token, tagged in zip(tokens[stream], result.inference, strict=True)
        ]


@pytest.mark.parametrize("service", [None, "prism", "flink"])
def test_the_command_line(
    expected: Answers, tmp_path: Path, service: str | None, request: pytest.FixtureRequest
) -> None:
    """In its own process, and on a job server."""
    where = []
    if service is not None:
        _, port = request.getfixturevalue(service)
        where = ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}"]
        where += ["--environment_type=LOOPBACK"]
    if service == "flink":
        where += ["--parallelism=1", "--checkpointing_interval=200"]
        where += ["--finish_bundle_before_checkpointing", "--shutdown_sources_after_idle_ms=0"]
    source = tmp_path / "texts.jsonl"
    time = "2026-01-02T03:04:05Z"
    events = [{"stream": stream, "time": time, "text": text} for stream, text in TEXTS.items()]
    source.write_text("".join(json.dumps(event) + "\n" for event in events))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "beam_rnn", "tag-names", "--no-view", "--input", str(source)]
    subprocess.run(
        [*command, "--output", str(out), *where], cwd=install.REPOSITORY, check=True, timeout=300
    )
    rows = rows_of((out / "words").glob("*.parquet"))
    assert in_order(rows, "stream", "token") == expected


def test_beam_yaml(expected: Answers, tmp_path: Path) -> None:
    main = pytest.importorskip("apache_beam.yaml.main")
    source = tmp_path / "texts.parquet"
    columns = {"user": list(TEXTS), "text": list(TEXTS.values())}
    pq.write_table(pa.table(columns), source)
    tag = {"model": MODEL, "stream": "user", "x": "text", "feature": "Words"}
    transforms = [
        {"type": "ReadFromParquet", "config": {"path": str(source)}},
        {"type": "RnnTag", "config": tag},
        {"type": "WriteToParquet", "config": {"path": str(tmp_path / "words")}},
    ]
    providers = [{"include": str(install.REPOSITORY / "beam_rnn" / "providers.yaml")}]
    file = tmp_path / "names.yaml"
    pipeline = {"type": "chain", "transforms": transforms}
    file.write_text(json.dumps({"pipeline": pipeline, "providers": providers}))
    runner = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
    main.run([f"--yaml_pipeline_file={file}", f"--runner={runner}"])
    assert in_order(rows_of(tmp_path.glob("words*")), "user") == expected


def test_java(expected: Answers, tmp_path: Path, prism: tuple[Service, int]) -> None:
    """A Java pipeline on Prism: its worker in Java, the transform's in Python."""
    lib = installed(install.jars("java-beam"))
    classes = tmp_path / "classes"
    path = f"{lib}{os.sep}*"
    java = [str(file) for file in SOURCES.rglob("*.java")]
    subprocess.run(["javac", "-d", str(classes), "-cp", path, *java], check=True, timeout=300)
    source = tmp_path / "texts.jsonl"
    events = [{"user": stream, "text": text} for stream, text in TEXTS.items()]
    source.write_text("".join(json.dumps(event) + "\n" for event in events))
    port = free_port()
    expansion = Service(
        "python-expansion",
        [
            *["env", f"PYTHONPATH={install.REPOSITORY}", sys.executable, "-m"],
            *["apache_beam.runners.portability.expansion_service_main", f"--port={port}"],
            *["--fully_qualified_name_glob=beam_rnn.external.*", "--serve_loopback_worker"],
        ],
        tmp_path,
    )
    with stopped(expansion):
        expansion.wait_for_port(port)
        job = Service(
            "java-pipeline",
            [
                *["java", "-Xmx512m", f"-javaagent:{next(lib.glob('jamm-*.jar'))}"],
                *["--add-opens=java.base/java.lang=ALL-UNNAMED", "-cp"],
                *[f"{classes}{os.pathsep}{path}", "rnn.Names", "--runner=PortableRunner"],
                *[f"--jobEndpoint=localhost:{prism[1]}", f"--input={source}", f"--model={MODEL}"],
                *[f"--output={tmp_path / 'words.jsonl'}", f"--expansionService=localhost:{port}"],
            ],
            tmp_path,
        )
        with stopped(job):
            assert job.wait(240) == 0, job.tail()
    words = (tmp_path / "words.jsonl").read_text("utf-8").splitlines()
    assert in_order([json.loads(word) for word in words], "user") == expected
