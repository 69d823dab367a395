"""In which order the events of a stream are stepped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

from beam_rnn.errors import OptionError

MOST_MICROS = 1 << 60  # the longest time, about 36,000 years
_GAPS = ("wait", "skip", "fail")


@dataclass(frozen=True)
class Numbers:
    """How the events of a stream are numbered, and what happens where a number is missing.

    Attributes:
      of: value -> number; for record batches the name of the column of numbers.
      start: the number of a stream's first event.
      max_wait: microseconds of event time for which a missing event is waited for, or None.
      on_gap: "wait", "skip" or "fail", when it has not come by then.
      buffer: how many events of a stream are held back at most.
    """

    of: Callable[[Any], int] | str
    start: int
    max_wait: int | None
    on_gap: str
    buffer: int


@dataclass(frozen=True)
class Order:
    """An order of events; made by ``arrival``, ``by_event_time`` and ``by_sequence``.

    Attributes:
      name: how it is told.
      lateness: microseconds behind the watermark for which events are waited for; None where the
        order does not look at times.
      numbers: how events are numbered; None where the order does not look at numbers.
    """

    name: str
    lateness: int | None = None
    numbers: Numbers | None = None

    def __repr__(self) -> str:
        return f"beam_rnn.{self.name}"


arrival = Order("arrival")
"""As the runner brings them. Streaming runners keep the order of one producer; batch runners
keep none."""

event_time = Order("event_time", 0)
"""By timestamp: ``by_event_time()``, without waiting for late events."""


def micros(seconds: object) -> int | None:
    """The microseconds of seconds from 0; None where they are none, or 64 bits do not hold them."""
    if not isinstance(seconds, Real):
        return None
    try:
        exact = float(seconds)  # a number of numpy would stay as narrow as it is
    except OverflowError:
        return None
    return round(exact * 1e6) if 0 <= exact <= MOST_MICROS / 1e6 else None


def by_event_time(lateness: float = 0) -> Order:
    """By timestamp; events of one time in the order in which they came.

    Unbounded events wait until the watermark has passed their time by ``lateness`` seconds. An
    event that comes when its stream has stepped a later one is not stepped: it leaves on ``.late``.

    Raises:
      OptionError: lateness is negative.
    """
    waits = micros(lateness)
    if waits is None:
        raise OptionError(f"lateness is {lateness!r}, expected seconds from 0")
    return Order(f"by_event_time({float(lateness):g})", waits)


def by_sequence(
    fn: Callable[[Any], int] | str,
    start: int = 0,
    *,
    max_wait: float | None = None,
    on_gap: str = "wait",
    buffer: int = 1000,
) -> Order:
    """By number: each event of a stream has the number of the one before it plus one.

    An event whose number was stepped or waits already is a duplicate: dropped, and counted by the
    metric ``duplicates``. An event behind a gap is held back until the gap is filled. The numbers
    go on behind the ``end`` of a sequence, so a stream is remembered until ``expire_after``.

    Args:
      fn: value -> number; for record batches the name of the column of numbers.
      start: the number of a stream's first event.
      max_wait: seconds of event time, from the time of the first event behind a gap, after which
        the gap is reported on ``.failed``; None: never.
      on_gap: what happens then. "wait": the gap is still waited for. "skip": the events behind it
        are stepped; those that were missing leave on ``.late`` if they come. "fail": the events
        behind it, and all that follow until the stream expires or begins anew with a ``reset``
        event, leave on ``.failed``. When a stream expires, its window closes or bounded input
        ends, nothing more can come: with "wait" and "fail" the events behind a gap then leave on
        ``.failed``.
      buffer: how many events of a stream are held back; further ones leave on ``.failed``.

    Raises:
      OptionError: an argument is wrong.
    """
    if not (callable(fn) or isinstance(fn, str)):
        raise OptionError(f"by_sequence({fn!r}): expected a function of the value, or a column")
    if type(start) is not int:
        raise OptionError(f"start is {start!r}, expected a whole number")
    wait = None if max_wait is None else micros(max_wait)
    if max_wait is not None and wait is None:
        raise OptionError(f"max_wait is {max_wait!r}, expected seconds from 0, or None")
    if on_gap not in _GAPS:
        raise OptionError(f'on_gap is {on_gap!r}, expected "wait", "skip" or "fail"')
    if on_gap != "wait" and max_wait is None:
        raise OptionError(f'on_gap="{on_gap}" needs max_wait: how long a gap is waited for')
    if type(buffer) is not int or buffer < 1:
        raise OptionError(f"buffer is {buffer!r}, expected a number of events from 1")
    return Order("by_sequence", numbers=Numbers(fn, start, wait, on_gap, buffer))
