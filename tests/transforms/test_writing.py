"""Translate, Generate, and Tag of whole sequences, as transforms: options, bad input, outputs."""

import dataclasses
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam import coders
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

import beam_rnn as rnn
from beam_rnn.features import Pieces
from beam_rnn.nn import Sampling
from tests.nn.translators import MODELS, V_IN
from tests.nn.writers import READER, WRITER
from tests.streams.test_shapes import generated

MODEL = MODELS["of the token"]
LETTERS = {letter: id for id, letter in enumerate("abcdefghij")}


def pipeline() -> beam.Pipeline:
    return beam.Pipeline(runner=FnApiRunner())


def spelled(word: str) -> list[int]:
    return [LETTERS[letter] for letter in word]


def translated(word: str, **how: Any) -> list[rnn.Translated]:
    (found,) = MODEL.translate([np.array(spelled(word))], **how)
    return [
        rnn.Translated(h.tokens.tolist(), h.score, rank, (h.alignment + 1).tolist(), len(word))
        for rank, h in enumerate(found, 1)
        if h.alignment is not None
    ]


def test_a_word_is_a_source(tmp_path: Any) -> None:
    path = tmp_path / "model.safetensors"
    rnn.save(MODEL, path)
    words = [("ann", "abc"), ("bob", "jihg"), ("ann", "c")]
    with pipeline() as p:
        answers = (
            p
            | beam.Create(words)
            | rnn.Translate(
                path, x=rnn.flat(spelled), end=lambda word: True, width=3, best=2, alpha=0.6
            )
        )
        how = {"width": 3, "best": 2, "alpha": 0.6}
        wanted = [(key, answer) for key, word in words for answer in translated(word, **how)]
        assert_that(answers, equal_to(wanted))


def test_answers_have_their_source_when_asked() -> None:
    named = dataclasses.replace(
        MODEL, encoder=dataclasses.replace(MODEL.encoder, vocabulary=list("abcdefghijk"))
    )
    events = [("a", ("b", False)), ("c", ("d", True)), ("a", ("a", True)), ("a", ("c", True))]
    for model, names in ((MODEL, spelled), (named, list)):
        with pipeline() as p:
            answers = (
                p
                | beam.Create(events)
                | rnn.Translate(model, x=lambda v: LETTERS[v[0]], end=lambda v: v[1], source=True)
                | beam.MapTuple(lambda key, answer: (key, list(answer.source), answer.output))
            )
            wanted = [
                (key, names(word), translated(word)[0].output)
                for key, word in (("a", "ba"), ("a", "c"), ("c", "d"))
            ]
            assert_that(answers, equal_to(wanted))
    reader = rnn.Network([rnn.RNN(np.eye(8), np.eye(8), np.zeros(8))])
    of_vectors = dataclasses.replace(MODELS["none"], encoder=reader)
    with pytest.raises(rnn.OptionError, match="the model reads vectors"):
        rnn.Translate(of_vectors, source=True)


def test_bad_sources_leave_and_the_others_go_on() -> None:
    words = [("a", "abc"), ("a", ""), ("b", "xyz"), ("b", "abcdefghij"), ("b", "ba"), ("c", "")]
    with pipeline() as p:
        answers = (
            p
            | beam.Create(words)
            | rnn.Translate(MODEL, x=rnn.flat(spelled), end=lambda word: True)
        )
        wanted = [("a", *translated("abc")), ("b", *translated("ba"))]
        assert_that(answers, equal_to(wanted), label="good")
        too_long = "InputError: a source of more than 8 inputs: it gets no answer"
        bad = [
            rnn.BadEvent("b", "KeyError: 'x'", "xyz"),
            *[rnn.BadEvent("b", too_long, "abcdefghij")] * 2,
        ]
        assert_that(answers.failed, equal_to(bad), label="bad")


