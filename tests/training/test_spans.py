"""Entities and their F1, on cases whose `conlleval` figures are known."""

import pytest

from training.spans import Figures, find_spans, score


@pytest.mark.parametrize(
    ("labels", "spans"),
    [
        ("", []),
        ("O O", []),
        ("B-PER I-PER O", [(0, 2, "PER")]),
        ("B-PER B-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("O B-LOC", [(1, 2, "LOC")]),
        # lenient, as conlleval: an I- that continues nothing begins an entity
        ("I-PER I-PER O I-LOC", [(0, 2, "PER"), (3, 4, "LOC")]),
        ("B-PER I-LOC I-LOC", [(0, 1, "PER"), (1, 3, "LOC")]),
        ("I-PER B-PER I-PER", [(0, 1, "PER"), (1, 3, "PER")]),
        # IOBES
        ("B-ORG I-ORG E-ORG S-ORG O S-PER", [(0, 3, "ORG"), (3, 4, "ORG"), (5, 6, "PER")]),
        ("E-ORG I-ORG", [(0, 1, "ORG"), (1, 2, "ORG")]),
    ],
)
def test_spans(labels: str, spans: list[tuple[int, int, str]]) -> None:
    assert find_spans(labels.split()) == spans


def test_only_exact_spans_of_the_right_type_count() -> None:
    gold = ["B-PER", "I-PER", "O", "B-LOC", "O", "B-ORG", "I-ORG", "O", "B-LOC"]
    found = ["B-PER", "I-PER", "O", "B-ORG", "O", "B-ORG", "O", "O", "B-LOC"]
    # right: PER and the last LOC; the other LOC has the wrong type, ORG the wrong end
    table = score([(gold, found)])
    assert table["PER"] == Figures(100.0, 100.0, 100.0, 1, 1)
    assert list(table["LOC"]) == pytest.approx([100.0, 50.0, 200 / 3, 2, 1])
    assert table["ORG"] == Figures(0.0, 0.0, 0.0, 1, 2)
    assert table["all"] == Figures(50.0, 50.0, 50.0, 4, 4)


def test_spans_do_not_cross_texts() -> None:
    table = score([(["B-PER"], ["B-PER"]), (["I-PER"], ["I-PER"])])
    assert table["all"] == Figures(100.0, 100.0, 100.0, 2, 2)


def test_nothing_found() -> None:
    assert score([(["B-PER"], ["O"])])["all"] == Figures(0.0, 0.0, 0.0, 1, 0)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="1 gold labels, 2 found"):
        score([(["O"], ["O", "O"])])
