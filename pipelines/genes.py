"""Genes in a track of coding strands and frames: where they begin and end, GFF3, the picture."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from pipelines import sinks

SHORTEST = 60  # bases of a run that make a gene
STARTS = {"ATG", "GTG", "TTG"}
STOPS = {"TAA", "TAG", "TGA"}
_COMPLEMENT = str.maketrans("ACGTUacgtu", "TGCAATGCAA")


class Gene(NamedTuple):
    """A coding region: bases ``start`` to ``stop`` - 1 from 0, its strand and mean score."""

    start: int
    stop: int
    strand: str  # "+" or "-"
    score: float
    whole: bool  # from a start codon to a stop codon


def find_genes(text: str, labels: Sequence[str], scores: NDArray[np.float32]) -> Iterator[Gene]:
    """The genes of one sequence, in the order of their places.

    A gene is a run of one strand and frame; its ends move to the stop codon and to the start
    codon of this frame that are next to the ends of the run.

    Args:
      text: the bases.
      labels: of each base, ".", or strand and frame such as "+2".
      scores: of each base.
    """
    text = text.upper().replace("U", "T")
    reverse = text[::-1].translate(_COMPLEMENT)
    at = 0
    for label, run in itertools.groupby(labels):
        first, at = at, at + sum(1 for _ in run)
        if label == "." or at - first < SHORTEST:
            continue
        strand, frame = label[0], int(label[1])
        score = float(np.mean(scores[first:at]))
        if strand == "+":
            start, stop, whole = _fit(text, first, at, frame)
        else:
            n = len(text)
            start, stop, whole = _fit(reverse, n - at, n - first, (n - 3 - frame) % 3)
            start, stop = n - stop, n - start
        if stop - start >= SHORTEST:
            yield Gene(start, stop, strand, score, whole)


def _fit(text: str, first: int, last: int, frame: int) -> tuple[int, int, bool]:
    """The open reading frame of a forward run: (start, stop, whether both codons are there)."""
    middle = first + (last - first) // 2
    middle -= (middle - frame) % 3
    stop, ends = len(text) - (len(text) - frame) % 3, False
    for at in range(middle, len(text) - 2, 3):
        if text[at : at + 3] in STOPS:
            stop, ends = at + 3, True
            break
    opened, begins = frame, False
    for at in range(middle - 3, -1, -3):
        if text[at : at + 3] in STOPS:
            opened = at + 3
            break
    starts = [at for at in range(opened, middle, 3) if text[at : at + 3] in STARTS]
    if starts:
        opened, begins = min(starts, key=lambda at: abs(at - first)), True
    return opened, stop, begins and ends


def gff_lines(name: str, genes: Iterable[Gene]) -> Iterator[str]:
    """The genes of one sequence as lines of GFF3 (1-based, both ends included)."""
    seqid = quote(name, safe=".:^*$@!+_?-|")
    for number, gene in enumerate(genes, 1):
        kind = "" if gene.whole else ";partial=true"
        columns = [
            *(seqid, "beam_rnn", "CDS", str(gene.start + 1), str(gene.stop)),
            *(f"{gene.score:.3f}", gene.strand, "0", f"ID={seqid}_cds{number}{kind}"),
        ]
        yield "\t".join(columns)


def write_gff(path: Path, lines: Iterable[str]) -> None:
    """Writes a GFF3 file; a reader never sees half of it."""
    sinks.write_text(path, "\n".join(["##gff-version 3", *lines]) + "\n")
