"""Makes contigs.gbk, the committed sample of DNA: 56 contigs that training never saw.

    python pipelines/sample/make_contigs.py

fetches the genome (Debian r-cran-seqinr) and cuts its last fifth, which is the test part: one
contig of 24,000 bases with its annotated coding regions, and 55 of 700. The same package gives
the same file, to the byte.
"""

import sys
import textwrap
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from training import genome

LONG, SHORT, CONTIGS = 24_000, 700, 55
FIRST = 10_000  # bases of the test part before the first contig
EVERY = 3_000  # bases from one short contig to the next


def main() -> None:
    """Writes contigs.gbk beside this file."""
    whole = genome.read_genome()
    start = int(genome.SPLITS["test"][0] * len(whole.text)) + FIRST
    regions = genome.read_regions()
    pieces = [(start, start + LONG)]
    pieces += [
        (at, at + SHORT) for at in range(start + LONG, start + LONG + EVERY * CONTIGS, EVERY)
    ]
    path = Path(__file__).with_name("contigs.gbk")
    records = [
        record(f"contig{i:02}", whole.text[a:b], a, regions) for i, (a, b) in enumerate(pieces)
    ]
    path.write_text("".join(records))
    print(f"{path}: {len(pieces)} contigs, {sum(b - a for a, b in pieces):,} bases")


def record(name: str, text: str, start: int, regions: list[tuple[int, int, int]]) -> str:
    """One record of a GenBank file, with the coding regions that it holds or cuts."""
    where = f"AE001273, bases {start + 1} to {start + len(text)}"
    lines = [
        f"LOCUS       {name:<16} {len(text):>11} bp    DNA     linear   BCT 03-SEP-1998",
        f"DEFINITION  Chlamydia trachomatis D/UW-3/CX, {where}.",
        f"ACCESSION   {name}",
        f"VERSION     {name}",
        "SOURCE      Chlamydia trachomatis.",
        "FEATURES             Location/Qualifiers",
    ]
    for first, last, strand in regions:
        a, b = max(first - start, 0), min(last - start, len(text))
        if a < b:
            span = f"{'<' * (first < start)}{a + 1}..{'>' * (last > start + len(text))}{b}"
            lines.append(f"     CDS             {span if strand == 1 else f'complement({span})'}")
    lines.append("ORIGIN")
    for at in range(0, len(text), 60):
        groups = textwrap.wrap(text[at : at + 60].lower(), 10)
        lines.append(f"{at + 1:>9} {' '.join(groups)}")
    return "\n".join([*lines, "//", ""])


if __name__ == "__main__":
    main()
