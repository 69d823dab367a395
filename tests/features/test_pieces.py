"""Pieces: the longest first, any cut of the text, letters and signs that are not there."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_rnn.errors import InputError, OptionError
from beam_rnn.features import Pieces

WORDS = ["<s>", "</s>", "▁", "▁the", "▁th", "e", "n", "▁LORD", ",", "’", *"thsLORD"]


def texts(pieces: Pieces, text: str) -> list[str]:
    return [piece for piece, _ in pieces.whole(text)]


def test_the_longest_piece_goes_first() -> None:
    pieces = Pieces(WORDS)
    assert pieces.whole("then the LORD, ") == [
        ("▁the", 3), ("n", 6), ("▁the", 3), ("▁LORD", 7), (",", 8),
    ]  # fmt: skip
    assert texts(pieces, "  ") == []
    assert texts(pieces, "sent") == ["▁", "s", "e", "n", "t"]


def test_without_marks_a_text_is_one_word() -> None:
    pieces = Pieces(["", "<unk>", "</s>", *"abc"])
    assert texts(pieces, "ab Ca") == ["a", "b", "c", "a"]


def test_signs_that_are_no_pieces() -> None:
    pieces = Pieces(WORDS)
    assert texts(pieces, "thé") == ["▁the"]
    assert texts(pieces, "Then's 7 😀") == ["▁the", "n", "’", "s"]
    with pytest.raises(InputError, match="the letter 'п' is not one"):
        pieces.whole("the пе")
    assert pieces.unknown("the пепT 7") == "пе"
    with pytest.raises(InputError, match=r"expected a piece of text \(str\), got int"):
        pieces.feed(7)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the letter 's' is not one"):
        Pieces(["<s>", "▁"]).whole("<s>")
    with pytest.raises(OptionError, match="needs ▁ itself"):
        Pieces(["▁the"])


@given(st.lists(st.text("then LORD,\n ", max_size=20), max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_cut_gives_the_same_pieces(parts: list[str]) -> None:
    pieces = pickle.loads(pickle.dumps(Pieces(WORDS)))
    memory, said = b"", []
    for part in parts:
        pairs, memory = pieces.feed(part, memory)
        said += pairs
    assert said + pieces.finish(memory) == pieces.whole("".join(parts))


def test_what_is_remembered_is_bounded() -> None:
    pieces = Pieces(WORDS)
    pairs, memory = pieces.feed("the" * 1000)
    assert len(memory) < 256
    assert sum(len(piece.strip("▁")) for piece, _ in pairs + pieces.finish(memory)) == 3000
