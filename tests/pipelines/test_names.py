"""Names: which words make one, and what the page says of them."""

import pyarrow as pa
import pytest

from beam_rnn.report import Piece
from pipelines import names, sinks
from pipelines.names import Tagged, begins, kind_of, names_in
from pipelines.pages import Shown, page_of


def words(text: str) -> list[Tagged]:
    """``Anne/B-PER Elliot/I-PER`` as tagged words, their scores falling from 1."""
    pairs = [word.rsplit("/", 1) for word in text.split()]
    return [
        Tagged(token, " " if i else "", label, 1 - i / 10) for i, (token, label) in enumerate(pairs)
    ]


@pytest.mark.parametrize(
    ("tagged", "pieces"),
    [
        ("", []),
        ("a/O b/O", [Piece("a b")]),
        ("Anne/B-PER", [Piece("Anne", "PER", "1.00")]),
        (
            "Anne/B-PER Elliot/I-PER of/O Bath/B-LOC",
            [
                Piece("Anne Elliot", "PER", "0.90"),
                Piece(" of"),
                Piece(" "),
                Piece("Bath", "LOC", "0.70"),
            ],
        ),
        (
            "Anne/B-PER Mary/B-PER",  # two names side by side
            [Piece("Anne", "PER", "1.00"), Piece(" "), Piece("Mary", "PER", "0.90")],
        ),
        (
            "Anne/I-PER Bath/I-LOC",  # IOB1, or a tagger that skips a B
            [Piece("Anne", "PER", "1.00"), Piece(" "), Piece("Bath", "LOC", "0.90")],
        ),
        (
            "Bath/LOC Street/LOC Anne/PER",  # classes alone
            [Piece("Bath Street", "LOC", "0.90"), Piece(" "), Piece("Anne", "PER", "0.80")],
        ),
        (
            "Anne/S-PER Mary/B-PER Elliot/E-PER Bath/I-PER",  # IOBES
            [
                Piece("Anne", "PER", "1.00"),
                Piece(" "),
                Piece("Mary Elliot", "PER", "0.80"),
                Piece(" "),
                Piece("Bath", "PER", "0.70"),
            ],
        ),
    ],
)
def test_names_in_tags(tagged: str, pieces: list[Piece]) -> None:
    found = list(names_in(words(tagged)))
    assert found == pieces
    assert "".join(p.text for p in found) == "".join(w.before + w.token for w in words(tagged))
    labels = [word.label for word in words(tagged)]
    assert sum(map(begins, labels, ["O", *labels])) == sum(bool(piece.kind) for piece in found)


def test_classes() -> None:
    assert [kind_of(label) for label in ("O", "B-PER", "I-MISC", "LOC")] == [
        "",
        "PER",
        "MISC",
        "LOC",
    ]


def part(rows: list[tuple[str, str, str]]) -> pa.Table:
    fields = [
        {"stream": s, "time": 0, "step": i, "token": t, "before": " ", "label": k, "score": 0.5}
        for i, (s, t, k) in enumerate(rows, 1)
    ]
    return pa.Table.from_pylist(fields, schema=sinks.SCHEMA)


def shown_of(*parts: pa.Table, **limits: int) -> Shown:
    shown = Shown(**limits)
    shown.read(parts, sinks.Word)
    return shown


def test_the_page_counts_streams_words_and_names() -> None:
    shown = shown_of(
        part([("b", "Anne", "B-PER"), ("a", "Anne", "B-PER"), ("b", "Elliot", "I-PER")]),
        part([("b", "in", "O"), ("b", "Bath", "B-LOC"), ("a", "Anne", "B-PER")]),
    )
    page = page_of(names.LOOK, shown)
    figures = {what: number for number, what in page.figures}
    assert figures["streams"] == "2"
    assert figures["words"] == "6"
    assert (figures["people"], figures["places"]) == ("3", "1")
    facts = [(section.title, section.facts) for section in page.sections]
    assert facts == [("a", "2 words, 2 names"), ("b", "4 words, 2 names")]
    assert dict(page.frequent)["PER"] == [("Anne", 2), ("Anne Elliot", 1)]


def test_a_long_stream_shows_its_last_words() -> None:
    rows = [("a", f"w{i}", "O") for i in range(100)]
    for parts in ([part(rows)], [part(rows[:60]), part(rows[60:])]):
        shown = shown_of(*parts, most_rows=10)
        assert shown.count == 100
        assert [word.token for word in shown.rows["a"]] == [f"w{i}" for i in range(90, 100)]
        assert "the Parquet files have all" in page_of(names.LOOK, shown).lead


def test_many_streams() -> None:
    page = page_of(names.LOOK, shown_of(part([(s, "x", "O") for s in "abc"]), most_streams=2))
    assert [section.title for section in page.sections] == ["a", "b"]
    assert "2 of 3 streams" in page.lead
