"""Options that move state, and the command that writes it for another number of shards."""

from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from typer.testing import CliRunner

import beam_rnn as rnn
from beam_rnn.cli import app
from beam_rnn.streams.describe import describe
from tests.streams.test_stepper import NET

WORDS = [("a", 1), ("b", 2), ("a", 3), ("c", 4)]


def pipeline() -> beam.Pipeline:
    return beam.Pipeline(runner=FnApiRunner())


def answers(*inputs: int) -> list[rnn.Tagged]:
    y, _ = NET.unroll(list(inputs))
    found = zip(inputs, y, strict=True)
    return [rnn.Tagged(x, int(p.argmax()), float(p.max()), i) for i, (x, p) in enumerate(found, 1)]


def export(folder: Path, order: Any, shards: int = 3) -> None:
    with pipeline() as p:
        tagged = p | beam.Create(WORDS) | rnn.Tag(NET, order=order, shards=shards, export=True)
        paths = tagged.state | rnn.WriteState(str(folder))
        assert_that(
            paths,
            equal_to([str(folder / f"shard-0000{i}-of-0000{shards}.state") for i in range(shards)]),
        )


@pytest.mark.parametrize("order", [rnn.arrival, rnn.event_time], ids=repr)
def test_state_moves_to_another_number_of_shards(order: Any, tmp_path: Path) -> None:
    export(tmp_path, order)
    done = CliRunner().invoke(
        app, ["reshard", str(tmp_path), str(tmp_path / "new"), "--shards", "2"]
    )
    assert done.exit_code == 0, done.output
    blocks = [describe(path.read_bytes()) for path in sorted((tmp_path / "new").iterdir())]
    assert sorted(row.stream for block in blocks for row in block.rows) == [b"a", b"b", b"c"]
    assert {(block.shards, block.version) for block in blocks} == {(2, 2)}
    with pipeline() as p:
        more = p | beam.Create([("a", 5), ("b", 6), ("d", 7)])
        tagged = more | rnn.Tag(NET, order=order, shards=2, restore=tmp_path / "new")
        wanted = [("a", answers(1, 3, 5)[2]), ("b", answers(2, 6)[1]), ("d", answers(7)[0])]
        assert_that(tagged, equal_to(wanted))


def test_all_streams_are_restored_whether_they_get_events_or_not(tmp_path: Path) -> None:
    """Their last answers come when the new job ends."""
    export(tmp_path, rnn.arrival)
    with pipeline() as p:
        classified = (
            p
            | beam.Create([("a", 5)])
            | rnn.Classify(NET, order=rnn.arrival, shards=3, restore=str(tmp_path))
            | beam.Map(lambda answer: (answer[0], answer[1].steps))
        )
        assert_that(classified, equal_to([("a", 3), ("b", 1), ("c", 1)]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "shard-00001-of-00003.state").unlink(), "no such file"),
        (lambda folder: (folder / "shard-00000-of-00003.state").unlink(), "expected the state of"),
        (lambda folder: (folder / "shard-00000-of-00009.state").touch(), "expected the state of"),
        (
            lambda folder: (folder / "shard-00002-of-00003.state").write_bytes(b"a<t>"),
            "no state of beam_rnn",
        ),
    ],
    ids=["a shard", "the first", "two jobs", "broken"],
)
def test_what_is_not_the_state_of_a_job_is_refused(
    change: Any, message: str, tmp_path: Path
) -> None:
    export(tmp_path, rnn.arrival)
    change(tmp_path)
    done = CliRunner().invoke(app, ["reshard", str(tmp_path), str(tmp_path / "x"), "--shards", "2"])
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert not (tmp_path / "x").exists()


def test_restored_state_must_be_of_the_number_of_shards(tmp_path: Path) -> None:
    export(tmp_path, rnn.arrival)
    with (
        pytest.raises(Exception, match=r"shard-0000\d-of-00004.state: no such file"),
        pipeline() as p,
    ):
        _ = p | beam.Create(WORDS) | rnn.Tag(NET, shards=4, restore=str(tmp_path))


def test_wrong_options_are_refused() -> None:
    with pytest.raises(rnn.OptionError, match="restore is 5, expected the path of a folder"):
        rnn.Tag(NET, restore=5)
    updates = beam.Create(["m"])
    with pytest.raises(rnn.OptionError, match="a job whose model is updated cannot be moved"):
        rnn.Tag(rnn.ModelUpdates(NET, pipeline() | updates), export=True)
    windows = beam.WindowInto(beam.window.FixedWindows(5))
    with pytest.raises(rnn.OptionError, match="are for the state of the global window"):
        _ = pipeline() | beam.Create(WORDS) | windows | rnn.Tag(NET, export=True)
