"""RunInference behind a watched folder: the model of a new file takes over while a stream runs.

On Flink alone. Prism refuses side inputs with triggers, as that of a watched folder is (apache/beam
31438), and FnApiRunner brings a side input to its end before the stream begins.
"""

import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.ml.inference.base import RunInference
from apache_beam.ml.inference.utils import WatchFilePattern
from apache_beam.options.value_provider import RuntimeValueProvider
from apache_beam.transforms.periodicsequence import PeriodicImpulse

import beam_rnn as rnn
from tests.runners import harness, services
from tests.runners.harness import Runner
from tests.runners.histories import streams
from tests.runners.test_updates import models

(SEQUENCE,) = streams(1, 10, seed=31).values()

answers: queue.Queue[Any] = queue.Queue()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """A Flink that ends with the test: a job without an end works on in it when it is cancelled."""
    folder = tmp_path / "flink"
    folder.mkdir()
    with services.flink(folder) as started:
        yield harness.portable("FlinkStreaming", *started, **harness.STREAMING)


def test_the_model_of_a_new_file_takes_over(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A worker reads it from --experiments. Without it Beam's worker looks at a side input of the
    # global window once and never again (apache/beam 28776).
    monkeypatch.setattr(
        RuntimeValueProvider, "experiments", {"disable_global_windowed_args_caching"}
    )
    watched = tmp_path / "watched"
    watched.mkdir()
    first, second = (str(watched / f"{name}.safetensors") for name in ("first", "second"))
    nets = dict(zip((first, second), models(tmp_path), strict=True))
    rnn.save(nets[first], first)
    pipeline = beam.Pipeline(runner=runner.make(), options=runner.options())
    files = pipeline | WatchFilePattern(str(watched / "*.safetensors"), interval=0.5)
    asked = (
        pipeline
        | PeriodicImpulse(start_timestamp=time.time(), fire_interval=0.2)
        | beam.Map(lambda _: SEQUENCE)
    )
    handler = rnn.RnnModelHandler(first, np.ndarray)
    answered = asked | RunInference(handler, model_metadata_pcoll=files)
    answered | "Answer" >> beam.Map(_answer)
    job = pipeline.run()
    try:
        ids = [_next(nets)]
        assert ids == [first]
        rnn.save(nets[second], second)
        while ids[-1] == first:
            ids.append(_next(nets))
        ids += [_next(nets) for _ in range(20)]
    finally:
        job.cancel()
    change = ids.index(second)
    assert set(ids[change:]) == {second}


def _answer(result: Any) -> None:
    answers.put(result)


def _next(nets: dict[str, Any]) -> str:
    """The model of the next answer, which has the bits of the model that it names."""
    answer = answers.get(timeout=300)
    y, _ = nets[answer.model_id].unroll(SEQUENCE)
    np.testing.assert_array_equal(answer.inference, y, strict=True)
    return str(answer.model_id)
