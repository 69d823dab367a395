"""A figure over time, drawn as the outline of steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Chart", "Span"]

WIDTH, HEIGHT = 1000, 100  # of the drawing's own units, stretched to the place that it has


class Span(NamedTuple):
    """A value that held from one time to another, in seconds."""

    begin: float
    end: float
    value: float


@dataclass(frozen=True)
class Chart:
    """A figure over time.

    Attributes:
      title: what is drawn, with its unit.
      spans: the values in order, each from where the one before it ends.
      note: a few words that say the whole, such as the mean.
      kind: the colour, by its number; see ``MOST_KINDS``.
    """

    title: str
    spans: Sequence[Span]
    note: str = ""
    kind: int = 0

    @property
    def top(self) -> float:
        """The upper end of the scale: 1, 2 or 5 times a power of ten, not below any value."""
        highest = max((span.value for span in self.spans), default=0.0)
        step = 1.0
        while step < highest:
            step *= 10
        while step / 10 >= highest > 0:
            step /= 10
        return next((step * part for part in (0.1, 0.2, 0.5) if step * part >= highest > 0), step)

    @property
    def seconds(self) -> float:
        """The right end of the scale."""
        return self.spans[-1].end if self.spans else 0.0

    @property
    def outline(self) -> str:
        """The path of the values, as SVG writes it, without the ground that closes it."""
        wide, top = max(self.seconds, 1e-9), self.top
        steps = []
        for begin, end, value in self.spans:
            y = HEIGHT * (1 - value / top)
            steps.append(f"{WIDTH * begin / wide:.1f},{y:.1f} {WIDTH * end / wide:.1f},{y:.1f}")
        return "M" + " L".join(steps) if steps else ""

    @property
    def ground(self) -> str:
        """The rest of the path, which closes it along the zero line."""
        if not self.spans:
            return ""
        begin = WIDTH * self.spans[0].begin / max(self.seconds, 1e-9)
        return f"L{WIDTH},{HEIGHT} {begin:.1f},{HEIGHT}Z"
