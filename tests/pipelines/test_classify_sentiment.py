"""Ratings end to end, with a small random network: sentences, final ratings, the batch twin."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import beam_rnn as rnn
from beam_rnn.features import WordIds
from pipelines import sinks
from pipelines.classify_sentiment import (
    APPLICATION,
    Rated,
    Said,
    Sentences,
    classifier_of,
    main,
    rating_of,
)
from tests.pipelines.twins import live_and_batch

pytest.importorskip("matplotlib", reason="the extra apps is not installed")

VOCABULARY = ["", "<unk>", "the", "film", "is", "good", "bad", "not", ".", "!", "n't"]
WORDS = WordIds(VOCABULARY)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    draw = np.random.default_rng(0).normal
    network = rnn.Network(
        [
            rnn.Embedding(draw(size=(len(VOCABULARY), 6))),
            rnn.GRU(draw(size=(24, 6)), draw(size=(24, 8)), np.zeros(24)),
            rnn.Dense(draw(size=(2, 8)), np.zeros(2), "softmax"),
        ],
        labels=["negative", "positive"],
        vocabulary=VOCABULARY,
    )
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    rnn.save(network, path)
    return str(path)


def run(*arguments: str, output: Path, model: str) -> int:
    return main(["--output", str(output), "--model", model, "--no-view", *arguments])


def rows_of(output: Path, name: str, row: type) -> list[dict[str, Any]]:
    parts = sinks.read_parts(output / name, sinks.schema_of(row))
    rows = [r for part in parts for r in part.to_pylist()]
    return sorted(rows, key=lambda r: (r["stream"], r["time"]))


def both(output: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return rows_of(output, "sentences", Said), rows_of(output, "ratings", Rated)


def write(path: Path, events: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return str(path)


def test_words_are_looked_up_in_lower_case_with_digits_as_0() -> None:
    words = WordIds(["", "<unk>", "it", "is", "0000", "n't", "good"])
    assert words.ids("It ISN'T good 1984 Zounds").tolist() == [2, 3, 5, 6, 4, 1]
    for wrong in (["it"], ["", "<unk>", "a", "a"]):
        with pytest.raises(rnn.OptionError, match="vocabulary"):
            WordIds(wrong)


@given(st.lists(st.text("the film. isn't good! Mr ", max_size=30), max_size=5))
@settings(max_examples=60, deadline=None)
def test_any_cut_gives_the_same_sentences(pieces: list[str]) -> None:
    def feed(parts: list[str]) -> list[tuple[str, int]]:
        feature, memory, said = Sentences(WORDS), b"", []
        for part in parts:
            more, memory = feature.feed(part, memory)
            said += more
        return said + feature.finish(memory)

    assert feed(pieces) == feed(["".join(pieces)])
    assert [word for _, word in feed(pieces)] == WORDS.ids("".join(pieces)).tolist()


def test_a_sentence_ends_at_a_mark_and_not_after_a_title() -> None:
    text = "Mr. Ray left. It was good... Really?! the end"
    feature = Sentences(WORDS)
    said, memory = feature.feed(text)
    sentences = [sentence for sentence, _ in said + feature.finish(memory) if sentence]
    assert sentences[0] == "Mr. Ray left."
    assert sentences[1] == "It was good..."
    assert sentences[-1].endswith("the end")


@pytest.mark.slow
def test_ratings_are_those_of_the_whole_text(
    tmp_path: Path, small: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(output=tmp_path / "out", model=small) == 0
    said, rated = both(tmp_path / "out")
    texts: dict[str, str] = {}
    for line in APPLICATION.sample.read_text().splitlines():
        event = json.loads(line)
        texts[event["stream"]] = texts.get(event["stream"], "") + event["text"]
    network, _ = classifier_of(small)
    assert [row["stream"] for row in rated] == sorted(texts)
    for row in rated:
        y, _ = network.unroll(WORDS.ids(texts[row["stream"]]))
        k = int(y[-1].argmax())
        assert network.labels is not None
        assert (row["words"], row["label"]) == (len(y), network.labels[k])
        wanted = rating_of(row["label"], float(y[-1, k]))
        assert row["rating"] == np.float32(wanted)
        own = [s for s in said if s["stream"] == row["stream"]]
        assert " ".join(s["sentence"] for s in own) == texts[row["stream"]]
        assert own[-1]["rating"] == row["rating"]
    assert f"{len(texts)} texts rated" in capsys.readouterr().out
    assert (tmp_path / "out" / "ratings.png").stat().st_size > 20_000
    assert (tmp_path / "out" / "index.html").read_text().count("<article ") == len(texts)


@pytest.mark.slow
def test_seventy_texts_live_and_in_batch_are_the_same_to_the_bit(
    tmp_path: Path, small: str, sample: list[dict[str, Any]]
) -> None:
    events = sample[:700]
    events.append({"stream": events[0]["stream"], "time": "2027-01-01T00:00:00Z", "text": "good."})
    live, batch = live_and_batch(partial(run, model=small), tmp_path, events)
    assert both(live) == both(batch)  # floats too: no tolerance
    assert len({row["stream"] for row in both(live)[1]}) >= 50


def test_a_stream_that_ends_begins_anew(tmp_path: Path, small: str) -> None:
    twice = [{"stream": "a", "time": t, "text": "The film is bad.", "end": True} for t in (1, 2)]
    live, batch = live_and_batch(partial(run, model=small), tmp_path, twice)
    said, rated = both(live)
    assert (said, rated) == both(batch)
    assert [row["words"] for row in rated] == [5, 5]
    assert rated[0]["rating"] == rated[1]["rating"]


def test_other_languages_nothing_and_broken_lines(tmp_path: Path, small: str) -> None:
    events: list[dict[str, Any]] = [
        {"stream": "japanese", "time": 1, "text": "この映画はとても良かった。"},
        {"stream": "emoji", "time": 1, "text": "😀😀😀"},
        {"stream": "silent", "time": 1, "text": "   "},
        {"stream": "bad", "time": 1, "text": 7},
    ]
    source = write(tmp_path / "in.jsonl", events)
    assert run("--input", source, output=tmp_path / "out", model=small) == 0
    _, rated = both(tmp_path / "out")
    assert [row["stream"] for row in rated] == ["emoji", "japanese"]  # words that are not known
    failed = (tmp_path / "out" / "failed.jsonl").read_text().splitlines()
    assert [json.loads(line)["reason"] for line in failed] == [
        "text must be a string, got the number 7"
    ]


def test_another_network_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = APPLICATION.model.with_name("tag_names.safetensors")
    assert run(output=tmp_path / "out", model=str(other)) == 2
    assert "is no classifier of sentiment" in capsys.readouterr().err
