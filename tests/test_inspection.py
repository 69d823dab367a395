"""What `beam-rnn inspect` prints of state and models, and how it refuses."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import beam_rnn as rnn
from beam_rnn.cli import app
from beam_rnn.inspection import inspected
from tests.weights import exact

TESTS = Path(__file__).parent


def text(path: Path, most: int = 20) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(inspected(str(path), most))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def state(name: str) -> Path:
    return TESTS / "streams" / "golden" / f"state_{name}.bin"


def test_a_block_of_state() -> None:
    lines = text(state("v2_waiting_1")).splitlines()
    assert [line.rstrip() for line in lines] == [
        "state    format 2, 582 bytes",
        "model    68ddcd88527b2c40",
        "shards   32",
        "block    number 1 of its log",
        "streams  2 live, 0 ended",
        "a⟨t⟩     5 values, 20 bytes for each stream",
        "",
        "stream  steps                        last  label  memory  pending  next  missed  held"
        "              a⟨t⟩",
        "ann         2  1970-01-01 00:00:00.001001      -       -       48     2       -     2"
        "   -0.226 to 0.164",
        "bob         1  1970-01-01 00:00:00.001000      -       -       48     1       -     -"
        "  -0.155 to 0.0213",
    ]


def test_what_a_block_remembers_skips_and_ends() -> None:
    assert "7       3     -" in text(state("v2_skipped"))  # numbers 2, 4 and 5 are missed
    said = text(state("v1_words_2"))
    assert "number 2 of its log, a tag beside it" in said
    assert "1 live, 1 ended" not in said
    assert said.rstrip().endswith("ended: bob")
    assert "and 2 more streams" in text(state("v1_memory"), most=1)


def test_a_model() -> None:
    said = text(TESTS / "weights" / "golden" / "native_v1_words.safetensors", most=3)
    for part in (
        f"model       {exact.words().fingerprint}, 69 parameters",
        "input       int64 ()",
        "a⟨t⟩        5 values, 20 bytes for each stream",
        "look-ahead  1 steps",
        "labels      2: 'O', 'ñ 😀'",
        "vocabulary  6: 'word 0', 'word 1', 'word 2', …",
        "W_a (8, 2)",
        "y = g(W_y x + b_y).",
        '"figures": {',
    ):
        assert part in said


def test_nothing_in_a_file_steers_the_terminal(tmp_path: Path) -> None:
    net = exact.vectors()
    told = rnn.Network(net.layers, labels=["\x1b[2J"], card={"by": "\x9b2J\x1b[31m"})
    rnn.save(told, tmp_path / "m.safetensors")
    said = text(tmp_path / "m.safetensors")
    assert "\x1b" not in said
    assert "\x9b" not in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"neither", "expected a safetensors file, found 7 bytes"),
        (b"a<t>", "no state of beam_rnn: 4 bytes"),
        (state("v1_bare").read_bytes()[:-1], "truncated: 16 bytes expected at 161"),
    ],
    ids=["absent", "foreign", "head", "truncated"],
)
def test_errors_are_one_line_and_code_2(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    done = CliRunner().invoke(app, ["inspect", str(path)])
    assert done.exit_code == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("beam-rnn: ")
    assert message in line
