"""A line of input is an event, or a failed input that says why."""

import json

import pytest
from apache_beam.utils.timestamp import Timestamp

from pipelines.events import Event, Failed, parse, time_of


def line(**fields: object) -> bytes:
    return json.dumps(
        {"stream": "s", "time": "2026-01-05T09:00:00Z", "text": "a"} | fields
    ).encode()


def test_a_line_is_an_event() -> None:
    assert parse(line()) == Event("s", Timestamp(1767603600), "a", False)
    assert parse(line(end=True, more=[1])) == Event("s", Timestamp(1767603600), "a", True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2026-01-05T09:00:00.250Z", 1767603600.25),
        ("2026-01-05T10:00:00+01:00", 1767603600),
        ("2026-01-05 09:00:00+0000", 1767603600),
        (1767603600, 1767603600),
        (1767603600.5, 1767603600.5),
        (-1.5, -1.5),
        ("1969-12-31T23:59:58.500Z", -1.5),
    ],
)
def test_times(value: object, seconds: float) -> None:
    assert time_of(value) == Timestamp(micros=round(seconds * 1e6))


@pytest.mark.parametrize(
    ("data", "stream", "reason"),
    [
        (b"{", "", "not JSON: Expecting property name"),
        (b"hello", "", "not JSON: "),
        (b"\xff\xfe\xff", "", "not UTF-8"),
        (b'{"a":' * 100_000, "", "not JSON: "),
        (b"[1]", "", "expected an object with stream, time and text, got a list"),
        (b"3", "", "expected an object with stream, time and text, got the number 3"),
        (b'{"time": 1, "text": "a"}', "", "has no stream"),
        (b'{"stream": "s", "text": "a"}', "s", "has no time"),
        (b'{"stream": "s", "time": 1}', "s", "has no text"),
        (line(stream=3), "", "stream must be a string, got the number 3"),
        (line(stream=""), "", "stream is empty"),
        (line(text=None), "s", "text must be a string, got null"),
        (line(text="\ud800"), "s", "text holds half of a surrogate pair"),
        (line(end=1), "s", "end must be true or false, got the number 1"),
        (line(time="noon"), "s", "time 'noon' has no zone"),
        (line(time="noonZ"), "s", "time 'noonZ' is not ISO 8601"),
        (line(time="2026-01-05T09:00:00"), "s", "has no zone: end it with Z or an offset"),
        (line(time="2026-13-05T09:00:00Z"), "s", "is not ISO 8601"),
        (line(time=True), "s", "time must be ISO 8601 or seconds since 1970, got true or false"),
        (line(time=[1]), "s", "time must be ISO 8601 or seconds since 1970, got a list"),
        (line(time=float("nan")), "s", "time nan is out of range"),
        (line(time=1e300), "s", "time 1e+300 is out of range"),
    ],
)
def test_a_bad_line_says_what_is_wrong(data: bytes, stream: str, reason: str) -> None:
    failed = parse(data)
    assert isinstance(failed, Failed)
    assert failed.stream == stream
    assert reason in failed.reason
    assert failed.input == data.decode(errors="replace")
