"""Entities of a label sequence, and their precision, recall and F1 as `conlleval` counts them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Span = tuple[int, int, str]
"""First word, word after the last, type."""


class Figures(NamedTuple):
    """Precision, recall and F1 in per cent, and how many entities the text and the tagger have."""

    precision: float
    recall: float
    f1: float
    gold: int
    found: int


def find_spans(labels: Sequence[str]) -> list[Span]:
    """The entities that `labels` mark.

    As `conlleval` reads them: an entity starts at B-, and also at an I- that does not continue an
    entity of its own type; it ends before the next O, B- or other type. E- and S- (IOBES) end one.
    """
    spans: list[Span] = []
    start, kind, open_ = 0, "", False
    for i, label in enumerate([*labels, "O"]):
        mark, _, name = label.partition("-")
        continues = open_ and mark in ("I", "E") and name == kind
        if open_ and not continues:
            spans.append((start, i, kind))
        if mark == "O":
            open_ = False
            continue
        if not continues:
            start, kind = i, name
        open_ = mark not in ("E", "S")
        if not open_:
            spans.append((start, i + 1, kind))
    return spans


def score(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> dict[str, Figures]:
    """Figures of each type, and of "all", over pairs of (gold labels, found labels).

    An entity is right if its first word, its last word and its type are.
    """
    gold, found, right = Counter[str](), Counter[str](), Counter[str]()
    for gold_labels, found_labels in pairs:
        if len(gold_labels) != len(found_labels):
            raise ValueError(f"{len(gold_labels)} gold labels, {len(found_labels)} found")
        gold_spans, found_spans = set(find_spans(gold_labels)), set(find_spans(found_labels))
        gold.update(kind for _, _, kind in gold_spans)
        found.update(kind for _, _, kind in found_spans)
        right.update(kind for _, _, kind in gold_spans & found_spans)
    kinds = sorted(gold | found)
    table = {kind: _figures(gold[kind], found[kind], right[kind]) for kind in kinds}
    table["all"] = _figures(gold.total(), found.total(), right.total())
    return table


def _figures(gold: int, found: int, right: int) -> Figures:
    precision = 100 * right / found if found else 0.0
    recall = 100 * right / gold if gold else 0.0
    f1 = 200 * right / (gold + found) if gold + found else 0.0
    return Figures(precision, recall, f1, gold, found)


def table_lines(table: dict[str, Figures]) -> list[str]:
    """The figures as the lines of a Markdown table."""
    lines = ["| type | precision | recall | F1 | entities |", "|---|---|---|---|---|"]
    for kind, f in table.items():
        lines.append(f"| {kind} | {f.precision:.2f} | {f.recall:.2f} | {f.f1:.2f} | {f.gold} |")
    return lines
