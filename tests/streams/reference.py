"""What streams must answer, told one stream and one sequence at a time."""

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

import beam_rnn as rnn
from beam_rnn.streams.emit import Emit


class Event(NamedTuple):
    stream: str
    time: int  # microseconds
    x: int
    end: bool


class Said(NamedTuple):
    time: int
    input: Any
    label: Any
    score: float
    step: int


def sequences(
    events: list[Event], expire_after: int | None, watermark: int
) -> list[tuple[list[Event], int | None]]:
    """The sequences of one stream, each with the time at which it ended, or None."""
    found: list[tuple[list[Event], int | None]] = []
    current: list[Event] = []
    latest = 0
    for event in events:
        if current and expire_after is not None and event.time - latest >= expire_after:
            found.append((current, latest + expire_after))
            current = []
        latest = max(latest, event.time) if current else event.time
        current.append(event)
        if event.end:
            found.append((current, event.time))
            current = []
    if current:
        due = None if expire_after is None else latest + expire_after
        found.append((current, due if due is not None and due <= watermark else None))
    return found


def reference(
    net: rnn.Network,
    events: list[Event],
    *,
    emit: str | Emit = "each",
    lookahead: int = 0,
    expire_after: int | None = None,
    per_sequence: bool = False,
    watermark: int = -1,
) -> dict[str, list[Said]]:
    """The answers of each stream, by `unroll` of its sequences; timers fire up to `watermark`."""
    when = Emit.of(emit)
    streams: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        streams[event.stream].append(event)
    answers: dict[str, list[Said]] = defaultdict(list)
    for stream, mine in streams.items():
        for sequence, ended in sequences(mine, expire_after, watermark):
            pads = lookahead if ended is not None else 0
            ys = net.unroll(np.array([event.x for event in sequence] + [0] * pads))[0][lookahead:]
            said = None
            for step, (event, y) in enumerate(zip(sequence, ys, strict=False), 1):
                label = int(y.argmax())
                last = ended is not None and step == len(sequence)
                usual = label != said if when.change else when.each > 0 and step % when.each == 0
                if usual or (last and when.each != 1 and not when.change):
                    said = label
                    time, value = event.time, event.x
                    if per_sequence:  # the answer is of the time that brought it
                        after = sequence[step - 1 + lookahead :]
                        time, value = after[0].time if usual and after else ended, None
                    answers[stream].append(Said(time, value, label, float(y[label]), step))
    return answers
