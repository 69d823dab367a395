"""How people like it: a rating that moves with each sentence, and the final one of each text.

    python -m beam_rnn classify-sentiment [--input PATH] [--output FOLDER] [options of Beam]

Reads JSON lines with `stream`, `time`, `text` and perhaps `end` from a file, a growing folder,
standard input or Kafka, or plain text: reviews, or what each user of a chat says. Writes
sentences/*.parquet (the rating after each sentence), ratings/*.parquet (of each text, when it
ends), ratings.png, index.html and failed.jsonl. Ratings go from -3.5, as bad as can be, to 3.5.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa

import beam_rnn as rnn
from beam_rnn.features import WordIds
from pipelines import moods, sinks, sources
from pipelines.application import Application, Rows, View
from pipelines.places import MODELS, SAMPLES
from pipelines.texts import TextOf, is_last

SENTENCES, RATINGS, PICTURE = "sentences", "ratings", "ratings.png"
GOOD = "positive"
_MARKS = ".!?"  # a token of these alone ends a sentence
_LONGEST = 2_000  # characters of a sentence that are kept


class Said(NamedTuple):
    """A row of the output: a sentence, and the rating of its text so far.

    ``time`` is in microseconds since 1970, ``step`` the place of its last word in the text.
    """

    stream: str
    time: int
    step: int
    sentence: str
    rating: float


class Rated(NamedTuple):
    """A row of the output: a text that has ended. ``time``: when, in microseconds since 1970."""

    stream: str
    time: int
    words: int
    label: str
    rating: float


class Sentences:
    """A feature: the ids of words, each echoed by the sentence that it ends, or by ""."""

    def __init__(self, words: WordIds) -> None:
        self._words = words

    def feed(self, value: str, memory: bytes = b"") -> tuple[list[tuple[str, Any]], bytes]:
        """See ``rnn.Feature``; the memory is that of the words, then the sentence so far."""
        tail, begun = _unpacked(memory)
        pairs, tail = self._words.feed(value, tail)
        said = []
        for token, word in pairs:
            begun = (begun + token.before + token.text)[-_LONGEST:]
            ends = not token.text.strip(_MARKS)
            said.append((begun.strip() if ends else "", word))
            begun = "" if ends else begun
        return said, len(tail).to_bytes(4, "little") + tail + begun.encode()

    def finish(self, memory: bytes) -> list[tuple[str, Any]]:
        """The words of the tail; the last one ends a sentence."""
        tail, begun = _unpacked(memory)
        pairs = self._words.finish(tail)
        said = []
        for place, (token, word) in enumerate(pairs, 1):
            begun = (begun + token.before + token.text)[-_LONGEST:]
            ends = not token.text.strip(_MARKS) or place == len(pairs)
            said.append((begun.strip() if ends else "", word))
            begun = "" if ends else begun
        return said


def _unpacked(memory: bytes) -> tuple[bytes, str]:
    """The memory of the words, and the sentence so far."""
    begin = 4 + int.from_bytes(memory[:4], "little")
    return memory[4:begin], memory[begin:].decode()


def classifier_of(path: str) -> tuple[rnn.Network, TextOf]:
    """A classifier of texts, and the feature that feeds it with events.

    Raises:
      rnn.WeightsError: the file cannot be read.
      rnn.ModelError: it holds another kind of network.
    """
    network = rnn.load(path)
    if (
        network.vocabulary is None
        or network.input_shape != ()
        or GOOD not in (network.labels or ())
    ):
        raise rnn.ModelError(f"{path} is no classifier of sentiment: it needs ids, and {GOOD}")
    return network, TextOf(Sentences(WordIds(network.vocabulary)))


def rating_of(label: str, score: float) -> float:
    """-3.5 to 3.5, as the network was trained: 0.5 + rating / 7 is its answer."""
    return 7 * ((score if label == GOOD else 1 - score) - 0.5)


def _answer(events: Any, given: argparse.Namespace) -> Rows:
    _, sentences = classifier_of(given.model)
    options = {"x": sentences, "end": is_last, "expire_after": given.expire_after}
    tagged = events | "Tag" >> rnn.Tag(given.model, **options)
    rated = events | "Classify" >> rnn.Classify(given.model, **options)
    ended = tagged | "Sentences" >> beam.Filter(_ends)
    return {
        SENTENCES: ended | "Said" >> beam.Map(_as_said).with_output_types(Said),
        RATINGS: rated | "Rated" >> beam.Map(_as_rated).with_output_types(Rated),
    }, [tagged.failed]  # what one of both cannot read, the other cannot either: told once


def _ends(tagged: tuple[str, Any]) -> bool:
    return bool(tagged[1].input)


def _as_said(tagged: tuple[str, Any], time: Any = beam.DoFn.TimestampParam) -> Said:
    stream, answer = tagged
    rating = rating_of(answer.label, float(answer.score))
    return Said(stream, time.micros, answer.step, answer.input, rating)


def _as_rated(classified: tuple[str, Any], time: Any = beam.DoFn.TimestampParam) -> Rated:
    stream, answer = classified
    rating = rating_of(answer.label, float(answer.score))
    return Rated(stream, time.micros, answer.steps, answer.label, rating)


def _finish(given: argparse.Namespace, output: Path) -> list[str]:
    texts = moods.Moods.of(sinks.read_parts(output / SENTENCES, sinks.schema_of(Said)))
    parts = list(sinks.read_parts(output / RATINGS, sinks.schema_of(Rated)))
    labels = pa.concat_tables(parts).column("label").to_pylist() if parts else []
    good = labels.count(GOOD)
    moods.draw(output / PICTURE, texts)
    return [f"{len(labels):,} texts rated, {good:,} {GOOD}, {texts.count:,} sentences"]


def _tell(row: Any) -> str | None:
    if isinstance(row, Rated):
        return f"{row.rating:+5.1f}  {row.stream}: {row.label}, {row.words:,} words"
    return f"{row.rating:+5.1f}  {row.stream}  {row.sentence[:90]}"


APPLICATION = Application(
    name="classify-sentiment",
    summary="Rate reviews and chats while they are being written.",
    inputs=sources.TEXTS,
    sample=SAMPLES / "opinions.jsonl",
    model=MODELS / "classify_sentiment.safetensors",
    rows={SENTENCES: Said, RATINGS: Rated},
    answer=_answer,
    lines=sources.texts_of,
    needs=[("matplotlib", "Matplotlib")],
    finish=_finish,
    files=(PICTURE,),
    view=View(_tell),
    look=moods.LOOK,
)

main = APPLICATION.main
