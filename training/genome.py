"""The genome of Chlamydia trachomatis: its bases, and on which strand and frame each is coding."""

import gzip
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training import packages

PACKAGE = "r-cran-seqinr"
FOLDER = packages.CACHE / "dna"
_FILE = "usr/lib/R/site-library/seqinr/sequences/ct.gbk.gz"

LABELS = [".", "+0", "+1", "+2", "-0", "-1", "-2"]
"""Not coding; coding on the forward or the reverse strand, with the place mod 3 of its codons."""

STRAND = np.array([0, 1, 1, 1, 2, 2, 2])
"""Of each label: not coding, forward, reverse."""

SPLITS = {"train": (0.0, 0.7), "valid": (0.7, 0.8), "test": (0.8, 1.0)}
"""Parts of the genome, which share no region."""


class Sequence(NamedTuple):
    """A piece of DNA. The frames of its labels are places mod 3 from its own start."""

    text: str
    labels: NDArray[np.int64]  # (T,)

    def part(self, start: int, stop: int) -> "Sequence":
        """The bases from ``start`` to ``stop``."""
        labels = _framed(self.labels[start:stop], lambda frame: frame - start)
        return Sequence(self.text[start:stop], labels)

    def reversed(self) -> "Sequence":
        """The other strand, read in its own direction."""
        text = self.text[::-1].translate(str.maketrans("ACGT", "TGCA"))
        # A codon that began at place i ends at n - 1 - i, and so begins two bases before.
        framed = _framed(self.labels[::-1], lambda frame: len(text) - 3 - frame)
        other = np.array([0, 4, 5, 6, 1, 2, 3])
        return Sequence(text, other[framed])


def _framed(
    labels: NDArray[np.int64], change: Callable[[NDArray[np.int64]], NDArray[np.int64]]
) -> NDArray[np.int64]:
    """The labels with their frames changed, mod 3."""
    coding = labels > 0
    first = np.where(STRAND[labels] == 2, 4, 1)
    return np.where(coding, first + change(labels - first) % 3, 0)


def read_genome(folder: Path = FOLDER) -> Sequence:
    """The whole genome with its annotated coding regions; where two overlap, the later one."""
    text, regions = parse(_genbank(folder))
    labels = np.zeros(len(text), np.int64)
    for start, stop, strand in regions:
        # counted from the end with the stop codon: the other end may be cut off
        labels[start:stop] = 1 + stop % 3 if strand == 1 else 4 + start % 3
    return Sequence(text, labels)


def read_regions(folder: Path = FOLDER) -> list[tuple[int, int, int]]:
    """(start, stop, strand 1 or -1) of the coding regions of the genome."""
    return parse(_genbank(folder))[1]


def _genbank(folder: Path) -> str:
    packed = packages.read_debian(packages.debian(PACKAGE, folder), _FILE)
    return gzip.decompress(packed).decode()


def parse(genbank: str) -> tuple[str, list[tuple[int, int, int]]]:
    """The bases of the first record of a GenBank file, and its CDS features, part by part."""
    from Bio import SeqIO

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a header of 1998
        record = next(SeqIO.parse(io.StringIO(genbank), "genbank"))
    regions = [
        (int(part.start), int(part.end), int(part.strand))
        for feature in record.features
        if feature.type == "CDS"
        for part in feature.location.parts
    ]
    return str(record.seq).upper(), regions


def split(genome: Sequence, name: str) -> Sequence:
    """The part "train", "valid" or "test" of the genome."""
    first, last = SPLITS[name]
    return genome.part(int(first * len(genome.text)), int(last * len(genome.text)))
