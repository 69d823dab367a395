"""Silero VAD over 500 interleaved streams of sound on every runner: the bits of the batch."""

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

import beam_rnn as rnn
from beam_rnn.features import Frames
from tests.runners.harness import Runner
from tests.runners.histories import cut
from tests.runners.sources import Event, replay
from training import silero

MODEL = Path(__file__).parents[2] / "models" / "silero_vad.safetensors"
FRAMES = Frames(silero.RATE, silero.STEP, silero.STEP, source_rate=8000)
WITH_CONTEXT = Frames(
    silero.RATE,
    silero.CONTEXT + silero.STEP,
    silero.STEP,
    source_rate=8000,
    before=silero.CONTEXT,
)


def digits(shared_data: Path, number: int) -> dict[str, np.ndarray]:
    """The first 0.3 s of spoken digits, of all speakers: a stream each, 9 frames and a rest."""
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(shared_data / "fsdd" / "fsdd.parquet", columns=["pcm_s16le_8khz"])
    spoken = [np.frombuffer(pcm, "<i2")[:2400] for pcm in table.column(0).to_pylist()]
    chosen = random.Random(0).sample([pcm for pcm in spoken if len(pcm) == 2400], number)
    return {f"stream {i}": pcm for i, pcm in enumerate(chosen)}


def chunks(sounds: dict[str, np.ndarray]) -> list[Event]:
    """Each sound in three chunks of random lengths, those of all streams mixed."""
    chance = random.Random(1)
    parts = {
        key: np.split(samples, sorted(chance.sample(range(1, len(samples)), 2)))
        for key, samples in sounds.items()
    }
    order = [key for key in parts for _ in range(3)]
    chance.shuffle(order)
    return [(key, parts[key].pop(0).tobytes(), float(time)) for time, key in enumerate(order)]


def tagged(
    runner: Runner, model: Any, feature: Frames, sounds: dict[str, np.ndarray]
) -> dict[str, list[tuple[int, float]]]:
    collected = runner.collect(
        lambda p: (
            p
            | replay(cut(chunks(sounds), 2), bounded=not runner.unbounded)
            | beam.Map(lambda event: event).with_output_types(tuple[str, bytes])
            | rnn.Tag(model, x=feature)
            | beam.MapTuple(lambda key, answer: (key, answer.step, answer.score))
        ),
        max_bundle_size=300,
        streaming=runner.unbounded,
    )
    found = defaultdict(list)
    for key, step, score in collected:
        found[key].append((step, score))
    return {key: sorted(steps) for key, steps in found.items()}


def expected(model: Any, feature: Frames, sounds: dict[str, np.ndarray]) -> Any:
    answers = {}
    for key, samples in sounds.items():
        pieces, _ = feature.feed(samples)
        y, _ = model.unroll(np.array([x for _, x in pieces]))
        answers[key] = list(enumerate(y[:, 0].tolist(), 1))
    return answers


def test_our_network_says_in_streams_what_it_says_in_batch(
    runner: Runner, shared_data: Path
) -> None:
    pytest.importorskip("scipy", reason="the extra audio is not installed")
    sounds = digits(shared_data, 500)
    found = tagged(runner, str(MODEL), FRAMES, sounds)
    assert found == expected(rnn.load(MODEL), FRAMES, sounds)


@pytest.mark.parametrize("runner", ["FnApiRunner", "Prism", "FlinkStreaming"], indirect=True)
def test_the_original_as_a_step_model_says_the_same(runner: Runner, shared_data: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    pytest.importorskip("scipy", reason="the extra audio is not installed")
    try:
        path = silero.fetch()
    except Exception as error:
        pytest.skip(f"{silero.PACKAGE} is not in the cache and cannot be downloaded: {error}")
    model = rnn.from_onnx_step(
        path,
        {"state": "stateN"},
        constants={"sr": np.int64(silero.RATE)},
        shapes={"input": (None, silero.CONTEXT + silero.STEP)},
    )
    sounds = digits(shared_data, 500)
    found = tagged(runner, model, WITH_CONTEXT, sounds)
    assert found == expected(model, WITH_CONTEXT, sounds)
    ours = expected(rnn.load(MODEL), FRAMES, sounds)
    for key, steps in found.items():
        for (step, score), (our_step, our_score) in zip(steps, ours[key], strict=True):
            assert step == our_step
            assert abs(score - our_score) < 1e-5
