"""Pieces of texts, and the words that the tagger makes of them."""

from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

import beam_rnn as rnn
from beam_rnn.features import Token, Words
from pipelines.events import Event, as_failed
from pipelines.job import LOCAL_RUNNER
from pipelines.sinks import Word
from pipelines.texts import as_word, is_last, tagger_of


def events(*texts: str) -> list[Event]:
    return [Event("a", Timestamp(i), text) for i, text in enumerate(texts, 1)]


def answers(model: str, pieces: list[Event]) -> list[tuple[float, Any]]:
    """(seconds, answer) of one stream, by the transform."""
    told.clear()
    stamped = [TimestampedValue(("a", piece), piece.time) for piece in pieces]
    with beam.Pipeline(runner=LOCAL_RUNNER) as p:
        tagged = p | beam.Create(stamped).with_output_types(tuple[str, Event])
        tagged | rnn.Tag(model, x=tagger_of(model)[1], end=is_last) | beam.Map(_tell)
    return list(told)


told: list[tuple[float, Any]] = []


def _tell(tagged: tuple[str, Any], time: Any = beam.DoFn.TimestampParam) -> None:
    told.append((float(time), tagged[1]))


def test_a_word_has_the_time_of_the_piece_that_finished_it(model: str) -> None:
    got = answers(model, events("Anne Ell", "iot ", "in", " Bath."))
    assert [(time, tagged.input.text, tagged.step) for time, tagged in got] == [
        (1.0, "Anne", 1),
        (2.0, "Elliot", 2),
        (4.0, "in", 3),
        (4.0, "Bath", 4),
        (4.0, ".", 5),
    ]


def test_any_cut_gives_the_same_answers(model: str) -> None:
    text = "Anne Elliot, of Kellynch Hall in Somersetshire, went to Bath. It's Mr. Elliot's."
    whole = [tagged for _, tagged in answers(model, events(text))]
    letters = [tagged for _, tagged in answers(model, events(*text))]
    assert letters == whole


def test_an_answer_looks_ahead(model: str) -> None:
    network, _ = tagger_of(model)
    words = Words(network.vocabulary or ())
    labels = network.labels or ()
    text = "Anne in Bath"
    rows = np.stack([words.row(word) for word in text.split()])
    y, _ = network.unroll(np.concatenate([rows, np.zeros((2, *rows.shape[1:]), np.int64)]))
    got = answers(model, events(text))
    assert [tagged.score for _, tagged in got] == [float(y[t + 2].max()) for t in range(3)]
    assert [tagged.label for _, tagged in got] == [labels[int(y[t + 2].argmax())] for t in range(3)]


def test_another_network_is_refused(tmp_path: Path) -> None:
    floats = np.zeros((2, 3), np.float32)
    network = rnn.Network([rnn.Embedding(floats)], vocabulary=["", "<unk>"])
    rnn.save(network, tmp_path / "other.safetensors")
    with pytest.raises(rnn.ModelError, match="is no tagger of words"):
        tagger_of(str(tmp_path / "other.safetensors"))


def test_no_text_no_answers(model: str) -> None:
    assert answers(model, events("", " \n")) == []


def test_rows_of_the_output() -> None:
    tagged = rnn.Tagged(Token("Anne", " "), "B-PER", 0.5, 3)
    got = as_word(("a", tagged), Timestamp(micros=1_500_000))
    assert got == Word("a", 1_500_000, 3, "Anne", " ", "B-PER", 0.5)
    failed = as_failed(rnn.BadEvent("a", "why", Event("a", Timestamp(1), "é")))
    assert failed.input == '{"stream": "a", "time": "1970-01-01T00:00:01Z", "text": "é"}'
