"""Names: which words make one, and what the page says of them."""

from pathlib import Path

import pyarrow as pa
import pytest

from beam_rnn.report import Piece
from pipelines import names, sinks
from pipelines.names import Tagged, begins, kind_of, names_in


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


def test_the_page_counts_streams_words_and_names(tmp_path: Path) -> None:
    parts = [
        part([("b", "Anne", "B-PER"), ("a", "Anne", "B-PER"), ("b", "Elliot", "I-PER")]),
        part([("b", "in", "O"), ("b", "Bath", "B-LOC"), ("a", "Anne", "B-PER")]),
    ]
    names.write_page(tmp_path / "p.html", names.Texts.of(parts), [("3", "inputs failed")])
    html = (tmp_path / "p.html").read_text()
    for number, what in [(2, "streams"), (6, "words"), (3, "people"), (1, "places")]:
        assert f"<dd>{number}</dd><dt>{what}</dt>" in html
    assert "<dd>3</dd><dt>inputs failed</dt>" in html
    assert html.index("<h2>a<span>2 words, 2 names") < html.index("<h2>b<span>4 words, 2 names")
    assert [path.name for path in tmp_path.iterdir()] == ["p.html"]


def test_a_long_stream_shows_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "WORDS_OF_A_STREAM", 10)
    texts = names.Texts.of([part([("a", f"w{i}", "O") for i in range(100)])])
    assert texts.words == 100
    assert 10 <= len(texts.shown["a"]) <= 20
    assert texts.shown["a"][-1].token == "w99"
    assert "the Parquet files have all" in texts.page([])


def test_many_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "STREAMS_ON_PAGE", 2)
    html = names.Texts.of([part([(s, "x", "O") for s in "abc"])]).page([])
    assert html.count("<article>") == 2
    assert "2 of 3 streams" in html
