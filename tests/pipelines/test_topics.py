"""Live texts from topic to topic, against a real broker."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from pipelines import sinks
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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--input", "kafka://{}"], "names no topic"),
        (["--input", "kafka://{}/nowhere"], "topic nowhere at .*Unknown topic"),
        (["--answers", "kafka://{}/nowhere"], "topic nowhere at .*Unknown topic"),
        (["--input", "kafka://localhost:1/texts"], "topic texts at localhost:1: .*failure"),
        (["--input", "kafka://{}/texts", "--batch"], "--batch reads a Parquet file"),
        (["--input", "kafka://{}/texts", "--speed", "2"], "--speed is for files"),
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
