"""Recomputes the figures of models/annotate_dna.safetensors with `Network.unroll`.

python training/evaluate_dna.py models/annotate_dna.safetensors
"""

import argparse
import itertools
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import beam_rnn as rnn
from beam_rnn.features.dna import Nucleotides
from pipelines.genes import find_genes
from training import genome

LOOKAHEADS = (0, 15, 30, 60, 100, 200, 300)


class Accuracy(NamedTuple):
    """Shares of the bases that are answered rightly."""

    strand: float  # not coding, forward or reverse
    frame: float  # and the frame too
    majority: float  # if every base got the most frequent strand


def accuracy(network: rnn.Network, sequence: genome.Sequence, lookahead: int) -> Accuracy:
    """How right the network is over a sequence that is one stream."""
    y, _ = network.unroll(Nucleotides(lookahead).rows(sequence.text))
    found, gold = y.argmax(axis=1), sequence.labels
    strands = genome.STRAND[gold]
    return Accuracy(
        float((genome.STRAND[found] == strands).mean()),
        float((found == gold).mean()),
        float(np.bincount(strands).max() / len(gold)),
    )


def gene_ends(network: rnn.Network, sequence: genome.Sequence) -> tuple[float, float]:
    """Shares of annotated genes whose end is found, and of found genes whose end is annotated.

    The end is the stop codon, with its strand.
    """
    y, _ = network.unroll(Nucleotides(network.card["lookahead"]).rows(sequence.text))
    best = y.argmax(axis=1)
    labels = [genome.LABELS[k] for k in best]
    genes = find_genes(sequence.text, labels, y[np.arange(len(y)), best])
    found = {(gene.strand, gene.stop if gene.strand == "+" else gene.start) for gene in genes}
    edges = np.flatnonzero(np.diff(sequence.labels, prepend=0, append=0))
    known = set()
    for start, stop in itertools.pairwise(edges.tolist()):
        strand = genome.LABELS[sequence.labels[start]][0]
        if strand != ".":
            known.add((strand, stop if strand == "+" else start))
    return len(found & known) / len(known), len(found & known) / len(found)


def table_lines(network: rnn.Network, sequence: genome.Sequence) -> list[str]:
    """Accuracy for each look-ahead, as rows of a table."""
    lines = ["| look-ahead | strand | strand and frame |", "|---|---|---|"]
    for lookahead in LOOKAHEADS:
        now = accuracy(network, sequence, lookahead)
        lines.append(f"| {lookahead} | {100 * now.strand:.2f} | {100 * now.frame:.2f} |")
    lines.append(f"most frequent strand: {100 * now.majority:.2f} of {len(sequence.text):,} bases")
    if "lookahead" in network.card:
        right, true = gene_ends(network, sequence)
        lines.append(f"gene ends: {right:.1%} of the annotated found, {true:.1%} of the found true")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, default=genome.FOLDER, help="where the package is")
    parser.add_argument("--split", default="test", choices=[*genome.SPLITS])
    options = parser.parse_args()
    sequence = genome.split(genome.read_genome(options.data), options.split)
    print("\n".join(table_lines(rnn.load(options.model), sequence)))


if __name__ == "__main__":
    main()
