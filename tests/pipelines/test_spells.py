"""Spells: short changes are not believed, and it is told when one was sure."""

import pytest

from pipelines.spells import Spell, find_spells


def answers(marks: str) -> list[tuple[float, str, float]]:
    """Ten a second; R: running."""
    return [(i / 10, "running" if m == "R" else "other", 0.9) for i, m in enumerate(marks)]


@pytest.mark.parametrize(
    ("marks", "spells"),
    [
        ("", []),
        ("..........", []),
        ("..RRR.....RRRR..", []),  # too short
        ("..RRRRRRRR", [(0.2, 0.9, 0.7, True)]),
        ("..RRRRRRR.......", [(0.2, 0.9, 0.7, False)]),
        ("RRRRRRR..RRR......", [(0.0, 1.2, 0.5, False)]),  # a short pause
        ("RRRRRR......RRRRRR", [(0.0, 0.6, 0.5, False), (1.2, 1.7, 1.7, True)]),
    ],
)
def test_spells(marks: str, spells: list[tuple[float, float, float, bool]]) -> None:
    found = find_spells(answers(marks), sustain=0.45)
    assert [(s.start, s.stop, s.known, s.open) for s in found] == spells


def test_doubtful_running_is_none() -> None:
    doubtful = [(i / 10, "running", 0.6) for i in range(20)]
    assert find_spells(doubtful) == []
    (spell,) = find_spells(doubtful + [(2 + i / 10, "running", 0.95) for i in range(30)])
    assert 1.7 <= spell.start <= 2.0  # when it became clear
    assert spell.known == pytest.approx(spell.start + 0.5, abs=0.11)


def test_the_score_is_that_of_running() -> None:
    (spell,) = find_spells([(i / 10, "running", 0.9 + 0.1 * (i % 2)) for i in range(10)])
    assert spell == Spell(0.0, 0.9, 0.5, pytest.approx(0.95), True)
