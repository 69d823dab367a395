"""What streams must answer, told one stream and one sequence at a time."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

import beam_rnn as rnn
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.shard import NEVER


class Event(NamedTuple):
    stream: str
    time: int  # microseconds
    x: int
    end: bool
    reset: bool = False
    number: int = 0


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
        if current and event.reset:
            found.append((current, event.time))
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
    streams: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        streams[event.stream].append(event)
    found = {stream: sequences(mine, expire_after, watermark) for stream, mine in streams.items()}
    return answers_of(net, found, emit=emit, lookahead=lookahead, per_sequence=per_sequence)


def answers_of(
    net: rnn.Network,
    streams: dict[str, list[tuple[list[Event], int | None]]],
    *,
    emit: str | Emit = "each",
    lookahead: int = 0,
    per_sequence: bool = False,
) -> dict[str, list[Said]]:
    """The answers to sequences, by `unroll` of each."""
    when = Emit.of(emit)
    answers: dict[str, list[Said]] = defaultdict(list)
    for stream, mine in streams.items():
        for sequence, ended in mine:
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


@dataclass
class Numbered:
    """One stream whose events are stepped in the order of their numbers, one event at a time."""

    max_wait: int | None
    on_gap: str
    expire_after: int | None
    sequences: list[tuple[list[Event], int | None]] = field(default_factory=list)
    failed: list[Event] = field(default_factory=list)
    late: list[Event] = field(default_factory=list)
    duplicates: int = 0
    gaps: int = 0

    def __post_init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.next, self.told, self.has_failed, self.latest = 0, -1, False, NEVER
        self.held: dict[int, Event] = {}
        self.missed: set[int] = set()
        self.current: list[Event] = []

    def event(self, event: Event) -> None:
        if self.has_failed and not event.reset:
            self.failed.append(event)
            self.latest = max(self.latest, event.time)
        elif not self.has_failed and event.number in self.missed:
            self.late.append(event)
        elif not self.has_failed and (event.number < self.next or event.number in self.held):
            self.duplicates += 1
        else:
            if self.has_failed:
                self.has_failed, self.next = False, event.number
            self.held[event.number] = event
            self._step()

    def _step(self) -> None:
        while self.next in self.held:
            event = self.held.pop(self.next)
            self.next += 1
            idle = self.expire_after is not None and event.time - self.latest >= self.expire_after
            if idle:
                self._end(self.latest + (self.expire_after or 0))
            elif event.reset:
                self._end(event.time)
            self.latest = max(self.latest, event.time)
            self.current.append(event)
            if event.end:
                self._end(event.time)

    def _end(self, time: int) -> None:
        if self.current:
            self.sequences.append((self.current, time))
        self.current = []

    def watermark(self, now: int | None) -> None:
        """Timers up to `now` fire; None: the window closes."""
        latest = max([self.latest, *(event.time for event in self.held.values())])
        closes = now is None or (
            self.expire_after is not None and latest != NEVER and latest + self.expire_after <= now
        )
        while self.held and (closes or self._waited(now)):
            first = min(self.held)
            if self.told != self.next:
                self.gaps += 1
            if self.on_gap == "skip":
                self.missed |= set(range(self.next, first))
                self.next = first
                self._step()
            elif self.on_gap == "fail" or closes:
                self.failed += self.held.values()
                self.latest = latest
                self.held, self.has_failed = {}, True
            else:
                self.told = self.next
                break
        if closes:
            ended = self.latest + (self.expire_after or 0)
            self._end(ended)
            self._forget()

    def _waited(self, now: int | None) -> bool:
        first = min(event.time for event in self.held.values())
        return now is not None and self.max_wait is not None and first + self.max_wait <= now
