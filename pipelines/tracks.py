"""The picture of annotated DNA: genes on both strands, the score of each base, known genes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.fasta import Known
from pipelines.genes import Gene

ROW = 6_000  # bases side by side
SMOOTH = 60  # bases over which the score is averaged
COLOURS = {"+": "#1857b4", "-": "#b3261e"}


def draw_track(
    path: Path,
    name: str,
    labels: Sequence[str],
    scores: NDArray[np.float32],
    genes: Sequence[Gene],
    known: Sequence[Known],
) -> None:
    """Draws one sequence as PNG: rows of 6,000 bases.

    Args:
      path: of the picture.
      name: of the sequence.
      labels, scores: of each base that is drawn.
      genes: those that were found.
      known: those that the file tells of, drawn hollow.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    n = len(labels)
    rows = max(-(-n // ROW), 1)
    figure, axes = pyplot.subplots(rows, 1, figsize=(13, 0.6 + 1.75 * rows), squeeze=False)
    strand = np.array([{"+": 1.0, "-": -1.0}.get(label[0], 0.0) for label in labels])
    signed = strand * scores
    window = np.ones(min(SMOOTH, max(n, 1))) / min(SMOOTH, max(n, 1))
    signed = np.convolve(signed, window, mode="same") if n else signed
    for row, axis in enumerate(axes[:, 0]):
        first, last = row * ROW, min((row + 1) * ROW, n)
        place = np.arange(first, last)
        part = signed[first:last]
        axis.fill_between(place, 0, part.clip(0), color=COLOURS["+"], alpha=0.25, lw=0)
        axis.fill_between(place, 0, part.clip(None, 0), color=COLOURS["-"], alpha=0.25, lw=0)
        for gene in genes:
            _arrow(axis, gene.start, gene.stop, gene.strand, 1.3, True)
        for region in known:
            _arrow(axis, region.start, region.stop, region.strand, 1.75, False)
        axis.axhline(0, color="#555555", lw=0.6)
        axis.set(xlim=(first, first + ROW), ylim=(-2.1, 2.1), yticks=[-1, 0, 1])
        axis.set_yticklabels(["reverse", "", "forward"], fontsize=8)
        axis.tick_params(axis="x", labelsize=8)
        axis.xaxis.set_major_formatter(lambda value, _: f"{int(value):,}")
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    hollow = "; hollow: the annotation in the file" if known else ""
    figure.suptitle(
        f"{name}: coding strand of each base (shade: score), filled: genes found{hollow}",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _arrow(
    axis: Any,
    start: int,
    stop: int,
    strand: str,
    height: float,
    filled: bool,
) -> None:
    """A gene as a bar with a point in the direction in which it is read."""
    up = 1 if strand == "+" else -1
    middle, half = up * height, 0.17
    point = min(90, (stop - start) / 2) * up
    a, b = (start, stop) if up == 1 else (stop, start)
    corners = [
        *[(a, middle - half), (b - point, middle - half), (b, middle)],
        *[(b - point, middle + half), (a, middle + half)],
    ]
    x, y = zip(*corners, strict=True)
    axis.fill(
        x, y, facecolor=COLOURS[strand] if filled else "none", edgecolor=COLOURS[strand], lw=0.9
    )
