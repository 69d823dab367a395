"""Lines of many texts in another language, with what was read for each piece that was written.

    python -m beam_rnn translate-text [--input PATH] [--output FOLDER] [options of Beam]

Reads lines of plain text (a .txt file, or standard input), or JSON lines with `stream`, `time`,
`text` and perhaps `end` from a file, a growing folder, standard input or Kafka: there a line of a
stream ends with a line break at the end of a text, or with `end`; until then its texts are pieces
of it, cut anywhere. Writes lines/*.parquet (each line, its translation
and the alignment), attention.png, index.html and failed.jsonl. The committed model reads the
English of the King James Version and writes the Spanish of the Reina-Valera; `--model` takes any
EncoderDecoder with vocabularies: models/pronounce.safetensors says how English words are spoken.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

import beam_rnn as rnn
from pipelines import alignments, lines, sinks, sources
from pipelines.application import Application, Rows, View
from pipelines.events import Event, Failed, WithFailed
from pipelines.lines import Line, PiecesOf, Translator
from pipelines.places import MODELS, SAMPLES

LINES, PICTURE = "lines", "attention.png"


class _WithTranslator(beam.DoFn):
    """What workers do with a translator that each of them reads once."""

    def __init__(self, path: str) -> None:
        self._path = path

    def setup(self) -> None:
        self._translator = Translator.of(self._path)


class _Readable(_WithTranslator):
    """(stream, event) -> the same, without text that the model cannot read."""

    def process(self, keyed: tuple[str, Event]) -> Iterator[Any]:
        stream, event = keyed
        for given in self._translator.readable(event):
            yield given if isinstance(given, TaggedOutput) else (stream, given)


class _Untranslated(_WithTranslator):
    def process(self, bad: rnn.BadEvent) -> Iterator[Failed]:
        return self._translator.failed(bad)


class _Lines(_WithTranslator):
    def process(
        self, translated: tuple[str, rnn.Translated], time: Any = beam.DoFn.TimestampParam
    ) -> Iterator[Line]:
        stream, answer = translated
        yield self._translator.line(stream, time.micros, answer)


def _answer(events: Any, given: argparse.Namespace) -> Rows:
    translator = Translator.of(given.model)
    readable = events | "Readable" >> WithFailed(_Readable(given.model), tuple[str, Event])
    translated = readable | "Translate" >> rnn.Translate(
        given.model,
        x=PiecesOf(translator.pieces),
        end=lines.ends_line,
        expire_after=given.expire_after,
        width=given.width,
        alpha=lines.ALPHA,
        longest=translator.longest,
        source=True,
    )
    made = translated | "Lines" >> beam.ParDo(_Lines(given.model)).with_output_types(Line)
    bad = translated.failed | "Untranslated" >> beam.ParDo(
        _Untranslated(given.model)
    ).with_output_types(Failed)
    return {LINES: made}, [readable.failed, bad]


def _finish(given: argparse.Namespace, output: Path) -> list[str]:
    written = list(sinks.read_rows(output / LINES, Line))
    matrices = alignments.matrices_of(Translator.of(given.model), written)
    if matrices:
        alignments.draw(output / PICTURE, matrices)
    pieces = sum(line.step for line in written)
    return [f"{len(written):,} lines translated, {pieces:,} pieces read"]


def _tell(row: Any) -> str:
    return f"{row.stream}: {row.line[:60]} → {row.translation[:90]}"


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--width",
        type=int,
        default=4,
        metavar="N",
        help="how many hypotheses are followed at once (default: 4; 1: greedy)",
    )


APPLICATION = Application(
    name="translate-text",
    summary="Translate lines of many texts, with what was read for each word.",
    inputs=sources.TEXTS,
    sample=SAMPLES / "verses.jsonl",
    model=MODELS / "translate_text.safetensors",
    rows={LINES: Line},
    answer=_answer,
    lines=sources.texts_of,
    needs=[("matplotlib", "Matplotlib")],
    options=_options,
    finish=_finish,
    files=(PICTURE,),
    view=View(_tell),
    look=alignments.LOOK,
)

main = APPLICATION.main
