"""Rounds that alternate between ways, and the rows and curves that come of them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass
class Row:
    """One line of the table: a figure of ours against a peer's, or against a limit.

    Attributes:
      figure: the part of the benchmark it belongs to.
      what: what was measured, and under which setting.
      unit: of ``ours`` and ``theirs``, which are medians over the rounds.
      peer: who the peer is; "" where there is none.
      ratio: the median of the rounds' ratios (> 1: we are better), low and high their range.
      target: what the ratio (or ``ours``, where there is no peer) should reach.
      note: what else is to be said, for instance that the peer is absent.
    """

    figure: str
    what: str
    unit: str
    ours: float | None = None
    peer: str = ""
    theirs: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    target: float | None = None
    note: str = ""


@dataclass
class Curve:
    """One line of a plot."""

    plot: str
    line: str
    x_name: str
    y_name: str
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)

    def add(self, x: float, y: float) -> None:
        self.x.append(x)
        self.y.append(y)


@dataclass
class Results:
    """What a part of the benchmark found."""

    rows: list[Row] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": [asdict(row) for row in self.rows],
            "curves": list(map(asdict, self.curves)),
        }

    @staticmethod
    def of_json(found: Mapping[str, Any]) -> "Results":
        return Results(
            [Row(**row) for row in found["rows"]], [Curve(**curve) for curve in found["curves"]]
        )


def alternate(
    ways: Mapping[str, Callable[[], float]], rounds: int, *, warm: bool = True
) -> dict[str, list[float]]:
    """Calls each way once per round, in turns, and keeps what they return.

    Every other round goes backwards, so that no way always comes behind the same other one.
    With ``warm`` a first round is not counted.
    """
    found: dict[str, list[float]] = {way: [] for way in ways}
    if warm:
        for way in ways.values():
            way()
    for turn in range(rounds):
        for way in list(ways)[:: 1 if turn % 2 == 0 else -1]:
            found[way].append(ways[way]())
    return found


def against(
    row: Row, ours: list[float], theirs: list[float], *, more_is_better: bool = True
) -> Row:
    """Fills in a row from the rounds of both."""
    pairs = zip(ours, theirs, strict=True)
    ratios = [a / b if more_is_better else b / a for a, b in pairs]
    row.ours, row.theirs = median(ours), median(theirs)
    row.ratio, row.low, row.high = median(ratios), min(ratios), max(ratios)
    return row
