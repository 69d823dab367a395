"""The main job: names of people, places and organisations marked in many live texts at once.

    python -m beam_rnn tag-names [--input PATH] [--output FOLDER] [options of Beam]

Reads JSON with `stream`, `time` and `text` from files, standard input or Kafka, or lines of plain
text, keeps the hidden state of every stream in Beam state, shows the texts as they come, and writes
words/*.parquet, failed.jsonl and index.html.
Ctrl-C ends the input: what has been read is finished and written. A second Ctrl-C aborts.
"""

import argparse
from typing import Any

import apache_beam as beam

import beam_rnn as rnn
from pipelines import live, names, sources
from pipelines.application import Application, Rows
from pipelines.places import MODELS, SAMPLES
from pipelines.sinks import Word
from pipelines.texts import as_word, is_last, tagger_of

WORDS = "words"


def _answer(events: Any, given: argparse.Namespace) -> Rows:
    _, text = tagger_of(given.model)
    tagged = events | "Tag" >> rnn.Tag(
        given.model, x=text, end=is_last, expire_after=given.expire_after
    )
    words = tagged | "Words" >> beam.Map(as_word).with_output_types(Word)
    return {WORDS: words}, [tagged.failed]


APPLICATION = Application(
    name="tag-names",
    summary="Mark the names of people, places and organisations in many live texts.",
    inputs=sources.TEXTS,
    sample=SAMPLES / "texts.jsonl",
    model=MODELS / "tag_names.safetensors",
    rows={WORDS: Word},
    answer=_answer,
    lines=sources.texts_of,
    sample_speed=40.0,  # its quarter of an hour in about 20 seconds
    view=live.Names(),
    look=names.LOOK,
)
main = APPLICATION.main
