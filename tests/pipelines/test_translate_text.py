"""Translations end to end, with a small random model: lines, the batch twin, bad input."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import beam_rnn as rnn
from beam_rnn.features import Pieces
from pipelines import sinks
from pipelines.lines import ALPHA, LONGEST, Line, Translator, text_of
from pipelines.translate_text import APPLICATION, main
from tests.pipelines.twins import live_and_batch
from training import transliterate

pytest.importorskip("matplotlib", reason="the extra apps is not installed")

ROOT = Path(__file__).parents[2]
LETTERS = list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,.:;!?’()-")
WORDS = "the and of LORD unto that in to shall his for all my not is children said which thou will"
ENGLISH = ["<s>", "</s>", "▁", *(f"▁{word}" for word in WORDS.split()), "ing", "th", *LETTERS]
SPANISH = ["<s>", "</s>", "▁y", "▁de", "▁Dios", "á", "ñ", "▁la", ".", ","]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    draw = np.random.default_rng(3).normal

    def gru(inputs: int) -> rnn.GRU:
        return rnn.GRU(draw(size=(24, inputs)), draw(size=(24, 8)), np.zeros(24))

    model = rnn.EncoderDecoder(
        rnn.Network([rnn.Embedding(draw(size=(len(ENGLISH), 6))), gru(6)], vocabulary=ENGLISH),
        rnn.Network(
            [
                rnn.Embedding(draw(size=(len(SPANISH), 6))),
                gru(6),
                rnn.Multiplicative(draw(size=(8, 8))),
                rnn.Dense(draw(size=(len(SPANISH), 16)), np.zeros(len(SPANISH))),
            ],
            vocabulary=SPANISH,
        ),
        start=0,
        stop=1,
        limit=12,
        source_end=1,
    )
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    rnn.save(model, path)
    return str(path)


def run(*arguments: str, output: Path, model: str) -> int:
    return main(["--output", str(output), "--model", model, "--no-view", *arguments])


def lines_of(output: Path) -> list[dict[str, Any]]:
    parts = sinks.read_parts(output / "lines", sinks.schema_of(Line))
    return sorted(
        (row for part in parts for row in part.to_pylist()),
        key=lambda row: (row["stream"], row["time"], row["line"]),
    )


def failed_of(output: Path) -> list[tuple[str, str, str]]:
    told = [
        json.loads(line)
        for path in output.glob(sinks.FAILED_FILES)
        for line in path.read_text().splitlines()
    ]
    return sorted((one["stream"], one["reason"], one["input"]) for one in told)


def both(
    tmp_path: Path, events: list[dict[str, Any]], model: str
) -> tuple[list[dict[str, Any]], list[tuple[str, str, str]]]:
    """What the live job gives, which is what its batch twin gives."""
    live, batch = live_and_batch(partial(run, model=model), tmp_path, events)
    found = lines_of(live), failed_of(live)
    assert found == (lines_of(batch), failed_of(batch))
    return found


@pytest.mark.slow
def test_sixty_streams_live_and_in_batch_are_the_same_to_the_bit(
    tmp_path: Path, small: str
) -> None:
    events = [json.loads(line) for line in APPLICATION.sample.read_text().splitlines()]
    lines, failed = both(tmp_path, events, small)
    assert len({line["stream"] for line in lines}) >= 50
    texts: dict[str, str] = {}
    for event in events:
        texts[event["stream"]] = texts.get(event["stream"], "") + event["text"]
    told = [line for text in texts.values() for line in text.splitlines()]
    read = Pieces(ENGLISH)
    good = [line for line in told if len(read.whole(line)) <= LONGEST]
    assert sorted(line["line"] for line in lines) == sorted(good)
    assert len(failed) == len(told) - len(good)  # those that are too long, each once
    # And each is what the model says of the whole line.
    translator = Translator.of(small)
    for line in lines[::20]:
        ids = [id for _, id in read.whole(line["line"])]
        ((best, *_),) = translator.model.translate([ids], width=4, alpha=ALPHA)
        assert line["score"] == np.float32(best.score)
        assert line["written"].split() == [SPANISH[id] for id in best.tokens]
        assert best.alignment is not None
        pairs = [f"{r}-{w}" for w, r in enumerate(best.alignment.tolist()) if r < len(ids)]
        assert line["alignment"] == " ".join(pairs)


def test_a_line_ends_with_its_break_or_its_stream(tmp_path: Path, small: str) -> None:
    events = [
        {"stream": "a", "time": 1, "text": "the LO", "end": False},
        {"stream": "b", "time": 2, "text": "of", "end": False},
        {"stream": "a", "time": 3, "text": "RD\n", "end": False},
        {"stream": "a", "time": 4, "text": "and the", "end": False},
        {"stream": "a", "time": 5, "text": " end", "end": True},
        {"stream": "a", "time": 6, "text": "of the", "end": False},
        {"stream": "b", "time": 7, "text": " the LORD", "end": False},
    ]
    lines, failed = both(tmp_path, events, small)
    assert not failed
    assert [(line["stream"], line["line"]) for line in lines] == [
        ("a", "the LORD"),
        ("a", "and the end"),
        ("a", "of the"),
        ("b", "of the LORD"),
    ]
    assert lines[0]["pieces"] == "▁the ▁LORD"
    assert [line["step"] for line in lines] == [2, 6, 2, 3]
    assert (tmp_path / "live" / "attention.png").stat().st_size > 10_000
    assert (tmp_path / "live" / "index.html").read_text().count("<article ") == 2


def test_empty_lines_other_letters_and_lines_that_are_too_long(tmp_path: Path, small: str) -> None:
    events: list[dict[str, Any]] = [
        {"stream": "empty", "time": 1, "text": "\n"},
        {"stream": "empty", "time": 2, "text": " \n"},
        {"stream": "emoji", "time": 1, "text": "😀 12\n"},
        {"stream": "emoji", "time": 2, "text": "the end 😀\n"},
        {"stream": "russian", "time": 1, "text": "В начале\n"},
        {"stream": "russian", "time": 2, "text": "the end\n"},
        {"stream": "mixed", "time": 1, "text": "the "},
        {"stream": "mixed", "time": 2, "text": "神 "},
        {"stream": "mixed", "time": 3, "text": "end\n"},
        {"stream": "french", "time": 1, "text": "é à la fin\n"},
        {"stream": "long", "time": 1, "text": "the " * LONGEST + "\n"},
        {"stream": "long", "time": 2, "text": "the " * (LONGEST + 20) + "\n"},
        {"stream": "long", "time": 3, "text": "the end\n"},
    ]
    lines, failed = both(tmp_path, events, small)
    assert [(line["stream"], line["line"][:20]) for line in lines] == [
        ("emoji", "the end"),
        ("french", "e a la fin"),
        ("long", "the the the the the "),
        ("long", "the end"),
        ("mixed", "the end"),
        ("russian", "the end"),
    ]
    assert [(stream, reason[:60]) for stream, reason, _ in failed] == [
        ("emoji", "InputError: an empty source: expected at least one input"),
        ("long", "InputError: a source of more than 100 inputs: it gets no ans"),
        ("mixed", "letters that the model does not read: 神"),
        ("russian", "letters that the model does not read: Вначле"),
    ]
    assert failed[1][2] == "piece 101 of a line: ▁the"


def test_plain_text_is_a_line_for_each_line(tmp_path: Path, small: str) -> None:
    texts = tmp_path / "in"
    texts.mkdir()
    (texts / "a.txt").write_bytes("\ufeffthe LORD\r\n\r\n and the end \r\n".encode())
    (texts / "b.txt").write_bytes("В начале\nof the \xff".encode("latin-1", "ignore") + b"\nof")
    (texts / "c.jsonl").write_text('{"stream": "c", "time": 1, "text": "in the"}\n')
    assert run("--input", str(texts / "a.txt"), output=tmp_path / "one", model=small) == 0
    wanted = [("a.txt", "and the end"), ("a.txt", "the LORD")]
    assert sorted((row["stream"], row["line"]) for row in lines_of(tmp_path / "one")) == wanted
    assert failed_of(tmp_path / "one") == []
    code = run("--input", str(texts), "--until-idle", "1", output=tmp_path / "all", model=small)
    assert code == 0
    wanted += [("b.txt", "of"), ("c", "in the")]
    assert sorted((row["stream"], row["line"]) for row in lines_of(tmp_path / "all")) == wanted
    assert [reason for _, reason, _ in failed_of(tmp_path / "all")] == ["not UTF-8"]


@pytest.mark.slow
def test_standard_input_is_plain_text_or_json(tmp_path: Path, small: str) -> None:
    json_lines = '{"stream": "a", "time": 1, "text": "the LORD\\n"}\nof the\n'
    for name, given in (("plain", "the LORD\n\n{of} the end"), ("json", json_lines)):
        command = [sys.executable, "-m", "beam_rnn", "translate-text", "--model", small]
        command += ["--input", "-", "--output", str(tmp_path / name), "--no-view"]
        subprocess.run(command, cwd=ROOT, input=given, text=True, check=True)
    found = {
        name: {(row["stream"], row["line"]) for row in lines_of(tmp_path / name)}
        for name in ("plain", "json")
    }
    assert found["json"] == {("a", "the LORD")}
    assert found["plain"] == {("standard input", "the LORD"), ("standard input", "of the end")}
    assert failed_of(tmp_path / "plain") == []
    assert [reason[:8] for _, reason, _ in failed_of(tmp_path / "json")] == ["not JSON"]


def test_another_model_and_a_broken_file_are_refused(
    tmp_path: Path, small: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = APPLICATION.model.with_name("tag_names.safetensors")
    assert run(output=tmp_path / "out", model=str(other)) == 2
    assert "is no translator" in capsys.readouterr().err
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(Path(small).read_bytes()[:-10])
    assert run(output=tmp_path / "out", model=str(broken)) == 2
    assert "truncated" in capsys.readouterr().err
    archive = tmp_path / "broken.parquet"
    archive.write_bytes(b"PAR1 no more")
    assert run("--batch", "--input", str(archive), output=tmp_path / "out", model=small) == 2
    assert "is not a Parquet file" in capsys.readouterr().err
    assert run("--width", "0", output=tmp_path / "out", model=small) == 2
    assert "width is 0" in capsys.readouterr().err


def test_words_are_pronounced(tmp_path: Path) -> None:
    model = APPLICATION.model.with_name("pronounce.safetensors")
    words = ["hello", "World", "naïve"]
    events = [
        {"stream": word, "time": time, "text": word + "\n"} for time, word in enumerate(words)
    ]
    lines, failed = both(tmp_path, events, str(model))
    assert not failed
    assert {line["stream"]: line["translation"] for line in lines} == {
        "hello": "HH EH1 L OW0",
        "World": "W ER1 L D",
        "naïve": "N EY1 V",
    }
    assert not (tmp_path / "live" / "attention.png").exists()  # the model does not attend


@pytest.mark.slow
def test_hindi_words_in_latin_letters(tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="the extra keras is not installed")
    model = tmp_path / "indicate.safetensors"
    rnn.save(transliterate.model(transliterate.fetch()), model)
    words = {"भारत": "bharat", "हिंदी": "hindi"}
    events = [{"stream": word, "time": 1, "text": word + "\n"} for word in words]
    events.append({"stream": "other", "time": 1, "text": "привет\n"})
    lines, failed = both(tmp_path, events, str(model))
    assert {line["stream"]: line["translation"] for line in lines} == words
    assert [reason for _, reason, _ in failed] == ["letters that the model does not read: пивет"]
    assert (tmp_path / "live" / "attention.png").stat().st_size > 10_000


def test_pieces_become_text() -> None:
    assert text_of(["▁En", "▁el", "▁prin", "cipio", ","]) == "En el principio,"
    assert text_of(list("bharat")) == "bharat"
    assert text_of(["HH", "AH0"]) == "HH AH0"
    assert text_of([]) == ""
