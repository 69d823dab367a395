"""Coding regions of DNA: strand and frame of each base while it is read, genes as GFF3.

    python -m beam_rnn annotate-dna [--input PATH] [--output FOLDER] [options of Beam]

Reads FASTA or GenBank, or JSON lines of reads (`stream`, `time`, `text`, perhaps `end`) from a
file, a growing folder, standard input or Kafka. Writes bases/*.parquet (a label for each base, with
at most 300 bases of look-ahead), genes.gff3, track.png, index.html and failed.jsonl. With --splice
it looks at each GT and AG of whole reads instead, and writes sites/*.parquet and sites.gff3.
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

import beam_rnn as rnn
from beam_rnn.features import Nucleotides
from beam_rnn.report import Kind, Piece, Section
from pipelines import fasta, sinks, sources, splice
from pipelines.application import Application, Rows
from pipelines.genes import find_genes, gff_lines, write_gff
from pipelines.pages import Look
from pipelines.places import MODELS, SAMPLES
from pipelines.texts import TextOf, is_last

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


def _answer(events: Any, given: argparse.Namespace) -> Rows:
    _, bases = tagger_of(given.model)
    tagged = events | "Tag" >> rnn.Tag(
        given.model, x=bases, end=is_last, expire_after=given.expire_after
    )
    return {BASES: tagged | "Bases" >> beam.Map(_as_base).with_output_types(Base)}, [tagged.failed]


def _answer_splice(events: Any, given: argparse.Namespace) -> Rows:
    return splice.find(events, given.splice_model)


def _as_base(tagged: tuple[str, Any], time: Any = beam.DoFn.TimestampParam) -> Base:
    stream, answer = tagged
    return Base(stream, time.micros, answer.step, answer.input, answer.label, float(answer.score))


def _lines(given: argparse.Namespace) -> sources.Lines:
    if fasta.format_of(given.input):
        return fasta.Sequences(given.input, None if given.splice else fasta.PIECE)
    return sources.lines_of(given.input)


def _check(given: argparse.Namespace) -> None:
    if fasta.format_of(given.input) and not given.batch:
        fasta.read_records(given.input)


def _finish(given: argparse.Namespace, output: Path) -> list[str]:
    from pipelines.tracks import draw_track

    known = {}
    if fasta.format_of(given.input):
        known = {record.name: record.known for record in fasta.read_records(given.input)}
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


def sequences_of(folder: Path) -> list[tuple[str, str, list[str], np.ndarray]]:
    """(stream, bases, labels, scores) of each sequence that was written; the last of its name."""
    sequences: dict[str, list[Base]] = {}
    for base in sinks.read_rows(folder, Base):
        if base.step == 1:
            sequences[base.stream] = []
        sequences[base.stream].append(base)
    return [
        (
            stream,
            "".join(base.base for base in own),
            [base.label for base in own],
            np.array([base.score for base in own], np.float32),
        )
        for stream, own in sequences.items()
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
        Kind("+", "coding runs of the strand", "forward"),
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
    answer=_answer,
    lines=_lines,
    needs=[("Bio", "Biopython"), ("matplotlib", "Matplotlib")],
    check=_check,
    options=_options,
    finish=_finish,
    files=(GENES, TRACK),
    look=LOOK,
)
SPLICE = dataclasses.replace(
    APPLICATION,
    rows={splice.FOLDER: splice.Site},
    answer=_answer_splice,
    finish=splice.finish,
    files=(splice.FILE,),
    look=splice.LOOK,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit code: 0, 2 if it could not start, 130 if it was aborted."""
    arguments = sys.argv[1:] if argv is None else argv
    return (SPLICE if "--splice" in arguments else APPLICATION).main(arguments)
