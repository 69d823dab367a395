"""Silero VAD over many streams: ours and as an ONNX step model, against a call for each frame."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np

import beam_rnn as rnn
from beam_rnn.features import Frames
from benchmarks import sounds, words
from benchmarks.measure import Results, Row, against, alternate
from tests.runners import harness
from tests.runners.sources import replay
from training import silero

FIGURE = "9 speech: Silero VAD"
MODEL = Path(__file__).parents[1] / "models" / "silero_vad.safetensors"
PEER = "ONNX Runtime, a call for each frame"
TARGETS = {"steps": 3.0, "Tag": 3.0}


def run(rounds: int, streams: int = 500, chunks: int = 40, bundle_chunks: int = 4) -> Results:
    """Frames per second, of steps alone and of a whole pipeline.

    Args:
      chunks: of each stream.
      bundle_chunks: of each stream in a bundle.
    """
    count = streams * chunks
    sounds.use(count, streams)
    figure = f"{FIGURE}, {streams} streams"
    try:
        original = silero.fetch()
        step = rnn.from_onnx_step(
            original,
            {"state": "stateN"},
            constants={"sr": np.int64(silero.RATE)},
            shapes={"input": (None, silero.CONTEXT + silero.STEP)},
        )
        session = PerFrame(original)
    except Exception as error:  # not installed, not to be downloaded
        return Results([Row(figure, "frames/s", "", note=f"the peer is absent: {error}")])
    ours = Frames(silero.RATE, sounds.CHUNK, sounds.CHUNK)
    theirs = Frames(silero.RATE, silero.CONTEXT + silero.STEP, silero.STEP, before=silero.CONTEXT)
    parts = streams * bundle_chunks
    net = rnn.load(MODEL)
    ways: dict[str, Callable[[], float]] = {
        PEER: lambda: session.rate(count),
        "steps": lambda: stepped(net, streams, chunks),
        "Tag": lambda: tagged(str(MODEL), ours, count, count),
        "Tag in bundles": lambda: tagged(str(MODEL), ours, count, parts),
        "Tag, ONNX": lambda: tagged(step, theirs, count, count),
    }
    found = alternate(ways, rounds)
    named = {
        "steps": "our network, its steps alone",
        "Tag": "Tag on FnApiRunner, our network, one bundle",
        "Tag in bundles": f"Tag on FnApiRunner, our network, bundles of {parts:,} chunks",
        "Tag, ONNX": "Tag on FnApiRunner, ONNX step model, one bundle",
    }
    rows = []
    for way, what in named.items():
        row = Row(figure, what, "frames/s", peer=PEER, target=TARGETS.get(way))
        against(row, found[way], found[PEER])
        assert row.ours is not None
        factor = streams * silero.RATE / sounds.CHUNK / row.ours
        row.note = f"real-time factor of a stream {factor / streams:.5f}, of all {factor:.2f}"
        rows.append(row)
    return Results(rows)


class PerFrame:
    """A dictionary of states and one call of ONNX Runtime for each frame; nothing is durable."""

    def __init__(self, path: Path) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.rate_input = np.array(silero.RATE)

    def rate(self, count: int) -> float:
        """Frames per second."""
        states: dict[str, Any] = {}
        start = time.perf_counter()
        for name, chunk in sounds.columns(0, count):
            state, before = states.get(name, (None, None))
            if state is None:
                state = np.zeros((2, 1, 128), np.float32)
                before = np.zeros(silero.CONTEXT, np.float32)
            frame = sounds.frame(chunk)
            x = np.concatenate([before, frame])[None]
            feed = {"input": x, "state": state, "sr": self.rate_input}
            _, state = self.session.run(None, feed)
            states[name] = state, frame[-silero.CONTEXT :]
        return count / (time.perf_counter() - start)


def stepped(net: rnn.Network, streams: int, chunks: int) -> float:
    """Frames per second of ``net.step``, all streams at once."""
    start = time.perf_counter()
    a = net.initial_state(streams)
    for turn in range(chunks):
        part = sounds.columns(turn * streams, (turn + 1) * streams)
        _, a = net.step(np.array([sounds.frame(chunk) for _, chunk in part]), a)
    return streams * chunks / (time.perf_counter() - start)


def tagged(model: Any, feature: Frames, count: int, bundle: int) -> float:
    """Frames per second from the first chunk to the last answer, on FnApiRunner."""
    words.clear()
    parts = [(i, min(i + bundle, count)) for i in range(0, count, bundle)]

    def build(p: beam.Pipeline) -> Any:
        read = p | replay([[("", part, 0.0)] for part in parts]) | beam.Values()
        chunks = read | beam.FlatMap(sounds.events).with_output_types(tuple[str, bytes])
        return chunks | rnn.Tag(model, x=feature) | beam.ParDo(words.Seen())

    harness.fn_api().run(build, streaming=True)
    return count / words.seconds(count)
