"""Jobs that generate, translate, and tag whole sequences, and what they answer in batch."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np

import beam_rnn as rnn
from beam_rnn.nn import Sampling
from tests.nn.translators import MODELS
from tests.nn.writers import READER, WRITER, continued
from tests.runners.harness import Runner
from tests.runners.histories import cut
from tests.runners.sources import replay


@dataclass(frozen=True)
class Shape:
    """A job.

    Attributes:
      events: (key, (id, whether its sequence ends), time).
      transform: what answers.
      told: an answer, as it is compared.
      wanted: (key, what is told) of all answers.
    """

    events: list[Any]
    transform: beam.PTransform
    told: Callable[[Any], Any]
    wanted: list[Any]

    def found(self, runner: Runner, seed: int) -> list[Any]:
        """What the job answers on a runner, the events cut into bundles at random."""
        collected = runner.collect(
            lambda p: (
                p
                | replay(cut(self.events, seed), bounded=not runner.unbounded)
                | beam.Map(lambda event: event).with_output_types(
                    tuple[str, beam.typehints.Tuple[int, bool]]
                )
                | self.transform
            ),
            max_bundle_size=random.Random(seed).choice([7, 37, 200]),
            streaming=runner.unbounded,
        )
        return sorted((key, self.told(answer)) for key, answer in collected)


def histories(seed: int, number: int = 40) -> tuple[dict[str, list[list[int]]], list[Any]]:
    """Sequences of ids of each key, and their events, the keys in any order."""
    draw = np.random.default_rng(seed)
    sequences = {
        f"key {k}": [draw.integers(0, 9, draw.integers(1, 7)).tolist() for _ in range(4)]
        for k in range(number)
    }
    queues = {
        key: [(x, i == len(part) - 1) for part in parts for i, x in enumerate(part)]
        for key, parts in sequences.items()
    }
    waiting = [key for key, queue in queues.items() for _ in queue]
    random.Random(seed).shuffle(waiting)
    return sequences, [(key, queues[key].pop(0), float(i)) for i, key in enumerate(waiting)]


def one(value: tuple[int, bool]) -> int:
    return value[0]


def last(value: tuple[int, bool]) -> bool:
    return value[1]


def translate() -> Shape:
    """With attention, so that outputs are kept, and a beam."""
    model = MODELS["Bahdanau"]
    sequences, events = histories(1)
    wanted = []
    for key, parts in sequences.items():
        found = model.translate([np.array(part) for part in parts], width=3, best=2, alpha=0.5)
        for part, hypotheses in zip(parts, found, strict=True):
            for rank, h in enumerate(hypotheses, 1):
                assert h.alignment is not None
                places = (h.alignment + 1).tolist()
                wanted.append((key, (h.tokens.tolist(), h.score, rank, places, len(part))))
    return Shape(
        events,
        rnn.Translate(model, x=one, end=last, width=3, best=2, alpha=0.5, shards=5),
        lambda said: (list(said.output), said.score, said.rank, list(said.alignment), said.steps),
        wanted,
    )


def generate() -> Shape:
    """A nucleus, a stop token, a limit."""
    sequences, events = histories(2)
    wanted = []
    for key, parts in sequences.items():
        for part in parts:
            tokens, _ = continued(key, part, 9, Sampling(top_p=0.9), stop=4)
            wanted.append((key, (tokens, len(part) + len(tokens), len(tokens) < 9)))
    return Shape(
        events,
        rnn.Generate(WRITER, x=one, end=last, limit=9, seed=5, stop=4, top_p=0.9, shards=5),
        lambda said: (list(said.output), said.step, said.stopped),
        wanted,
    )


def ticks() -> Shape:
    """Each event is read, and two tokens are drawn behind it."""
    sequences, events = histories(3, number=20)
    wanted = []
    for key, parts in sequences.items():
        for part in parts:
            read: list[int] = []
            for x in part:
                tokens, _ = continued(key, [*read, x], 2, Sampling())
                read += [x, *tokens]
                wanted.append((key, (tokens, len(read))))
    return Shape(
        events,
        rnn.Generate(WRITER, x=one, end=last, more=2, seed=5, shards=3),
        lambda said: (list(said.output), said.step),
        wanted,
    )


def whole() -> Shape:
    """Labels at the ends of sequences."""
    sequences, events = histories(4)
    assert READER.labels is not None
    wanted = []
    for key, parts in sequences.items():
        for part in parts:
            y = READER.unroll(np.array(part))[0]
            for step, (x, row) in enumerate(zip(part, y, strict=True), 1):
                wanted.append((key, (x, READER.labels[row.argmax()], float(row.max()), step)))
    return Shape(
        events,
        rnn.Tag(READER, x=one, end=last, shards=5),
        lambda said: (said.input[0], said.label, said.score, said.step),
        wanted,
    )


SHAPES = {"translate": translate, "generate": generate, "ticks": ticks, "whole": whole}
