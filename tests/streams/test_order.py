"""The options of orders: what is wrong is said with the value."""

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import beam_rnn as rnn


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((7,), {}, r"by_sequence\(7\): expected a function of the value, or a column"),
        ((int,), {"start": 1.0}, r"start is 1.0, expected a whole number"),
        ((int,), {"max_wait": -1}, r"max_wait is -1, expected seconds from 0, or None"),
        ((int,), {"max_wait": float("nan")}, r"max_wait is nan"),
        ((int,), {"on_gap": "stop"}, r"on_gap is 'stop', expected \"wait\", \"skip\" or \"fail\""),
        ((int,), {"on_gap": "skip"}, r"on_gap=\"skip\" needs max_wait"),
        ((int,), {"buffer": 0}, r"buffer is 0, expected a number of events from 1"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(rnn.OptionError, match=message):
        rnn.by_sequence(*arguments, **options)


@pytest.mark.parametrize("lateness", [-1, float("nan"), 10**400, "1", 1 << 60])
def test_a_wrong_lateness_is_named(lateness: Any) -> None:
    message = re.escape(f"lateness is {lateness!r}, expected seconds from 0")
    with pytest.raises(rnn.OptionError, match=message):
        rnn.by_event_time(lateness)


@pytest.mark.parametrize("lateness", [5, 5.0, Fraction(5), np.float16(5), np.uint8(5)])
def test_seconds_of_any_type_are_the_same_microseconds(lateness: Any) -> None:
    assert rnn.by_event_time(lateness) == rnn.by_event_time(5)
    assert rnn.by_event_time(lateness).lateness == 5_000_000
