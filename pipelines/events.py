"""One line of input: a piece of a text, or something else observed, or the reason why not."""

import json
import math
import re
from datetime import datetime
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.typehints.native_type_compatibility import convert_to_beam_type
from apache_beam.utils.timestamp import Timestamp

FAILED = "failed"
"""The output of a DoFn on which Failed leave."""

MOST_SAID = 200
"""Characters of an input that failed and is no text."""

# Beam's own range is wider, but dates that Python cannot write help nobody.
_LAST_SECOND = datetime.fromisoformat("9999-12-31T00:00:00Z").timestamp()
_FIRST_SECOND = datetime.fromisoformat("0001-01-02T00:00:00Z").timestamp()
_HAS_ZONE = re.compile(r"(?:[zZ]|[+-]\d\d:?\d\d)$")


class Event(NamedTuple):
    """A piece of the text of one stream."""

    stream: str
    time: Timestamp
    text: str
    end: bool = False  # whether it is the last of its stream


class Observed(NamedTuple):
    """What was observed of one stream at one moment."""

    stream: str
    time: Timestamp
    value: Any  # None: nothing, it only ends
    end: bool = False  # whether it is the last of its stream


class Failed(NamedTuple):
    """An input that could not be used."""

    stream: str  # "" where it is not known
    reason: str
    input: str


class WithFailed(beam.PTransform):
    """What a DoFn gives; its Failed on the output FAILED are ``failed`` of the PCollection.

    Args:
      fn: the DoFn.
      kind: of what it gives.
    """

    def __init__(self, fn: beam.DoFn, kind: Any) -> None:
        super().__init__()
        self._fn = fn
        self._kind = kind

    def expand(self, values: beam.PCollection[Any]) -> beam.PCollection[Any]:
        """Applies the DoFn."""
        outputs = values | "Each" >> beam.ParDo(self._fn).with_outputs(FAILED, main="good")
        good = outputs["good"]
        good.element_type = convert_to_beam_type(self._kind)
        good.failed = outputs[FAILED]
        good.failed.element_type = Failed
        return good


def parse(line: bytes, field: str = "text", **absent: Any) -> Event | Observed | Failed:
    """Reads one JSON line with ``stream``, ``time``, ``text`` and perhaps ``end``.

    ``field``: what stands for ``text``; another than this gives an Observed. ``absent``: fields
    that the line may leave out.
    """
    try:
        fields = json.loads(line)
        if isinstance(fields, dict):
            fields = absent | fields
    except UnicodeDecodeError:
        return Failed("", "not UTF-8", line.decode(errors="replace"))
    except (ValueError, RecursionError) as error:
        return Failed("", f"not JSON: {error}", line.decode(errors="replace"))
    stream = fields.get("stream") if isinstance(fields, dict) else None
    try:
        return event(fields, field)
    except ValueError as error:
        known = stream if isinstance(stream, str) else ""
        return Failed(known, str(error), line.decode(errors="replace"))


def event(fields: Any, field: str = "text") -> Event | Observed:
    """Makes an event of a mapping; see ``parse``.

    Raises:
      ValueError: a field is absent or wrong; the message says which and what was expected.
    """
    if not isinstance(fields, dict):
        raise ValueError(f"expected an object with stream, time and {field}, got {_kind(fields)}")
    end = fields.get("end", False)
    if not isinstance(end, bool):
        raise ValueError(f"end must be true or false, got {_kind(end)}")
    ends_only = end and field != "text" and fields.get(field) is None
    for name in ("stream", "time", *([] if ends_only else [field])):
        if name not in fields:
            raise ValueError(f"has no {name}")
    stream = _text("stream", fields["stream"])
    if not stream:
        raise ValueError("stream is empty")
    time = time_of(fields["time"])
    if field == "text":
        return Event(stream, time, _text("text", fields["text"]), end)
    return Observed(stream, time, None if ends_only else fields[field], end)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string, got {_kind(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds half of a surrogate pair") from None
    return value


def kind_of(field: str) -> type:
    """Of what type events of a field are; see ``parse``."""
    return Event if field == "text" else Observed


def ending(last: Event | Observed) -> Event | Observed:
    """What ends a stream of which nothing comes behind ``last``."""
    if isinstance(last, Event):
        return last._replace(text="", end=True)
    return last._replace(value=None, end=True)


def time_of(value: Any) -> Timestamp:
    """Reads a time: ISO 8601 with a zone, or seconds since 1970.

    Raises:
      ValueError: it is neither.
    """
    if isinstance(value, datetime):
        value = value.isoformat() + ("" if value.tzinfo else "Z")
    if isinstance(value, str):
        if not _HAS_ZONE.search(value):
            raise ValueError(f"time {value!r} has no zone: end it with Z or an offset")
        try:
            seconds = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"time {value!r} is not ISO 8601") from None
        try:
            whole = int(seconds.replace(microsecond=0).timestamp())
        except (OverflowError, ValueError):
            raise ValueError(f"time {value!r} is out of range") from None
        return Timestamp(seconds=whole, micros=seconds.microsecond)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"time must be ISO 8601 or seconds since 1970, got {_kind(value)}")
    if not math.isfinite(value) or not _FIRST_SECOND <= value <= _LAST_SECOND:
        raise ValueError(f"time {value!r} is out of range")
    return Timestamp(micros=round(value * 1_000_000))


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", bool: "true or false", type(None): "null"}
    if isinstance(value, str):
        return f"the string {value[:40]!r}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"the number {str(value)[:40]}"
    return kinds.get(type(value), type(value).__name__)


def as_failed(bad: Any) -> Failed:
    """What a transform could not take (``rnn.BadEvent``) as a row of the failed output."""
    if isinstance(bad, Failed):
        return bad
    value = bad.input
    if isinstance(value, Event):
        fields = {"stream": value.stream, "time": value.time.to_rfc3339(), "text": value.text}
        return Failed(bad.stream, bad.reason, json.dumps(fields, ensure_ascii=False))
    return Failed(bad.stream, bad.reason, str(value)[:MOST_SAID])