def test_an_end_where_nothing_waits_is_no_failure() -> None:
    letters = Pieces(list(LETTERS))
    parts = [("a", "ba"), ("a", " ."), ("a", "."), ("b", "."), ("c", "?!"), ("c", "."), ("d", "c")]
    p = pipeline()
    answers = (
        p
        | beam.Create(parts)
        | rnn.Translate(MODEL, x=Ended(letters), end=lambda part: part.endswith("."))
    )
    assert_that(
        answers, equal_to([("a", *translated("ba")), ("d", *translated("c"))]), label="good"
    )
    # Of what was read no input could be made: that is one.
    reason = "InputError: an empty source: expected at least one input"
    assert_that(answers.failed, equal_to([rnn.BadEvent("c", reason, ".")]), label="bad")
    before = rnn.counts()["failed"]
    p.run()
    assert rnn.counts()["failed"] - before == 1


class Ended:
    """A feature of texts whose point is an end, and nothing that is read."""

    def __init__(self, letters: Pieces) -> None:
        self._letters = letters

    def feed(self, value: str, memory: bytes) -> tuple[list[tuple[str, int]], bytes]:
        return self._letters.feed(value.removesuffix("."), memory)

    def finish(self, memory: bytes) -> list[tuple[str, int]]:
        return self._letters.finish(memory)


def test_a_token_outside_of_the_vocabulary_leaves() -> None:
    with pipeline() as p:
        answers = p | beam.Create([("a", 1), ("a", V_IN), ("b", 2)]) | rnn.Translate(MODEL)
        wanted = [("a", *translated("b")), ("b", *translated("c"))]
        assert_that(answers, equal_to(wanted), label="good")
        reason = f"InputError: x has the id {V_IN}, expected 0..{V_IN - 1}"
        assert_that(answers.failed, equal_to([rnn.BadEvent("a", reason, V_IN)]), label="bad")


def test_a_prompt_is_continued_and_an_empty_one_is_not() -> None:
    prompts = [("a", "abc"), ("b", "de"), ("a", ""), ("a", "abc")]
    how = {"top_k": 5, "allowed": [1, 2, 3, 4, 5, 6]}
    with pipeline() as p:
        answers = (
            p
            | beam.Create(prompts)
            | rnn.Generate(
                WRITER, x=rnn.flat(spelled), end=lambda word: True, limit=7, seed=5, stop=4, **how
            )
        )
        wanted = [
            (key, generated(key, spelled(word), 7, Sampling(**how), None, 4))
            for key, word in prompts
            if word
        ]
        assert_that(answers, equal_to(wanted), label="good")
        assert_that(answers.failed, equal_to([]), label="bad")


def test_ticks_draw_and_names_stand_for_ids() -> None:
    named = rnn.Network(WRITER.layers, vocabulary=list(LETTERS))
    events = [("a", "c"), ("a", None), ("b", None), ("a", None)]
    with pipeline() as p:
        answers = (
            p
            | beam.Create(events)
            | beam.Map(lambda event: event).with_output_types(tuple[str, Any])
            | rnn.Generate(
                named,
                x=lambda value: None if value is None else spelled(value),
                more=lambda value: 3 if value is None else 0,
                start="d",
                seed=5,
                order=rnn.arrival,
            )
        )
        first = generated("a", [2], 3, Sampling(), 3, None)
        second = generated("a", [2, *first.output], 3, Sampling(), 3, None)
        other = generated("b", [], 3, Sampling(), 3, None)
        names = {id: letter for letter, id in LETTERS.items()}
        wanted = [
            (key, answer._replace(output=[names[id] for id in answer.output]))
            for key, answer in (("a", first), ("a", second), ("b", other))
        ]
        assert_that(answers, equal_to(wanted))


def test_a_tick_without_anything_to_go_on_from_leaves() -> None:
    with pipeline() as p:
        answers = (
            p
            | beam.Create([("a", 0)])
            | rnn.Generate(WRITER, x=lambda value: None, more=2, order=rnn.arrival)
        )
        assert_that(answers, equal_to([]), label="good")
        reason = "InputError: an empty prompt: nothing was read to go on from, and no start is set"
        assert_that(answers.failed, equal_to([rnn.BadEvent("a", reason, 0)]), label="bad")


