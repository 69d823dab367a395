"""Transcribe as a transform: its options, what leaves it, what fails."""

from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

import beam_rnn as rnn
from beam_rnn.features import Frames, Sound
from beam_rnn.nn.ctc import CTC
from tests.streams.tones import FRAMES, LABELS, RATE, network, sound

NET = network()


def pipeline() -> beam.Pipeline:
    return beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(flags=[]))


def test_bad_sound_fails_alone_and_other_streams_go_on() -> None:
    good = sound("ab").tobytes()
    chunks = [
        ("good", Sound(good[:1000], RATE)),
        ("rate", Sound(good, 16_000)),
        ("nan", Sound(np.array([np.nan]), RATE)),
        ("odd", Sound(b"abc", RATE)),
        ("short", Sound(good[:100], RATE)),
        ("good", Sound(good[1000:], RATE)),
    ]
    reasons = {
        "rate": "InputError: sound of 16000 samples per second, expected 8000",
        "nan": "InputError: sound with the value nan at sample 0, expected finite ones",
        "odd": "InputError: 3 bytes of sound, expected 2 for each sample",
        "short": "InputError: the sound ended after 50 samples, before its first frame of 80",
    }
    with pipeline() as p:
        made = p | beam.Create(chunks) | beam.Map(lambda e: e).with_output_types(tuple[str, Sound])
        told = made | rnn.Transcribe(NET, x=FRAMES, emit="final")
        texts = told | beam.MapTuple(lambda key, text: (key, text.text, text.final))
        assert_that(texts, equal_to([("good", "ab", True)]), label="texts")
        failed = told.failed | beam.Map(lambda bad: (bad.stream, bad.reason))
        assert_that(failed, equal_to(list(reasons.items())), label="failed")


def test_answers_travel_with_their_schema() -> None:
    with pipeline() as p:
        made = p | beam.Create([("s", sound("ab a").tobytes())])
        typed = made | beam.Map(lambda e: e).with_output_types(tuple[str, bytes])
        told = typed | rnn.Transcribe(NET, x=FRAMES, emit="final") | beam.Reshuffle()

        def check(found: list[Any]) -> None:
            ((key, text),) = found
            assert (key, text.text, text.final, text.step) == ("s", "ab a", True, 20)
            assert list(text.times) == [0.0, 0.15]
            assert text.score < 0

        assert_that(told, check)


UNNAMED = rnn.Network(NET.layers)


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        (UNNAMED, {"x": FRAMES}, r"the model has no labels, say CTC\(labels\)"),
        (NET, {"x": FRAMES, "decoder": "greedy"}, r"decoder is 'greedy', expected CTC"),
        (NET, {"x": FRAMES, "decoder": CTC(["", "a"])}, "decoder has 2 labels, the model 5"),
        (NET, {"x": FRAMES, "endpoint": 1.2}, r"endpoint is 1.2, expected Endpoint"),
        (NET, {}, "seconds is None, expected the time between two frames"),
        (NET, {"seconds": -1}, "seconds is -1"),
    ],
)
def test_options_are_checked(model: Any, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(rnn.OptionError, match=reason):
        rnn.Transcribe(model, **options)


def test_the_time_between_frames_is_that_of_the_feature() -> None:
    assert rnn.Transcribe(NET, x=Frames(RATE, 80, 80, source_rate=16_000))._seconds == 0.01
    assert rnn.Transcribe(NET, seconds=0.04, decoder=CTC(LABELS))._seconds == 0.04


def test_batches_are_refused() -> None:
    p = pipeline()
    batches = p | beam.Create([pa.record_batch({"stream": ["a"], "x": [0]})])
    batches.element_type = pa.RecordBatch
    with pytest.raises(rnn.OptionError, match="takes single events"):
        _ = batches | rnn.Transcribe(NET, seconds=0.01)
