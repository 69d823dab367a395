"""Spells of running: from when to when, told as soon as they are sure."""

from collections.abc import Iterable
from typing import NamedTuple

RUNNING = "running"
SUSTAIN = 0.45  # seconds that running or its end must last to be believed
SURE = 0.9  # mean of the answers of these seconds that makes running certain


class Spell(NamedTuple):
    """A time in which somebody ran; times in seconds."""

    start: float
    stop: float  # the last time seen, if he was still running
    known: float  # when it was sure
    score: float  # mean of those of its answers
    open: bool  # whether he was still running


def find_spells(
    answers: Iterable[tuple[float, str, float]], sustain: float = SUSTAIN
) -> list[Spell]:
    """The spells in the answers (seconds, label, score) of one stream, which are in order.

    A spell begins with the first of answers that say running for `sustain` seconds and are SURE of
    it; it ends with the first of answers that say something else for so long.
    """
    spells: list[Spell] = []
    running = False
    turned: list[tuple[float, float]] = []  # the answers since they began to say otherwise
    scores: list[float] = []
    last = start = known = 0.0
    for time, label, score in answers:
        last = time
        runs = score if label == RUNNING else 1 - score
        if (label == RUNNING) == running:
            scores += [*(own for _, own in turned), runs] if running else []
            turned = []
            continue
        turned.append((time, runs))
        if time - turned[0][0] < sustain - 1e-6:
            continue
        while not running and len(turned) > 1 and time - turned[1][0] >= sustain - 1e-6:
            del turned[0]  # what was said longer ago does not count
        if running:
            spells.append(Spell(start, turned[0][0], known, _mean(scores), False))
        elif _mean([own for _, own in turned]) < SURE:
            continue
        else:
            start, known, scores = turned[0][0], time, [own for _, own in turned]
        running, turned = not running, []
    if running:
        spells.append(Spell(start, last, known, _mean(scores), True))
    return spells


def _mean(scores: list[float]) -> float:
    return sum(scores) / len(scores)
