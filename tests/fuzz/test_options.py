"""Options and command lines of any kind: refused by name, or they make a transform."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import beam_rnn as rnn
from beam_rnn.cli import app
from tests.fuzz.test_events import ANYTHING, Spiteful, Untold
from tests.weights import exact

pytestmark = pytest.mark.slow
TIME = datetime.timedelta(seconds=20)
NET = exact.words()
GOLDEN = Path(__file__).parents[1] / "streams" / "golden"
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "model": st.just(NET) | st.sampled_from(["", "/", "nowhere://x", "\0", str(GOLDEN)]),
    "x": st.none() | st.just(int),
    "order": st.sampled_from([None, rnn.arrival, rnn.event_time, rnn.by_event_time(3)]),
    "end": st.none() | st.just(bool),
    "reset": st.none() | st.just(bool),
    "expire_after": st.none() | st.floats() | st.integers(-1, 5) | st.fractions(),
    "lookahead": st.none() | st.integers(-1, 3),
    "emit": st.sampled_from(["each", "final", "change", "EACH", rnn.every(2)]),
    "shards": st.integers(-1, 40),
    "limits": st.just(rnn.Limits(10, 10)),
}
MAKERS: dict[str, Callable[..., Any]] = {
    "every": rnn.every,
    "by_event_time": rnn.by_event_time,
    "by_sequence": rnn.by_sequence,
    "Limits": rnn.Limits,
}


def any_of(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 4).flatmap(lambda n: usual if n else ANYTHING)


@pytest.mark.parametrize("transform", [rnn.Tag, rnn.Classify])
@settings(deadline=TIME)
@example({"expire_after": Spiteful(Untold())})
@given(options=st.fixed_dictionaries({}, optional={k: any_of(v) for k, v in OPTIONS.items()}))
def test_options_are_refused_by_name_or_right(
    transform: Callable[..., beam.PTransform], options: dict[str, Any]
) -> None:
    pipeline = beam.Pipeline(runner=FnApiRunner())
    words = pipeline | beam.Create([("a", 1)])
    try:
        answers = words | transform(**{"model": NET, **options})
    except rnn.OptionError as error:
        said = str(error)
        told = any(name in said for name in ("model", "expected", *options))
    except rnn.WeightsError:
        told = isinstance(options["model"], str)
    else:
        told = answers.failed.pipeline is pipeline
    assert told


@pytest.mark.parametrize("name", MAKERS)
@given(
    arguments=st.lists(any_of(st.integers(-2, 5) | st.floats()), max_size=2),
    named=st.dictionaries(
        st.sampled_from(["start", "max_wait", "on_gap", "buffer"]),
        any_of(st.integers(-2, 5) | st.sampled_from(["wait", "skip", "fail"])),
    ),
)
def test_what_makes_options_refuses_by_name(
    name: str, arguments: list[Any], named: dict[str, Any]
) -> None:
    if name == "by_sequence":
        arguments = arguments[:1] or ["column"]
    elif name == "Limits":
        named = {}
    else:
        arguments, named = arguments[:1] or [1], {}
    try:
        said = repr(MAKERS[name](*arguments, **named))
    except rnn.OptionError as error:
        said = str(error)
    assert said


@given(
    arguments=st.lists(
        st.sampled_from(
            ["inspect", "--most", "-1", "3", "x", "--help", "--", "", "/", "\ud800", str(GOLDEN),
             str(GOLDEN / "state_v1_bare.bin")]
        )
        | st.text(max_size=4),
        max_size=5,
    )
)  # fmt: skip
def test_command_lines(arguments: list[str]) -> None:
    """Codes are 0 or 2, and nothing is raised."""
    if arguments and arguments[0] not in ("inspect",) and not arguments[0].startswith("-"):
        arguments = ["inspect", *arguments]  # the pipelines read their own arguments
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, SystemExit | type(None)), done.exception
    assert done.exit_code in (0, 2)
    if done.exit_code:
        assert done.stderr or done.stdout
