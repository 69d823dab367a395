"""Lines of many texts in another language, with what was read for each piece that was written.

    python -m beam_rnn translate-text [--input PATH] [--output FOLDER] [options of Beam]

Reads JSON lines with `stream`, `time`, `text` and perhaps `end` from a file, a growing folder or
standard input. A line of a stream ends with a line break at the end of a text, or with `end`; until
then its texts are pieces of it, cut anywhere. Writes lines/*.parquet (each line, its translation
and the alignment), attention.png, index.html and failed.jsonl. The committed model reads the
English of the King James Version and writes the Spanish of the Reina-Valera; `--model` takes any
EncoderDecoder with vocabularies: models/pronounce.safetensors says how English words are spoken.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam

import beam_rnn as rnn
from pipelines import alignments, batch, lines, sinks
from pipelines.application import Application, Rows, need, told
from pipelines.events import Event, Failed
from pipelines.lines import FAILED, Line, PiecesOf, Translator
from pipelines.places import MODELS, SAMPLES
from pipelines.sources import lines_of
from pipelines.texts import by_stream

LINES, PICTURE = "lines", "attention.png"


class _WithTranslator(beam.DoFn):
    """What workers do with a translator that each of them reads once."""

    def __init__(self, path: str) -> None:
        self._path = path

    def setup(self) -> None:
        self._translator = Translator.of(self._path)


class _Readable(_WithTranslator):
    def process(self, event: Event) -> Iterator[Any]:
        return self._translator.readable(event)


class _Failed(_WithTranslator):
    def process(self, bad: rnn.BadEvent) -> Iterator[Any]:
        return self._translator.failed(bad)


class _Lines(_WithTranslator):
    def process(
        self, translated: tuple[str, rnn.Translated], time: Any = beam.DoFn.TimestampParam
    ) -> Iterator[Line]:
        stream, answer = translated
        yield self._translator.line(stream, time.micros, answer)


def _live(pipeline: beam.Pipeline, arguments: argparse.Namespace) -> Rows:
    translator = Translator.of(arguments.model)
    events = told(pipeline, arguments, lines_of(arguments.input))
    readable = _with_failed(events | "Readable" >> _pardo(_Readable(arguments.model)), Event)
    streams = readable | "ByStream" >> beam.Map(by_stream).with_output_types(tuple[str, Event])
    translated = streams | "Translate" >> rnn.Translate(
        arguments.model,
        x=PiecesOf(translator.pieces),
        end=lines.ends_line,
        expire_after=arguments.expire_after,
        width=arguments.width,
        alpha=lines.ALPHA,
        longest=translator.longest,
        source=True,
    )
    bad = _with_failed(translated.failed | "Untranslated" >> _pardo(_Failed(arguments.model)), Any)
    return _rows(translated, arguments), (events.failed, readable.failed, bad.failed)


def _batch(pipeline: beam.Pipeline, arguments: argparse.Namespace) -> Rows:
    Translator.of(arguments.model)  # so that a wrong one is refused here, not in a worker
    events = pipeline | "Read" >> batch.ReadEvents(arguments.input)
    translated = events | "Translate" >> batch.TranslateWhole(
        arguments.model, Translator.of, arguments.width
    )
    return _rows(translated, arguments), (events.failed, translated.failed)


def _pardo(fn: beam.DoFn) -> Any:
    return beam.ParDo(fn).with_outputs(FAILED, main="main")


def _with_failed(outputs: Any, kind: Any) -> Any:
    main = outputs["main"]
    main.element_type = kind
    main.failed = outputs[FAILED]
    main.failed.element_type = Failed
    return main


def _rows(translated: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    made = translated | "Lines" >> beam.ParDo(_Lines(arguments.model)).with_output_types(Line)
    return {LINES: made}


def _finish(arguments: argparse.Namespace, output: Path) -> list[str]:
    parts = sinks.read_parts(output / LINES, sinks.schema_of(Line))
    written = [Line(**row) for part in parts for row in part.to_pylist()]
    matrices = alignments.matrices_of(Translator.of(arguments.model), written)
    if matrices:
        alignments.draw(output / PICTURE, matrices)
    pieces = sum(line.step for line in written)
    return [f"{len(written):,} lines translated, {pieces:,} pieces read"]


def _tell(row: Any) -> str:
    return f"{row.stream}: {row.line[:60]} → {row.translation[:90]}"


def _options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--width",
        type=int,
        default=4,
        metavar="N",
        help="how many hypotheses are followed at once (default: 4; 1: greedy)",
    )
    add(
        "--expire-after",
        type=float,
        metavar="SECONDS",
        help="a line without a piece for so long has ended (not on the local runner)",
    )


def _check(arguments: argparse.Namespace) -> None:
    need("matplotlib", "Matplotlib")


APPLICATION = Application(
    name="translate-text",
    summary="Translate lines of many texts, with what was read for each word.",
    inputs="JSON lines: a file, a folder that grows, or - for standard input",
    sample=SAMPLES / "verses.jsonl",
    model=MODELS / "translate_text.safetensors",
    rows={LINES: Line},
    live=_live,
    batch=_batch,
    finish=_finish,
    files=(PICTURE,),
    check=_check,
    options=_options,
    tell=_tell,
    look=alignments.LOOK,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit code: 0, 2 if it could not start, 130 if it was aborted."""
    return APPLICATION.main(argv)


if __name__ == "__main__":
    sys.exit(main())
