"""Silero VAD as our network: what ONNX Runtime says of the original file, streamed as well."""

import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import beam_rnn as rnn
from beam_rnn.features import Frames
from training import silero

MODEL = Path(__file__).parents[2] / "models" / "silero_vad.safetensors"


@cache
def original() -> Path:
    """The ONNX file of the package."""
    try:
        return silero.fetch()
    except subprocess.CalledProcessError:
        pytest.skip(f"{silero.PACKAGE} is not in the cache and cannot be downloaded")


def frames(shared_data: Path, number: int) -> np.ndarray:
    """Real speech: digits of all speakers with silence and noise between, (number, 512)."""
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(shared_data / "fsdd" / "fsdd.parquet", columns=["pcm_s16le_8khz"])
    draw = np.random.default_rng(0)
    cut = Frames(silero.RATE, silero.STEP, silero.STEP, source_rate=8000)
    memory, rows, spoken = b"", [], table.column(0).to_pylist()
    while len(rows) < number:
        pause = draw.normal(0, draw.choice([0, 30, 300]), int(draw.integers(8000)))
        for chunk in (spoken[int(draw.integers(len(spoken)))], pause.astype(np.int16)):
            pieces, memory = cut.feed(chunk, memory)
            rows += [x for _, x in pieces]
    return np.array(rows[:number])


def test_the_committed_network_is_that_of_the_package() -> None:
    assert rnn.load(MODEL).fingerprint == silero.network(original()).fingerprint


def test_it_says_what_onnx_runtime_says(shared_data: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    session = onnxruntime.InferenceSession(str(original()), providers=["CPUExecutionProvider"])
    x = frames(shared_data, 900)
    state = np.zeros((2, 1, 128), np.float32)
    before = np.zeros(silero.CONTEXT, np.float32)
    expected = []
    for frame in x:
        given = np.concatenate([before, frame])[None]
        y, state = session.run(None, {"input": given, "state": state, "sr": np.array(silero.RATE)})
        expected.append(y[0, 0])
        before = frame[-silero.CONTEXT :]
    y, _ = rnn.load(MODEL).unroll(x)
    np.testing.assert_allclose(y[:, 0], expected, rtol=0, atol=1e-5)
    assert 0.2 < np.mean(y > 0.5) < 0.95  # there are both, speech and none


def test_company_does_not_matter() -> None:
    net = rnn.load(MODEL)
    x = np.random.default_rng(0).normal(0, 0.1, (20, 9, silero.STEP)).astype(np.float32)
    together, _ = net.unroll(x)
    for i in (0, 7, 19):
        alone, _ = net.unroll(x[i])
        assert alone.tobytes() == together[i].tobytes()