def test_a_sentence_is_tagged_at_its_end() -> None:
    sentences = {"a": [3, 1, 4], "b": [1, 5]}
    events = [
        (key, (x, i == len(xs) - 1)) for key, xs in sentences.items() for i, x in enumerate(xs)
    ]
    with pipeline() as p:
        tagged = (
            p
            | beam.Create(events)
            | rnn.Tag(READER, x=lambda value: value[0], end=lambda value: value[1])
        )
        wanted = []
        assert READER.labels is not None
        for key, xs in sentences.items():
            for step, row in enumerate(READER.unroll(np.array(xs))[0], 1):
                value = (xs[step - 1], step == len(xs))
                label = READER.labels[row.argmax()]
                wanted.append((key, rnn.Tagged(value, label, float(row.max()), step)))
        assert_that(tagged, equal_to(wanted))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: rnn.Translate(WRITER),
            "the model is a Network, expected a path or a EncoderDecoder",
        ),
        (lambda: rnn.Tag(MODEL), "the model is a EncoderDecoder, expected a path or a Network"),
        (lambda: rnn.Translate(MODEL, width=0), "width is 0, expected"),
        (lambda: rnn.Translate(MODEL, longest=0), "longest is 0, expected a number of inputs"),
        (lambda: rnn.Translate(MODEL, longest=9), "longest is 9, the model reads at most 8"),
        (lambda: rnn.Generate(READER), "Generate: the network ends in CRF"),
        (lambda: rnn.Generate(WRITER, limit=0), "limit is 0, expected a whole number from 1"),
        (lambda: rnn.Generate(WRITER, seed=-1), "seed is -1, expected a whole number from 0"),
        (lambda: rnn.Generate(WRITER, more=0), "more is 0, expected a number of tokens"),
        (lambda: rnn.Generate(WRITER, stop="z"), r"stop is 'z', expected an id in 0\.\.9"),
        (lambda: rnn.Generate(WRITER, allowed=[10]), r"allowed is 10, expected an id in 0\.\.9"),
        (lambda: rnn.Tag(READER, emit="final"), "reads whole sequences: it labels each event"),
        (lambda: rnn.Tag(READER, longest=0), "longest is 0, expected a number of inputs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_option_is_refused(make: Any, message: str) -> None:
    with pytest.raises(rnn.OptionError, match=message):
        make()


def test_a_path_with_another_kind_of_model_is_refused(tmp_path: Any) -> None:
    path = str(tmp_path / "model.safetensors")
    rnn.save(MODEL, path)
    with pytest.raises(rnn.OptionError, match=r"model.safetensors is a EncoderDecoder, expected"):
        rnn.Tag(path)


def test_batches_are_only_labelled() -> None:
    batches = beam.Create([pa.RecordBatch.from_pydict({"stream": ["a"], "x": [1]})])
    typed = beam.Map(lambda batch: batch).with_output_types(pa.RecordBatch)
    events = pipeline() | batches | typed
    with pytest.raises(rnn.OptionError, match="Translate takes single events, no RecordBatches"):
        _ = events | rnn.Translate(MODEL)


def test_answers_are_rows_for_beam() -> None:
    for row in (
        rnn.Translated(["a", "b"], -0.5, 1, [1, 2], 2),
        rnn.Generated([3, 4], -0.5, 3, False),
    ):
        coder = coders.registry.get_coder(type(row))
        assert isinstance(coder, coders.RowCoder)
        assert coder.decode(coder.encode(row)) == row


def test_an_end_without_anything_read_is_nothing_where_ticks_draw() -> None:
    with pipeline() as p:
        answers = (
            p
            | beam.Create([("a", 0)])
            | rnn.Generate(
                WRITER,
                x=lambda value: None,
                more=lambda value: 0,
                start=3,
                end=lambda value: True,
                order=rnn.arrival,
            )
        )
        assert_that(answers, equal_to([]), label="good")
        assert_that(answers.failed, equal_to([]), label="bad")
