"""Live texts and sound from topic to topic, against a real broker."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, Producer

from pipelines import sinks, transcribe_speech
from pipelines.events import time_of
from pipelines.tag_names import main
from tests.runners.broker import Broker, kafka

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with kafka(tmp_path_factory.mktemp("broker")) as started:
        yield started


def run(output: Path, model: str, *arguments: str) -> list[dict[str, Any]]:
    """The words that tag-names writes, in order."""
    assert main(["--output", str(output), "--model", model, "--no-view", *arguments]) == 0
    rows = [row for part in sinks.read_parts(output / "words") for row in part.to_pylist()]
    for row in rows:
        row["time"] = round(row["time"].timestamp() * 1e6)
    return in_order(rows)


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["stream"], row["time"], row["step"]))


def write(broker: Broker, topic: str, events: list[dict[str, Any]]) -> None:
    """Every other stream leaves its name and times to its records."""
    producer = Producer({"bootstrap.servers": broker.servers})
    for event in events:
        value = dict(event)
        time = time_of(value["time"]).micros // 1000
        if sum(event["stream"].encode()) % 2:
            del value["stream"], value["time"]
        producer.produce(topic, json.dumps(value), event["stream"], timestamp=time)
    assert producer.flush(30) == 0


def read(broker: Broker, topic: str, count: int) -> list[dict[str, Any]]:
    config = {"bootstrap.servers": broker.servers, "group.id": "test"}
    consumer = Consumer({**config, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found: list[dict[str, Any]] = []
    while len(found) < count:
        for message in consumer.consume(count, timeout=10.0):
            row = json.loads(message.value() or b"")
            assert (message.key() or b"").decode() == row["stream"]
            found.append(row)
    assert not consumer.poll(1.0)
    consumer.close()
    return in_order(found)


def test_texts_are_tagged_from_topic_to_topic_as_from_a_file(
    broker: Broker, tmp_path: Path, model: str, sample: list[dict[str, Any]]
) -> None:
    streams = {event["stream"]: event["time"] for event in sample}
    ends = [{"stream": s, "time": t, "text": "", "end": True} for s, t in streams.items()]
    events = [*sample, *ends]
    for event in events:  # Kafka keeps milliseconds
        micros = time_of(event["time"]).micros
        event["time"] = micros // 1000 / 1000
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    wanted = run(tmp_path / "file", model, "--input", str(file))

    broker.create("texts", 3)
    broker.create("words", 3)
    write(broker, "texts", [*events, {**sample[0], "text": 7}])
    at = f"kafka://{broker.servers}"
    arguments = ["--input", f"{at}/texts", "--answers", f"{at}/words", "--until-idle", "1"]
    assert run(tmp_path / "topic", model, *arguments) == wanted
    assert read(broker, "words", len(wanted)) == wanted
    (failed,) = (tmp_path / "topic" / "failed.jsonl").read_text().splitlines()
    assert "text must be a string" in json.loads(failed)["reason"]


def test_sound_is_heard_from_topic_to_topic_as_from_a_file(broker: Broker, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile", reason="the extra apps is not installed")
    sound = soundfile.read(transcribe_speech.APPLICATION.sample, dtype="int16")[0]
    chunks: list[tuple[float, str, bytes]] = []  # seconds, stream, samples; none: the end
    for n, stream in enumerate(["a", "b", "c"]):
        own, size = sound[n * 9_000 : n * 9_000 + 40_000], 700 + 131 * n
        at = range(0, len(own) + size, size)
        chunks += [(1 + n / 8 + i / 8000, stream, own[i : i + size].tobytes()) for i in at]
        chunks.append((1 + n / 8 + at.stop / 8000, stream, b""))
    chunks.sort(key=lambda chunk: chunk[0])
    milliseconds = [round(seconds * 1000) for seconds, *_ in chunks]
    with (tmp_path / "in.jsonl").open("w") as file:
        for at, (_, stream, samples) in zip(milliseconds, chunks, strict=True):
            event: dict[str, Any] = {"stream": stream, "time": at / 1000}
            event |= {"sound": b64encode(samples).decode()} if samples else {"end": True}
            file.write(json.dumps(event) + "\n")
    for name in ("sound", "heard"):
        broker.create(name, 3)
    producer = Producer({"bootstrap.servers": broker.servers})
    for at, (_, stream, samples) in zip(milliseconds, chunks, strict=True):
        producer.produce("sound", samples or None, stream, timestamp=at)
    producer.produce("sound", b"odd", "d", timestamp=1)
    producer.produce("sound", b"nobody's", timestamp=1)
    assert producer.flush(30) == 0

    def heard(output: Path, *arguments: str) -> dict[str, list[Any]]:
        assert transcribe_speech.main(["--output", str(output), "--no-view", *arguments]) == 0
        kinds = transcribe_speech.APPLICATION.rows.items()
        rows = {name: list(sinks.read_rows(output / name, kind)) for name, kind in kinds}
        return {name: sorted(own, key=lambda row: row[:3]) for name, own in rows.items()}

    wanted = heard(tmp_path / "file", "--input", str(tmp_path / "in.jsonl"))
    assert {row.stream for row in wanted["texts"] if row.final and row.text} == {"a", "b", "c"}
    at = f"kafka://{broker.servers}"
    arguments = ["--input", f"{at}/sound", "--answers", f"{at}/heard", "--until-idle", "1"]
    assert heard(tmp_path / "topic", *arguments) == wanted
    written = read(broker, "heard", sum(map(len, wanted.values())))
    for kind, rows in wanted.items():
        found = [rounded(row) for row in written if row["kind"] == kind]
        assert found == [{"kind": kind, **row._asdict()} for row in rows]
    failed = [json.loads(x) for x in (tmp_path / "topic" / "failed.jsonl").read_text().splitlines()]
    reasons = {row["stream"]: row["reason"] for row in failed}
    assert reasons.keys() == {"", "d"}
    assert reasons[""] == "stream is empty"
    assert "3 bytes of sound" in reasons["d"]


def rounded(value: Any) -> Any:
    """Numbers as Parquet files keep them."""
    if isinstance(value, dict):
        return {name: rounded(own) for name, own in value.items()}
    if isinstance(value, list):
        return [rounded(own) for own in value]
    return float(np.float32(value)) if isinstance(value, float) else value


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--input", "kafka://{}"], "names no topic"),
        (["--input", "kafka://{}/nowhere"], "topic nowhere at .*Unknown topic"),
        (["--answers", "kafka://{}/nowhere"], "topic nowhere at .*Unknown topic"),
        (["--input", "kafka://localhost:1/texts"], "topic texts at localhost:1: .*failure"),
    ],
)
def test_what_cannot_start_is_refused_in_a_line(
    broker: Broker,
    tmp_path: Path,
    model: str,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    given = [argument.format(broker.servers) for argument in arguments]
    assert main(["--output", str(tmp_path / "out"), "--model", model, *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(told, line)
    assert not (tmp_path / "out").exists()
