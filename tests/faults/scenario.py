"""Jobs over random streams, and what each answers when nothing fails."""

import functools
import itertools
import random
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np

import beam_rnn as rnn
from tests.runners.histories import D, expected, interleaved, network, streams
from tests.runners.sources import Event

Answer = tuple[str, int, Any, float, float]  # stream, step, label, score, time
Value = tuple[int, np.ndarray, bool]  # number, x, whether its sequence ends
ORDERS = ("arrival", "sequence", "time", "sessions")
IDLE = 600.0  # seconds after which a session has ended


@dataclass(frozen=True)
class Scenario:
    """A job: the same seed, the same events and answers.

    Attributes:
        name: what it is, for messages.
        chunks: the events in the order of their arrival, cut at random.
        transform: what steps them.
        answers: all that is answered when nothing fails.
    """

    name: str
    chunks: list[list[Event]]
    transform: beam.PTransform
    answers: frozenset[Answer]

    def step(self, events: Any) -> Any:
        """A PCollection of the events -> a PCollection of Answer."""
        kind = tuple[str, beam.typehints.Tuple[int, np.ndarray, bool]]
        typed = events | "Typed" >> beam.Map(_same).with_output_types(kind)
        return typed | "Step" >> self.transform | "Answers" >> beam.ParDo(_Answers())


class _Answers(beam.DoFn):
    """(stream, Tagged or Classified) -> Answer."""

    def process(
        self, element: tuple[str, Any], time: Any = beam.DoFn.TimestampParam
    ) -> Iterator[Answer]:
        stream, answer = element
        step = answer.step if isinstance(answer, rnn.Tagged) else answer.steps
        yield stream, step, answer.label, answer.score, time.micros / 1e6


def scenario(
    seed: int, orders: Sequence[str] = ORDERS, *, number: int = 30, longest: int = 20
) -> Scenario:
    """The scenario of a seed: model, order, shards and streams differ from the next one's.

    Args:
        orders: "arrival", "sequence" (disordered, some events twice), "time" (disordered) and
            "sessions" (Classify, with gaps after which streams expire). The last two need timers.
        number: of streams, and `longest` the largest number of their events; where states are
            wide, there are 350 streams of up to 4.
    """
    chance = random.Random(seed)
    order = chance.choice(orders)
    wide = chance.random() < 0.25
    net, path = model(wide=wide, lookahead=chance.choice([0, 0, 1, 3]))
    shards = 1 if wide else chance.choice([1, 3, 32])
    sequences = streams(350, 4, seed) if wide else streams(number, longest, seed)
    events = interleaved(sequences, seed)
    if order == "sessions":
        events = _with_gaps(events, chance)
    lasts = {key: place for place, (key, *_) in enumerate(events)}
    ends = [
        order != "sessions" and (place == lasts[key] or chance.random() < 0.1)
        for place, (key, *_) in enumerate(events)
    ]
    numbers: dict[str, int] = defaultdict(int)
    arriving: list[Event] = []
    for (key, x, time), end in zip(events, ends, strict=True):
        arriving.append((key, (numbers[key], x, end), time))
        numbers[key] += 1
    if order in ("sequence", "time"):
        arriving = _disordered(arriving, chance, twice=order == "sequence")
    options: dict[str, Any] = {"x": _x, "shards": shards}
    step: type[beam.PTransform] = rnn.Tag
    if order == "sessions":
        step, options["expire_after"] = rnn.Classify, IDLE
    else:
        options["end"] = _end
        options["order"] = {
            "arrival": rnn.arrival,
            "sequence": rnn.by_sequence(_number),
            "time": rnn.by_event_time(),
        }[order]
    return Scenario(
        f"seed {seed}: {order}, {shards} shards, lookahead {net.lookahead}, "
        f"{net.state_size} floats",
        _cut(arriving, chance),
        step(path, **options),
        frozenset(_answers(net, events, ends, sessions=order == "sessions")),
    )


@functools.cache
def model(*, wide: bool, lookahead: int) -> tuple[rnn.Network, str]:
    """A network, and the path of its file, which goes with the process.

    A shard of a few hundred wide states, 2 KB each, is so large that a worker keeps its rows from
    bundle to bundle.
    """
    net = network(lookahead=lookahead)
    if wide:
        draw = np.random.default_rng(2)
        H = 512
        shapes = [(H, D), (H, H), (H,), (5, H), (5,)]
        W_x, W_a, b, W_y, b_y = (draw.normal(0, 0.05, s).astype(np.float32) for s in shapes)
        layers = [rnn.RNN(W_x, W_a, b), rnn.Dense(W_y, b_y, "softmax")]
        net = rnn.Network(layers, labels=list("abcde"), lookahead=lookahead)
    path = f"{_folder().name}/{wide}-{lookahead}.safetensors"
    rnn.save(net, path)
    return net, path


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="beam-rnn-")


def _with_gaps(events: list[Event], chance: random.Random) -> list[Event]:
    """The same events at other times, so that some streams rest for long."""
    time = 0.0
    moved = []
    for key, x, _ in events:
        time += chance.choice([0.5, 1, 2, 100])
        moved.append((key, x, time))
    return moved


def _disordered(events: list[Event], chance: random.Random, *, twice: bool) -> list[Event]:
    """Each event up to 30 places later than its turn, a quarter of them twice."""
    copies = [
        (place, event)
        for place, event in enumerate(events)
        for _ in range(chance.choice([1, 1, 1, 2]) if twice else 1)
    ]
    return [event for _, event in sorted(copies, key=lambda copy: copy[0] + chance.randrange(30))]


def _cut(events: list[Event], chance: random.Random) -> list[list[Event]]:
    """Events in bundles of random lengths, a dozen or so of them."""
    starts = [0]
    while starts[-1] < len(events):
        starts.append(starts[-1] + chance.choice([1, 5, 20, 60]))
    return [events[start:stop] for start, stop in itertools.pairwise(starts)]


def _answers(
    net: rnn.Network, events: list[Event], ends: list[bool], *, sessions: bool
) -> Iterator[Answer]:
    """What each sequence answers, by `unroll` of the whole of it."""
    turn: dict[str, int] = defaultdict(int)
    latest: dict[str, float] = {}
    parts: list[Event] = []  # each sequence as a stream of its own
    for (key, x, time), end in zip(events, ends, strict=True):
        if sessions and time - latest.get(key, time) >= IDLE:
            turn[key] += 1
        latest[key] = time
        parts.append((f"{key}/{turn[key]}", x, time))
        turn[key] += end
    for name, answers in expected(net, parts, net.lookahead).items():
        stream = name.split("/")[0]
        if sessions:
            label, score, step, time = answers[-1]
            yield stream, step, label, score, time + IDLE
        else:
            for label, score, step, time in answers:
                yield stream, step, label, score, time


def _same(event: Any) -> Any:
    return event


def _number(value: Value) -> int:
    return value[0]


def _x(value: Value) -> np.ndarray:
    return value[1]


def _end(value: Value) -> bool:
    return value[2]
