"""Melodies end to end, with a small random network: seeds, ticks, files, the batch twin."""

import argparse
import json
import wave
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import beam_rnn as rnn
from beam_rnn.features import tunes
from pipelines import sinks, sources
from pipelines.events import Event
from pipelines.generate_music import (
    APPLICATION,
    Drawn,
    Seed,
    allowed_of,
    composer_of,
    main,
    melodies_of,
    seed_of,
)
from pipelines.seeds import Seeds
from tests.pipelines.twins import live_and_batch

pytest.importorskip("matplotlib", reason="the extra apps is not installed")
mido = pytest.importorskip("mido", reason="the extra apps is not installed")
pytest.importorskip("abcnotes", reason="the extra apps is not installed")

from pipelines.scores import Melody, played, sounds_of, spelled, write_midi  # noqa: E402

HEAD = "M:6/8\nL:1/8\nK:G\n"
TUNE = f"X:1\nT:A tune\n{HEAD}GAB d2e|d2"
VOCABULARY = ["", "\n", HEAD[:12], "K:G\n", *"ABcdefgG", "2", "3", "|", ":|", "|]", "K", "(3", "-"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    draw = np.random.default_rng(4).normal
    n = len(VOCABULARY)
    bias = np.zeros(n)
    bias[1] = -1  # tunes are longer than a few notes
    network = rnn.Network(
        [
            rnn.Embedding(draw(size=(n, 6))),
            rnn.LSTM(draw(size=(32, 6)), draw(size=(32, 8)), np.zeros(32)),
            rnn.Dense(draw(size=(n, 8)), bias, "softmax"),
        ],
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
    return rows_of(output, "drawn", Drawn), rows_of(output, "seeds", Seed)


def failed_of(output: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (output / "failed.jsonl").read_text().splitlines()]


def write(path: Path, events: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return str(path)


def test_seeds_go_on_and_nothing_begins(
    tmp_path: Path, small: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "seeds.abc"
    source.write_text(f"% two\n\n{TUNE}\n\nX:2\nT:Only a key\n{HEAD}\n")
    output = tmp_path / "out"
    options = ["--input", str(source), "--ticks", "3", "--more", "20", "--free", "1", "--wav"]
    assert run(*options, output=output, model=small) == 0
    drawn, given = both(output)
    assert [row["abc"] for row in given] == [HEAD + "GABd2e|d2", HEAD]
    assert sorted({row["stream"] for row in drawn}) == ["A tune", "Only a key", "nothing 1"]
    assert len(drawn) == 9  # three ticks of three streams
    assert [row["step"] for row in drawn if row["stream"] == "nothing 1"] == [20, 40, 60]
    assert f"3 streams, {(output / 'tunes.abc').read_text().count('X:')} tunes" in (
        capsys.readouterr().out
    )
    assert (output / "roll.png").stat().st_size > 10_000
    assert (output / "index.html").read_text().count("<article ") == 3
    assert len(mido.MidiFile(output / "melody-01.mid").tracks) == 1
    with wave.open(str(output / "melody-01.wav")) as sound:
        assert sound.getnframes() > sound.getframerate()
    assert failed_of(output) == []


def test_what_is_drawn_is_what_the_network_says(tmp_path: Path, small: str) -> None:
    """The likeliest tokens, one by one, with the network alone."""
    source = write(tmp_path / "in.jsonl", [{"stream": "a", "time": 1, "text": TUNE}])
    options = ["--input", source, "--temperature", "0", "--more", "9"]
    assert run(*options, output=tmp_path / "out", model=small) == 0
    (row,), _ = both(tmp_path / "out")
    network, seeded = composer_of(small)
    allowed = np.array(allowed_of(network))
    ids = [0, *(seeded(Event("a", row["time"], TUNE)) or [])]
    text = ""
    for _ in range(row["tokens"]):
        y, _ = network.unroll(np.array(ids))
        ids.append(int(allowed[y[-1, allowed].argmax()]))
        text += VOCABULARY[ids[-1]]
    assert row["abc"] == text


@pytest.mark.slow
def test_sixty_streams_live_and_in_batch_are_the_same_to_the_bit(
    tmp_path: Path, small: str
) -> None:
    events = [
        {"stream": f"stream {i}", "time": time + i / 100, "text": TUNE if time == i % 3 else ""}
        for time in range(5)
        for i in range(60)
    ]
    options = ["--more", "12", "--seed", "3"]
    live, batch = live_and_batch(partial(run, model=small), tmp_path, events, *options)
    drawn, given = both(live)
    assert (drawn, given) == both(batch)  # floats too: no tolerance
    assert len({row["stream"] for row in drawn}) == len(given) == 60
    assert len(drawn) == 300
    assert len({row["abc"] for row in drawn}) > 100  # streams draw numbers of their own
    names = ("tunes.abc", "melody-01.mid")
    for name in names:
        assert (live / name).read_bytes() == (batch / name).read_bytes()


def test_broken_tunes_leave_and_their_streams_go_on(tmp_path: Path, small: str) -> None:
    texts = [
        "no tune",
        "夜の歌",
        "X:1\nT:empty\nK:G\nV:2\nA",
        "X:1\nK:Hp\nA",
        f"{TUNE}\n\n{TUNE}",
        "K:D\nA",
    ]
    events = [{"stream": "a", "time": i, "text": text} for i, text in enumerate(texts)]
    events += [{"stream": "a", "time": 9, "text": ""}, {"stream": "b", "time": 9, "text": 7}]
    source = write(tmp_path / "in.jsonl", events)
    assert run("--input", source, "--more", "5", output=tmp_path / "out", model=small) == 0
    reasons = [row["reason"].removeprefix("InputError: ") for row in failed_of(tmp_path / "out")]
    assert sorted(reasons) == [
        "'M' is not in the vocabulary",
        "K:Hp is no key that is known",
        "expected a tune in ABC, or an empty text for a tick, got 2 tunes",
        *["expected a tune in ABC, or an empty text for a tick, got no tune (it has no field K:)"]
        * 2,
        "text must be a string, got the number 7",
        "the field V: stands among the notes",
    ]
    drawn, given = both(tmp_path / "out")
    assert [row["stream"] for row in drawn] == ["a"]  # the tick, from nothing
    assert [row["abc"] for row in given] == []
    pq.write_table(pa.Table.from_pylist(events[:-1]), tmp_path / "in.parquet")
    options = ["--batch", "--input", str(tmp_path / "in.parquet"), "--more", "5"]
    assert run(*options, output=tmp_path / "batch", model=small) == 0
    assert both(tmp_path / "batch") == (drawn, given)
    assert sorted(
        row["reason"].removeprefix("InputError: ") for row in failed_of(tmp_path / "batch")
    ) == [reason for reason in sorted(reasons) if "must be a string" not in reason]


@pytest.mark.parametrize("content", [b"", b"some words\n", b"\xff\xfe\x00\x01", b"X:1\nT:no key"])
def test_a_file_without_a_tune(
    tmp_path: Path, small: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.abc"
    source.write_bytes(content)
    code = run("--input", str(source), "--ticks", "1", output=tmp_path / "out", model=small)
    if content.startswith(b"X:"):  # a tune, but a broken one
        assert code == 0
        assert "it has no field K:" in failed_of(tmp_path / "out")[0]["reason"]
    else:
        assert code == 2
        assert "holds no tune" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--more=0", "--more is 0"),
        ("--ticks=-1", "--ticks is -1"),
        ("--free=-2", "--free is -2"),
        ("--temperature=-1", "temperature is -1.0"),
        ("--top-p=2", "top_p is 2.0"),
    ],
)
def test_wrong_options_are_refused(
    tmp_path: Path, small: str, option: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(option, output=tmp_path / "out", model=small) == 2
    assert message in capsys.readouterr().err


def test_another_network_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = APPLICATION.model.with_name("classify_sentiment.safetensors")
    assert run(output=tmp_path / "out", model=str(other)) == 2
    assert "writes no tunes" in capsys.readouterr().err


def test_ticks_have_no_end_until_they_are_stopped(tmp_path: Path) -> None:
    path = tmp_path / "in.abc"
    path.write_text(TUNE)
    source = Seeds(str(path), free=1, ticks=0)
    lines, over = source.read({}, closing=False)
    assert [json.loads(line.data)["text"] for line in lines] == [TUNE, ""]
    lines, over = source.read({str(path): 10**6}, closing=False)
    assert [json.loads(line.data)["time"] for line in lines] == [10**6, 10**6]
    assert not over
    sources.stop()
    try:
        assert source.read({}, closing=False) == ([], True)
    finally:
        sources.start()
    assert Seeds(str(path), 0, 2).read({str(path): 2}, closing=False) == ([], True)


def test_a_stream_begins_one_tune_after_the_other(tmp_path: Path, small: str) -> None:
    ticks = [{"stream": "a", "time": i, "text": ""} for i in range(4)]
    source = write(tmp_path / "in.jsonl", ticks)
    assert run("--input", source, "--more", "99", output=tmp_path / "out", model=small) == 0
    drawn, _ = both(tmp_path / "out")
    lines = "".join(row["abc"] for row in drawn).split("\n")
    assert len(lines) > sum(row["ends"] for row in drawn) > 3
    assert len(set(lines)) > len(lines) / 2  # they are not the same again and again


def test_parts_that_many_workers_wrote_give_the_same_tunes(tmp_path: Path, small: str) -> None:
    texts = [TUNE, "", "", f"X:2\n{HEAD}", ""]
    events = [{"stream": "a", "time": i, "text": text} for i, text in enumerate(texts)]
    source = write(tmp_path / "in.jsonl", events)
    options = ["--input", source, "--output", str(tmp_path / "out"), "--model", small]
    assert main([*options, "--no-view"]) == 0
    before = (tmp_path / "out" / "tunes.abc").read_text()
    for name in ("drawn", "seeds"):
        part = tmp_path / "out" / name / "part-00000.parquet"
        rows = pq.read_table(part)
        for i in range(len(rows)):  # the last ones first
            pq.write_table(rows.slice(i, 1), part.with_name(f"part-{9 - i}abc.parquet"))
        part.unlink()
    arguments = argparse.Namespace(wav=False)
    APPLICATION.finish(arguments, tmp_path / "out")
    assert (tmp_path / "out" / "tunes.abc").read_text() == before != ""


def test_rows_become_tunes() -> None:
    def row(time: int, step: int, tokens: int, abc: str) -> Drawn:
        return Drawn("a", time, step, tokens, abc, 0.0, abc.count("]\n"))

    given = [Seed("a", 0, 5, HEAD + "GAB"), Seed("a", 5, 2, HEAD)]
    rows = [
        row(0, 10, 4, "d2e|"),
        row(1, 14, 4, "|]\n" + HEAD),
        row(2, 16, 2, "A|"),
        row(3, 18, 2, "B|"),
        row(5, 6, 2, "c|"),
        row(6, 2, 2, HEAD),  # the stream had ended
    ]
    assert melodies_of(rows, given) == [
        Melody(HEAD + "GABd2e||]\n", len(HEAD) + 3),
        Melody(HEAD + "A|B|"),
        Melody(HEAD + "c|", len(HEAD)),
        Melody(HEAD),
    ]
    assert seed_of(TUNE) == HEAD + "GABd2e|d2"


def test_notes_in_time() -> None:
    text = "M:2/4\nL:1/8\nK:D\n|:f>c (3ABc|^G2-G=f:|G4|]\n".replace(" ", "")
    sounds, bars = sounds_of(Melody(text, len("M:2/4\nL:1/8\nK:D\n|:f>c")))
    assert [sound.pitch for sound in sounds[:7]] == [78, 73, 69, 71, 73, 68, 77]
    assert [sound.given for sound in sounds[:3]] == [True, True, False]
    lengths = [sound.length for sound in sounds[:7]]
    assert lengths == pytest.approx([0.375, 0.125, 1 / 6, 1 / 6, 1 / 6, 0.75, 0.25])
    assert bars == pytest.approx([0, 1, 2, 3, 4, 5])  # the first two are repeated
    assert len(sounds) == 15
    assert sounds[-1].pitch == 67  # its sharp was for one bar


def test_midi_has_the_notes(tmp_path: Path) -> None:
    text = HEAD + "GAB d3|g6|]\n".replace(" ", "")
    sounds, _ = played([Melody(text), Melody(text)])
    write_midi(tmp_path / "a.mid", sounds)
    file = mido.MidiFile(tmp_path / "a.mid")
    notes = [message.note for message in file.tracks[0] if message.type == "note_on"]
    assert notes == [67, 69, 71, 74, 79] * 2
    assert file.length == pytest.approx(sounds[-1].start + sounds[-1].length, abs=0.01)


def test_abc_to_read_is_the_same_tune() -> None:
    text = HEAD + "G|" + "GABd3|" * 9 + "g6:|\n"
    written = spelled(3, "A\ttune", text)
    assert written.startswith(f"X:3\nT:A tune\n{HEAD}G| ")
    assert max(map(len, written.splitlines())) < 40
    assert tunes.plain(written.rstrip("\n")) == text
