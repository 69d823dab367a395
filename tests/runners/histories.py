"""Random streams, how their events arrive, and what `unroll` answers to each."""

import random
from collections import defaultdict
from typing import Any

import numpy as np

import beam_rnn as rnn
from tests.runners.sources import Event

D, C = 6, 5


def network(**options: Any) -> rnn.Network:
    """An LSTM under a GRU, all of it random."""
    draw = np.random.default_rng(1)

    def weights(*shape: int) -> np.ndarray:
        return draw.normal(0, 0.4, shape).astype(np.float32)

    return rnn.Network(
        [
            rnn.LSTM(weights(96, D), weights(96, 24), weights(96)),
            rnn.GRU(weights(60, 24), weights(60, 20), weights(60), weights(20)),
            rnn.Dense(weights(C, 20), weights(C), "softmax"),
        ],
        labels=[f"class {i}" for i in range(C)],
        **options,
    )


def streams(number: int, longest: int, seed: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return {
        f"stream {i}": draw.normal(size=(int(draw.integers(1, longest + 1)), D)).astype(np.float32)
        for i in range(number)
    }


def interleaved(sequences: dict[str, np.ndarray], seed: int) -> list[Event]:
    """All events, each stream in its order, at times that ascend."""
    chance = random.Random(seed)
    waiting = [key for key, xs in sequences.items() for _ in xs]
    chance.shuffle(waiting)
    at: dict[str, int] = defaultdict(int)
    events = []
    for time, key in enumerate(waiting):
        events.append((key, sequences[key][at[key]], float(time)))
        at[key] += 1
    return events


def cut(events: list[Event], seed: int) -> list[list[Event]]:
    """Events in chunks of random lengths from 1."""
    chance = random.Random(seed)
    chunks = []
    while events:
        size = chance.choice([1, 3, 20, 100, 400])
        chunks.append(events[:size])
        events = events[size:]
    return chunks


def expected(
    net: rnn.Network, events: list[Event], lookahead: int = 0
) -> dict[str, list[tuple[Any, ...]]]:
    """What each stream answers, by `unroll` of the whole of it: (label, score, step, time)."""
    assert net.labels is not None
    by_stream = defaultdict(list)
    for key, x, time in events:
        by_stream[key].append((x, time))
    answers = {}
    for key, sequence in by_stream.items():
        xs = np.array([x for x, _ in sequence] + [np.zeros(D, np.float32)] * lookahead)
        ys = net.unroll(xs)[0][lookahead:]
        answers[key] = [
            (net.labels[y.argmax()], float(y.max()), step, time)
            for step, (y, (_, time)) in enumerate(zip(ys, sequence, strict=True), 1)
        ]
    return answers


def by_step(collected: list[Any]) -> dict[str, list[tuple[Any, ...]]]:
    found = defaultdict(list)
    for (key, answer), time, _ in collected:
        found[key].append((answer.label, answer.score, answer.step, time))
    return {key: sorted(answers, key=lambda answer: answer[2]) for key, answers in found.items()}
