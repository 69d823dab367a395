"""Attention: how much of each piece of a line is read for each piece of its translation."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beam_rnn.report import Piece, Section
from pipelines.lines import Line, Translator
from pipelines.pages import Look

DRAWN = 4  # lines in the picture
_PIECES = range(8, 36)  # of a line that is drawn


class Matrix(NamedTuple):
    """A line, its translation, and the weights (written, read) of attention."""

    title: str
    read: Sequence[str]
    written: Sequence[str]
    weights: Any


def matrices_of(translator: Translator, lines: Sequence[Line]) -> list[Matrix]:
    """Those of some lines, of different streams if there are so many; none without attention."""
    if not translator.model.attends:
        return []
    ids = {piece: id for id, piece in enumerate(translator.model.encoder.vocabulary or ())}
    to = {piece: id for id, piece in enumerate(translator.model.vocabulary or ())}
    fitting = [line for line in lines if line.step in _PIECES and line.written] or [
        line for line in lines if line.written
    ]
    first = {line.stream: line for line in reversed(fitting)}
    chosen = sorted(first.values(), key=lambda line: (line.time, line.stream))[:DRAWN]
    matrices = []
    for line in chosen:
        read, written = line.pieces.split(" "), line.written.split(" ")
        weights = translator.model.attention([ids[p] for p in read], [to[p] for p in written])
        # What closes a line is the last column.
        columns = [*read, *["</s>"] * (weights.shape[1] > len(read))]
        shown = weights[:, : len(columns)]
        matrices.append(Matrix(line.stream, columns, written, shown))
    return matrices


def draw(path: Path, matrices: Sequence[Matrix]) -> None:
    """Draws them as PNG: what is read below, what is written on the left."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = -(-len(matrices) // 2)
    figure, axes = pyplot.subplots(rows, 2, figsize=(16, 8 * rows), squeeze=False)
    for axis, matrix in zip(axes.flat, matrices, strict=False):
        axis.imshow(np.asarray(matrix.weights), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axis.set_xticks(range(len(matrix.read)), map(_plain, matrix.read), rotation=90, fontsize=9)
        axis.set_yticks(range(len(matrix.written)), map(_plain, matrix.written), fontsize=9)
        axis.set_title(_plain(matrix.title), fontsize=11, loc="left")
        axis.tick_params(length=0)
        for side in axis.spines.values():
            side.set_color("#cccccc")
    for axis in list(axes.flat)[len(matrices) :]:
        axis.set_axis_off()
    figure.suptitle(
        "What was read (across) for each piece that was written (down)",
        fontsize=12,
        x=0.01,
        y=0.99,
        ha="left",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font has not are drawn as boxes
        figure.tight_layout(rect=(0, 0, 1, 0.98))
        figure.savefig(path, dpi=80)
    pyplot.close(figure)


def _plain(text: str) -> str:
    """A piece as it is drawn: words begin with a dot; a dollar would begin a formula."""
    return text.replace("\N{LOWER ONE EIGHTH BLOCK}", "·").replace("$", r"\$")


def section(stream: str, rows: Sequence[Any]) -> Section:
    """What a page shows of a stream: each line, and below it the translation."""
    pieces = [
        piece
        for row in rows
        for piece in (Piece(f"{row.line}\n"), Piece(f"→ {row.translation}\n\n", "", row.alignment))
    ]
    return Section(stream, pieces, f"{len(rows):,} lines")


LOOK = Look(
    title="Translated lines",
    lead="Read piece by piece as they come by a recurrent network; a second one writes.",
    section=section,
    rows="lines",
)
