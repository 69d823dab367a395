"""Coding regions of DNA: strand and frame of each base while it is read, genes as GFF3.

    python -m beam_rnn annotate-dna [--input PATH] [--output FOLDER] [options of Beam]

Reads FASTA or GenBank, or JSON lines of reads (`stream`, `time`, `text`, perhaps `end`) from a
file, a growing folder or standard input. Writes bases/*.parquet (a label for each base, with at
most 300 bases of look-ahead), genes.gff3, track.png, index.html and failed.jsonl. With --splice it
looks at each GT and AG of whole reads instead, and writes sites/*.parquet and sites.gff3.
"""

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.transforms.window import TimestampedValue

import beam_rnn as rnn
from beam_rnn.features import Nucleotides
from beam_rnn.report import Kind, Piece, Section
from pipelines import batch, fasta, sinks, sources, splice
from pipelines.application import Application, Rows, need, told
from pipelines.events import Failed
from pipelines.genes import find_genes, gff_lines, write_gff
from pipelines.pages import Look
from pipelines.places import MODELS, SAMPLES
from pipelines.texts import TextOf, as_failed, by_stream, is_last

BASES, GENES, TRACK = "bases", "genes.gff3", "track.png"
DRAWN = 24_000  # bases of the longest sequence that the picture shows


class Base(NamedTuple):
    """A row of the output: one base. ``time`` is in microseconds since 1970."""

    stream: str
    time: int
    step: int  # the place of the base in its sequence, from 1
    base: str
    label: str  # ".", or strand and place mod 3 of its codons, such as "+2"
    score: float


def tagger_of(path: str) -> tuple[rnn.Network, TextOf]:
    """An annotator of DNA, and the feature that feeds it with events.

    Raises:
      rnn.WeightsError: the file cannot be read.
      rnn.ModelError: it holds another kind of network.
    """
    network = rnn.load(path)
    if network.input_shape != (Nucleotides.width,):
        raise rnn.ModelError(
            f"{path} is no annotator of DNA: it needs rows of {Nucleotides.width} numbers, got"
            f" {network.input_shape}"
        )
    return network, TextOf(Nucleotides(int(network.card.get("lookahead", 300))))


def _live(pipeline: beam.Pipeline, arguments: argparse.Namespace) -> Rows:
    if arguments.splice:
        return splice.find(told(pipeline, arguments, _lines(arguments)), arguments.splice_model)
    _, bases = tagger_of(arguments.model)
    events = told(pipeline, arguments, _lines(arguments))
    tagged = (
        events
        | "ByStream" >> beam.Map(by_stream).with_output_types(tuple[str, sources.Event])
        | "Tag" >> rnn.Tag(arguments.model, x=bases, end=is_last)
    )
    untagged = tagged.failed | "Untagged" >> beam.Map(as_failed).with_output_types(Failed)
    return {BASES: _rows(tagged)}, (events.failed, untagged)


def _batch(pipeline: beam.Pipeline, arguments: argparse.Namespace) -> Rows:
    events = pipeline | "Read" >> batch.ReadEvents(arguments.input)
    if arguments.splice:
        whole = events | "Events" >> beam.Map(_event).with_output_types(sources.Event)
        whole.failed = events.failed
        return splice.find(whole, arguments.splice_model)
    tagger_of(arguments.model)  # so that a wrong one is refused here, not in a worker
    tagged = events | "Tag" >> batch.TagWhole(arguments.model, tagger_of)
    return {BASES: _rows(tagged)}, (events.failed,)


def _rows(tagged: Any) -> Any:
    return tagged | "Rows" >> beam.Map(_as_base).with_output_types(Base)


def _as_base(tagged: tuple[str, Any], time: Any = beam.DoFn.TimestampParam) -> Base:
    stream, answer = tagged
    return Base(stream, time.micros, answer.step, answer.input, answer.label, float(answer.score))


def _event(row: tuple[str, tuple[int, sources.Event]]) -> TimestampedValue:
    event = row[1][1]
    return TimestampedValue(event, event.time)


def _lines(arguments: argparse.Namespace) -> sources.Lines:
    if fasta.format_of(arguments.input):
        return fasta.Sequences(arguments.input, None if arguments.splice else fasta.PIECE)
    return sources.lines_of(arguments.input)


