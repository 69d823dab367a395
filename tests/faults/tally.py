"""The count of fault runs and of what they did to the answers."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tests.faults.scenario import Answer, Scenario


@dataclass
class Tally:
    """Sums over runs.

    Attributes:
        runs: how many jobs were run, and `faults` how many faults they met.
        answers: how many (stream, step) were to be answered.
        wrong: answers that differ from those of an undisturbed run.
        lost: answers that are missing.
        duplicates: right answers that a sink has more than once.
    """

    runs: int = 0
    faults: int = 0
    answers: int = 0
    wrong: int = 0
    lost: int = 0
    duplicates: int = 0

    @property
    def right(self) -> bool:
        """Whether nothing is wrong or lost."""
        return not self.wrong and not self.lost

    def add(self, other: "Tally") -> None:
        """Adds other runs."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def compared(scenario: Scenario, found: Iterable[Answer], faults: int) -> Tally:
    """One run: what its sink has against what it was to answer, to the bit."""
    counted = Counter(found)
    right = counted.keys() & scenario.answers
    return Tally(
        runs=1,
        faults=faults,
        answers=len(scenario.answers),
        wrong=sum(count for answer, count in counted.items() if answer not in right),
        lost=len(scenario.answers - right),
        duplicates=sum(counted[answer] - 1 for answer in right),
    )
