"""Transcribe on every runner: chunks of sound in, the same texts as of the whole sound."""

import random
from collections import defaultdict
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

import beam_rnn as rnn
from beam_rnn.nn.ctc import CTC
from beam_rnn.streams.transcribing import Endpoint
from tests.runners.harness import TIMERS, Runner
from tests.runners.histories import cut
from tests.runners.sources import Event, replay
from tests.streams.tones import FRAMES, LABELS, network, said, sound

ENDPOINT = Endpoint(silence=0.3, after_speech=0.1, longest=0.5)
DECODER = CTC(LABELS, width=4)


def spoken(number: int, seed: int) -> dict[str, np.ndarray]:
    chance = random.Random(seed)
    texts = ["".join(chance.choices("aabbc -", k=chance.randint(1, 12))) for _ in range(number)]
    return {f"stream {i}": sound(text, i) for i, text in enumerate(texts)}


def chunks(sounds: dict[str, np.ndarray], seed: int) -> list[Event]:
    """Each sound in chunks of random lengths; the last one of each is empty and ends it."""
    chance = random.Random(seed)
    waiting: dict[str, list[bytes]] = {}
    for key, samples in sounds.items():
        edges = sorted(chance.randint(0, len(samples)) for _ in range(chance.randint(0, 12)))
        parts = np.split(samples, edges)
        waiting[key] = [*(part.tobytes() for part in parts if len(part)), b""]
    order = [key for key, parts in waiting.items() for _ in parts]
    chance.shuffle(order)
    return [(key, waiting[key].pop(0), float(time)) for time, key in enumerate(order)]


def transcribed(runner: Runner, events: list[Event], seed: int, **options: Any) -> list[Any]:
    return runner.collect_windowed(
        lambda p: (
            p
            | replay(cut(events, seed), bounded=not runner.unbounded)
            | beam.Map(lambda event: event).with_output_types(tuple[str, bytes])
            | rnn.Transcribe(
                network(lookahead=1),
                x=FRAMES,
                decoder=DECODER,
                endpoint=ENDPOINT,
                shards=5,
                **options,
            )
        ),
        max_bundle_size=random.Random(seed).choice([20, 100]),
        streaming=runner.unbounded,
    )


def by_stream(collected: list[Any]) -> dict[str, list[tuple[Any, ...]]]:
    found = defaultdict(list)
    for (key, text), _, _ in collected:
        found[key].append((text.step, text.text, text.final, list(text.times)))
    return {key: sorted(texts) for key, texts in found.items()}


def expected(sounds: dict[str, np.ndarray]) -> dict[str, list[tuple[Any, ...]]]:
    rows = {key: [x for _, x in FRAMES.feed(samples)[0]] for key, samples in sounds.items()}
    net = network(lookahead=1)
    return {key: said(net, np.array(x), DECODER, ENDPOINT) for key, x in rows.items()}


def test_chunks_of_sound_are_transcribed_as_the_whole(runner: Runner) -> None:
    sounds = spoken(40, seed=1)
    collected = transcribed(runner, chunks(sounds, 2), 3, end=lambda chunk: not chunk)
    assert by_stream(collected) == expected(sounds)


@pytest.mark.parametrize("runner", TIMERS, indirect=True)
def test_a_stream_that_falls_silent_expires_with_its_text(runner: Runner) -> None:
    sounds = spoken(20, seed=4)
    collected = transcribed(runner, chunks(sounds, 5), 6, expire_after=3600)
    assert by_stream(collected) == expected(sounds)
