"""Ratings over time: what a page and a picture show of the sentences of many texts."""

import textwrap
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from beam_rnn.report import Kind, Piece, Section
from pipelines.pages import Look

KINDS = [
    Kind("up", "sentences that lift the rating", "up"),
    Kind("down", "sentences that lower it", "down"),
]
MOVES = 0.4  # of a rating: less is left unmarked
SENTENCES = 200  # of a text that are drawn, the last ones
DRAWN = 8  # texts in the picture
BEST = 3.5

_GOOD, _BAD, _PLAIN = "#13713a", "#b3261e", "#888888"


@dataclass
class Moods:
    """The sentences of each text with the rating after them."""

    texts: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    count: int = 0

    @classmethod
    def of(cls, parts: Iterable[pa.Table]) -> "Moods":
        """Reads tables of sentences, in the order in which they were written."""
        moods = cls()
        for part in parts:
            columns = [part.column(n).to_pylist() for n in ("stream", "sentence", "rating")]
            for stream, sentence, rating in zip(*columns, strict=True):
                own = moods.texts.setdefault(stream, [])
                own.append((sentence, rating))
                del own[:-SENTENCES]
                moods.count += 1
        return moods


def kind_of(move: float) -> str:
    """The class of a sentence that moves the rating so much."""
    return "up" if move >= MOVES else "down" if move <= -MOVES else ""


def moves_of(ratings: Iterable[tuple[str, float]]) -> list[tuple[str, float, float]]:
    """(sentence, rating after it, how much it moved it), from (sentence, rating)."""
    before, moves = 0.0, []
    for sentence, rating in ratings:
        moves.append((sentence, rating, rating - before))
        before = rating
    return moves


def section(stream: str, rows: Sequence[Any]) -> Section:
    """What a page shows of a text: the sentences that move its rating, marked."""
    moves = moves_of((row.sentence, row.rating) for row in rows)
    pieces = [
        Piece(f"{sentence} ", kind_of(move), f"{rating:+.1f}") for sentence, rating, move in moves
    ]
    return Section(stream, pieces, f"{moves[-1][1]:+.1f} at the end")


LOOK = Look(
    title="How people like it",
    lead="Rated from -3.5 to 3.5 by a recurrent network while the texts were being written.",
    kinds=KINDS,
    section=section,
    rows="sentences",
)


def draw(path: Path, moods: Moods) -> None:
    """Draws the ratings of the longest texts, sentence by sentence, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    chosen = sorted(moods.texts, key=lambda s: (-len(moods.texts[s]), s))[:DRAWN]
    rows = max(-(-len(chosen) // 2), 1)
    figure, axes = pyplot.subplots(rows, 2, figsize=(15, 0.8 + 3.0 * rows), squeeze=False)
    for axis, stream in zip(axes.flat, chosen, strict=False):
        _draw_text(axis, stream, moves_of(moods.texts[stream])[-9:])
    for axis in list(axes.flat)[len(chosen) :]:
        axis.set_axis_off()
    figure.suptitle(
        "The rating of each text after each of its sentences", fontsize=11, x=0.01, ha="left"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font has not are drawn as boxes
        figure.tight_layout()
        figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _draw_text(axis: Any, stream: str, moves: list[tuple[str, float, float]]) -> None:
    """One text: a point for each sentence, which stands beside it."""
    places = list(range(len(moves)))
    ratings = [rating for _, rating, _ in moves]
    colours = {"up": _GOOD, "down": _BAD, "": _PLAIN}
    axis.axvline(0, color="#cccccc", lw=0.8)
    axis.plot(ratings, places, color=_PLAIN, lw=1.2)
    for place, (sentence, rating, move) in enumerate(moves):
        colour = colours[kind_of(move)]
        axis.plot([rating], [place], "o", color=colour, ms=6)
        short = textwrap.shorten(sentence, 78, placeholder=" …")
        axis.text(BEST + 0.4, place, _plain(short), color=colour, fontsize=8, va="center")
    axis.set(xlim=(-BEST, BEST), ylim=(len(moves) - 0.4, -0.6), yticks=[])
    axis.set_title(_plain(stream), fontsize=9, loc="left")
    axis.tick_params(axis="x", labelsize=7)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


def _plain(text: str) -> str:
    """Text that the drawing takes as it is: a dollar would begin a formula."""
    return text.replace("$", r"\$")
