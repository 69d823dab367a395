"""Genes in a track: their ends are codons, on both strands, and their lines are GFF3."""

import numpy as np
import pytest

from pipelines.genes import Gene, find_genes, gff_lines

BODY = "GCT" * 40
FORWARD = "CCCCC" + "ATG" + BODY + "TAA" + "CCCC"  # begins at place 5, frame 2


def reverse_complement(text: str) -> str:
    return text[::-1].translate(str.maketrans("ACGT", "TGCA"))


def track(label: str, first: int, last: int, n: int) -> list[str]:
    return ["."] * first + [label] * (last - first) + ["."] * (n - last)


@pytest.mark.parametrize(("early", "late"), [(0, 0), (-9, 4), (9, -7)])
def test_ends_move_to_start_and_stop_codon(early: int, late: int) -> None:
    n = len(FORWARD)
    scores = np.full(n, 0.5, np.float32)
    labels = track("+2", max(5 + early, 0), 131 + late, n)
    assert list(find_genes(FORWARD, labels, scores)) == [Gene(5, 131, "+", 0.5, True)]


def test_a_gene_on_the_other_strand() -> None:
    text = reverse_complement(FORWARD)
    labels = track("-1", 10, 125, len(text))
    (gene,) = find_genes(text, labels, np.ones(len(text), np.float32))
    assert gene == Gene(4, 130, "-", 1.0, True)
    assert reverse_complement(text[gene.start : gene.stop]).startswith("ATG")
    assert gene.start % 3 == 1


def test_a_gene_that_is_cut_off_is_partial() -> None:
    text = BODY  # neither start nor stop
    (gene,) = find_genes(text, ["+0"] * len(text), np.ones(len(text), np.float32))
    assert gene == Gene(0, len(text), "+", 1.0, False)


def test_short_runs_are_none() -> None:
    assert not list(find_genes(FORWARD, track("+2", 5, 60, len(FORWARD)), np.ones(len(FORWARD))))


def test_gff() -> None:
    lines = gff_lines("contig 1", [Gene(5, 131, "+", 0.5, True), Gene(200, 300, "-", 1.0, False)])
    assert [line.split("\t") for line in lines] == [
        ["contig%201", "beam_rnn", "CDS", "6", "131", "0.500", "+", "0", "ID=contig%201_cds1"],
        ["contig%201", "beam_rnn", "CDS", "201", "300", "1.000", "-", "0",
         "ID=contig%201_cds2;partial=true"],
    ]  # fmt: skip