def _check(arguments: argparse.Namespace) -> None:
    if fasta.format_of(arguments.input) and not arguments.batch:
        need("Bio", "Biopython")
        fasta.read_records(arguments.input)
    need("matplotlib", "Matplotlib")


def _finish(arguments: argparse.Namespace, output: Path) -> list[str]:
    from pipelines.tracks import draw_track

    known = {}
    if fasta.format_of(arguments.input):
        known = {record.name: record.known for record in fasta.read_records(arguments.input)}
    lines, found, bases = [], 0, 0
    longest: tuple[Any, ...] | None = None
    for stream, text, labels, scores in sequences_of(output / BASES):
        genes = list(find_genes(text, labels, scores))
        lines += gff_lines(stream, genes)
        found, bases = found + len(genes), bases + len(text)
        if longest is None or len(text) > len(longest[1]):
            longest = (stream, text, labels, scores, genes)
    write_gff(output / GENES, lines)
    if longest is not None:
        name, _, labels, scores, genes = longest
        draw_track(output / TRACK, name, labels[:DRAWN], scores[:DRAWN], genes, known.get(name, []))
    return [f"{bases:,} bases, {found:,} genes"]


def sequences_of(folder: Path) -> "list[tuple[str, str, list[str], np.ndarray]]":
    """(stream, bases, labels, scores) of each sequence that was written; the last of its name."""
    import pyarrow as pa

    parts = list(sinks.read_parts(folder, sinks.schema_of(Base)))
    if not parts:
        return []
    table = pa.concat_tables(parts)
    rows: dict[str, list[tuple[str, str, float]]] = {}
    columns = [table.column(name).to_pylist() for name in ("stream", "step", *Base._fields[3:])]
    for stream, step, *row in zip(*columns, strict=True):
        if step == 1:
            rows[stream] = []
        rows[stream].append(tuple(row))
    return [
        (
            stream,
            "".join(base for base, _, _ in own),
            [label for _, label, _ in own],
            np.array([score for _, _, score in own], np.float32),
        )
        for stream, own in rows.items()
    ]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--splice", action="store_true", help="find splice sites in whole reads instead of genes"
    )
    parser.add_argument(
        "--splice-model",
        default=str(MODELS / "splice_sites.safetensors"),
        metavar="FILE",
        help="weights of the classifier of splice sites",
    )


def _section(stream: str, rows: Sequence[Base]) -> Section:
    """What a page shows of a sequence: its bases, those of a coding strand marked."""
    pieces = [
        Piece("".join(base.base for base in own), strand.strip("."))
        for strand, own in itertools.groupby(rows, key=lambda base: base.label[0])
    ]
    coding = sum(len(piece.text) for piece in pieces if piece.kind)
    return Section(stream, pieces, f"{len(rows):,} bases, {coding:,} coding")


LOOK = Look(
    title="Coding regions of DNA",
    lead="The strand of each base, told by a recurrent network while the sequence was being read.",
    kinds=[
        Kind("+", "coding regions of the strand", "forward"),
        Kind("-", "of the other strand", "reverse"),
    ],
    section=_section,
    rows="bases",
)
APPLICATION = Application(
    name="annotate-dna",
    summary="Find the coding regions of DNA while it is being read.",
    inputs="FASTA or GenBank (also .gz), or JSON lines of reads: a file, a folder that grows, or -",
    sample=SAMPLES / "contigs.gbk",
    model=MODELS / "annotate_dna.safetensors",
    rows={BASES: Base},
    live=_live,
    batch=_batch,
    finish=_finish,
    files=(GENES, TRACK),
    check=_check,
    options=_options,
    look=LOOK,
)
SPLICE = dataclasses.replace(
    APPLICATION,
    rows={splice.FOLDER: splice.Site},
    files=(splice.FILE,),
    finish=splice.finish,
    look=splice.LOOK,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit code: 0, 2 if it could not start, 130 if it was aborted."""
    arguments = sys.argv[1:] if argv is None else argv
    return (SPLICE if "--splice" in arguments else APPLICATION).main(arguments)


if __name__ == "__main__":
    sys.exit(main())
