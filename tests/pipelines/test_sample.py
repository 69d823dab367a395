"""The committed sample is what its README says, and the committed tagger finds names in it."""

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from pipelines import names, sinks
from pipelines.events import Event, parse
from pipelines.names import kind_of
from pipelines.sample.make_sample import sentence_ends
from pipelines.tag_names import APPLICATION, main

SAMPLE = APPLICATION.sample


def texts() -> dict[str, str]:
    joined: dict[str, str] = defaultdict(str)
    for line in SAMPLE.read_text().splitlines():
        fields = json.loads(line)
        joined[fields["stream"]] += fields["text"]
    return joined


def test_every_line_is_an_event_and_they_come_in_time() -> None:
    events = [parse(line) for line in SAMPLE.read_bytes().splitlines()]
    times = [event.time for event in events if isinstance(event, Event)]
    assert len(times) == len(events)
    assert times == sorted(times)


def test_the_figures_of_the_readme() -> None:
    readme = SAMPLE.with_name("README.md").read_text()
    found = re.search(r"has ([\d,]+) lines, ([\d,]+) streams and ([\d,]+) sentences", readme)
    assert found
    lines, streams, sentences = (int(number.replace(",", "")) for number in found.groups())
    assert lines == len(SAMPLE.read_text().splitlines())
    assert streams == len(texts()) >= 40
    assert sentences == sum(len(sentence_ends(text)) for text in texts().values()) >= 2_000
    assert SAMPLE.stat().st_size < 1 << 20


def test_pieces_cut_sentences_and_words() -> None:
    last: dict[str, str] = {}
    inside = 0
    for line in SAMPLE.read_text().splitlines():
        fields = json.loads(line)
        before = last.get(fields["stream"], " ")
        inside += before[-1].isalnum() and fields["text"][0].isalnum()
        last[fields["stream"]] = fields["text"]
    assert inside > 900


@pytest.mark.slow
def test_the_tagger_finds_the_names_of_the_sample(tmp_path: Path) -> None:
    arguments = ["--input", str(SAMPLE), "--speed", "0", "--output", str(tmp_path), "--no-view"]
    assert main(arguments) == 0
    said: dict[str, str] = defaultdict(str)
    kinds: dict[str, list[str]] = defaultdict(list)
    for part in sinks.read_parts(tmp_path / "words"):
        for row in part.to_pylist():
            said[row["stream"]] += row["before"] + row["token"]
            kinds[row["token"]].append(kind_of(row["label"]))
    assert said == {stream: text.rstrip() for stream, text in texts().items()}
    assert {kind for found in kinds.values() for kind in found} == {
        "", *(kind.key for kind in names.KINDS),
    }  # fmt: skip
    for token, kind in [("Angola", "LOC"), ("Ukraine", "LOC"), ("Dashwood", "PER"), ("UN", "ORG")]:
        assert kinds[token].count(kind) > len(kinds[token]) / 2, (token, kinds[token])
    assert kinds["the"].count("") > 0.99 * len(kinds["the"])
