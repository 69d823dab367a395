"""Step models on every runner: the answers are those of the model alone, to the bit."""

import random
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

import beam_rnn as rnn
from tests.runners.harness import Runner
from tests.runners.histories import D, by_step, cut, interleaved, streams
from tests.runners.sources import replay


def leaky(x: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A leaky sum of each feature; y is its softmax."""
    state = np.float32(0.9) * state + x
    e = np.exp(state - state.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True), state


LEAKY = rnn.StepModel(leaky, D, D, "leaky 0.9", shape=(D,), labels=list("abcdef"), lookahead=1)


@pytest.fixture
def onnx_model(tmp_path: Path) -> rnn.StepModel:
    """tanh(x W + h U) in ONNX Runtime; its first axis of the state is not the batch."""
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    from tests.weights import test_onnx_step

    path = test_onnx_step.cell(tmp_path / "cell.onnx", features=D)
    return rnn.from_onnx_step(
        path, test_onnx_step.STATE, constants=test_onnx_step.SCALE, labels=list("abcd")
    )


def expected(model: rnn.StepModel, events: list[Any]) -> dict[str, list[tuple[Any, ...]]]:
    assert model.labels is not None
    by_stream: dict[str, list[Any]] = {}
    for key, x, time in events:
        by_stream.setdefault(key, []).append((x, time))
    answers = {}
    for key, sequence in by_stream.items():
        padded = [x for x, _ in sequence] + [np.zeros(D, np.float32)] * model.lookahead
        y = model.unroll(np.array(padded))[0][model.lookahead :]
        answers[key] = [
            (model.labels[row.argmax()], float(row.max()), step, time)
            for step, (row, (_, time)) in enumerate(zip(y, sequence, strict=True), 1)
        ]
    return answers


def tagged(runner: Runner, model: rnn.StepModel, events: list[Any]) -> Any:
    bounded = not runner.unbounded or model.lookahead > 0
    return runner.collect_windowed(
        lambda p: (
            p
            | replay(cut(events, 3), bounded=bounded)
            | beam.Map(lambda event: event).with_output_types(tuple[str, np.ndarray])
            | rnn.Tag(model, shards=5)
        ),
        max_bundle_size=random.Random(3).choice([37, 200]),
        streaming=runner.unbounded,
    )


def test_any_step_is_tagged_to_the_bit(runner: Runner) -> None:
    events = interleaved(streams(60, 20, seed=4), seed=4)
    assert by_step(tagged(runner, LEAKY, events)) == expected(LEAKY, events)


def test_a_step_of_onnx_runtime_is_tagged_to_the_bit(
    runner: Runner, onnx_model: rnn.StepModel
) -> None:
    events = interleaved(streams(60, 20, seed=5), seed=5)
    assert by_step(tagged(runner, onnx_model, events)) == expected(onnx_model, events)
