"""Translate, Generate and whole-sequence Tag on every runner: what they give in batch, to the bit.

A runner cuts bundles as it likes and may try one again: draws, too, must not depend on it.
"""

import random
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

VALUE = beam.typehints.Tuple[int, bool]


def histories(seed: int, number: int = 40) -> tuple[dict[str, list[list[int]]], list[Any]]:
    """Sequences of ids of each key, and their events (key, (id, last), time), interleaved."""
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


def collected(
    runner: Runner, events: list[Any], transform: beam.PTransform, seed: int
) -> list[Any]:
    return runner.collect(
        lambda p: (
            p
            | replay(cut(events, seed), bounded=not runner.unbounded)
            | beam.Map(lambda event: event).with_output_types(
                tuple[str, beam.typehints.Tuple[int, bool]]
            )
            | transform
        ),
        max_bundle_size=random.Random(seed).choice([7, 37, 200]),
        streaming=runner.unbounded,
    )


def one(value: tuple[int, bool]) -> int:
    return value[0]


def last(value: tuple[int, bool]) -> bool:
    return value[1]


def test_translate(runner: Runner) -> None:
    model = MODELS["Bahdanau"]
    sequences, events = histories(1)
    transform = rnn.Translate(model, x=one, end=last, width=3, best=2, alpha=0.5, shards=5)
    wanted = []
    for key, parts in sequences.items():
        found = model.translate([np.array(part) for part in parts], width=3, best=2, alpha=0.5)
        for part, hypotheses in zip(parts, found, strict=True):
            for rank, h in enumerate(hypotheses, 1):
                assert h.alignment is not None
                places = (h.alignment + 1).tolist()
                wanted.append((key, (h.tokens.tolist(), h.score, rank, places, len(part))))
    answers = collected(runner, events, transform, seed=1)
    found_rows = [(key, (list(a[0]), a[1], a[2], list(a[3]), a[4])) for key, a in answers]
    assert sorted(found_rows) == sorted(wanted)


def test_generate(runner: Runner) -> None:
    sequences, events = histories(2)
    transform = rnn.Generate(WRITER, x=one, end=last, limit=9, seed=5, stop=4, top_p=0.9, shards=5)
    wanted = []
    for key, parts in sequences.items():
        for part in parts:
            tokens, _ = continued(key, part, 9, Sampling(top_p=0.9), stop=4)
            wanted.append((key, (tuple(tokens), len(part) + len(tokens), len(tokens) < 9)))
    answers = collected(runner, events, transform, seed=2)
    found = [(key, (tuple(a.output), a.step, a.stopped)) for key, a in answers]
    assert sorted(found) == sorted(wanted)


def test_ticks(runner: Runner) -> None:
    """Each event is read, and two tokens are drawn behind it."""
    sequences, events = histories(3, number=20)
    transform = rnn.Generate(WRITER, x=one, end=last, more=2, seed=5, shards=3)
    wanted = []
    for key, parts in sequences.items():
        for part in parts:
            read: list[int] = []
            for x in part:
                tokens, _ = continued(key, [*read, x], 2, Sampling())
                read += [x, *tokens]
                wanted.append((key, (tuple(tokens), len(read))))
    answers = collected(runner, events, transform, seed=3)
    found = [(key, (tuple(a.output), a.step)) for key, a in answers]
    assert sorted(found) == sorted(wanted)


def test_tag_at_the_end_of_a_sequence(runner: Runner) -> None:
    sequences, events = histories(4)
    transform = rnn.Tag(READER, x=one, end=last, shards=5)
    assert READER.labels is not None
    wanted = []
    for key, parts in sequences.items():
        for part in parts:
            for step, (x, row) in enumerate(
                zip(part, READER.unroll(np.array(part))[0], strict=True), 1
            ):
                label = READER.labels[row.argmax()]
                wanted.append((key, x, label, float(row.max()), step))
    answers = collected(runner, events, transform, seed=4)
    found = [(key, a.input[0], a.label, a.score, a.step) for key, a in answers]
    assert sorted(found) == sorted(wanted)
