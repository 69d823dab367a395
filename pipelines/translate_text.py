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
from pathlib import Path
from typing import Any

import apache_beam as beam

import beam_rnn as rnn
from pipelines import alignments, lines, sinks, sources
from pipelines.application import Application, Rows, View
from pipelines.events import Event, WithFailed
from pipelines.lines import Line, PiecesOf, Translator
from pipelines.places import MODELS, SAMPLES

LINES, PICTURE = "lines", "attention.png"


def _answer(events: Any, given: argparse.Namespace) -> Rows:
    translator = Translator.of(given.model)
    pieces, longest = translator.pieces, translator.longest
    readable = events | "Readable" >> WithFailed(lines.Readable(pieces), tuple[str, Event])
    translated = readable | "Translate" >> rnn.Translate(
        given.model,
        x=PiecesOf(pieces),
        end=lines.ends_line,
        expire_after=given.expire_after,
        width=given.width,
        alpha=lines.ALPHA,
        longest=longest,
        source=True,
    )
    bad = translated.failed | "Untranslated" >> beam.FlatMap(lines.untranslated, longest)
    return {LINES: translated | "Lines" >> beam.Map(lines.as_line).with_output_types(Line)}, [
        readable.failed,
        bad,
    ]


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
