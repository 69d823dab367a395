"""Labels of bases: their frames are those of the codons, on both strands."""

import numpy as np
import pytest

pytest.importorskip("Bio", reason="the extra apps is not installed")

from training import genome
from training.genome import LABELS, Sequence, parse

GENBANK = """LOCUS       TINY                      30 bp    DNA     linear   BCT 03-SEP-1998
FEATURES             Location/Qualifiers
     CDS             <1..9
     CDS             complement(13..21)
ORIGIN
        1 cgatgctaac ccttagcaca tccccccccc
//
"""


def label(text: str, regions: list[tuple[int, int, int]]) -> Sequence:
    labels = np.zeros(len(text), np.int64)
    for start, stop, strand in regions:
        labels[start:stop] = 1 + stop % 3 if strand == 1 else 4 + start % 3
    return Sequence(text, labels)


def test_parse() -> None:
    text, regions = parse(GENBANK)
    assert text == "CGATGCTAACCCTTAGCACATCCCCCCCCC"
    assert regions == [(0, 9, 1), (12, 21, -1)]


def test_parts_and_the_other_strand_keep_their_codons() -> None:
    whole = label(*parse(GENBANK))
    assert [LABELS[k] for k in whole.labels[[0, 8, 9, 12, 20, 21]]] == [
        *["+0", "+0", ".", "-0", "-0", "."],
    ]
    part = whole.part(1, 30)
    assert LABELS[part.labels[0]] == "+2"  # its codons begin at places 2 and 5 of the part
    assert LABELS[part.labels[12]] == "-2"
    back = whole.reversed()
    assert back.text == "GGGGGGGGGATGTGCTAAGGGTTAGCATCG"
    assert {LABELS[k] for k in back.labels[9:18]} == {"+0"}  # ATG TGC TAA
    assert {LABELS[k] for k in back.labels[21:30]} == {"-0"}
    np.testing.assert_array_equal(back.reversed().labels, whole.labels)


def test_the_parts_of_the_genome_share_nothing() -> None:
    edges = [edge for part in genome.SPLITS.values() for edge in part]
    assert edges == sorted(edges) == [0.0, 0.7, 0.7, 0.8, 0.8, 1.0]
