"""Word rows: ids, shapes, affixes and letters, the same however the text is cut."""

import itertools
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_rnn.errors import InputError, OptionError
from beam_rnn.features import Feature, TokenIds, Words
from beam_rnn.features.text import BUCKETS, LETTERS, SHAPES, UNKNOWN

VOCABULARY = ["", UNKNOWN, "the", "The", "london", "0000-00-00", "'s", "--", '"']
WORDS = Words(VOCABULARY)


def shape(word: str) -> str:
    return SHAPES[WORDS.row(word)[1]]


@given(st.text("aL 9.'-é", max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_any_cut_gives_the_same_rows(text: str, places: list[int]) -> None:
    edges = sorted({0, len(text), *(min(place, len(text)) for place in places)})
    memory, pairs = b"", []
    for a, b in itertools.pairwise(edges):
        made, memory = WORDS.feed(text[a:b], memory)
        pairs += made
    pairs += WORDS.finish(memory)
    whole, memory = Words(VOCABULARY).feed(text)
    whole += WORDS.finish(memory)
    assert [token for token, _ in pairs] == [token for token, _ in whole]
    assert "".join(token.before + token.text for token, _ in pairs) == text.rstrip()
    for (token, row), (_, other) in zip(pairs, whole, strict=True):
        np.testing.assert_array_equal(row, other)
        np.testing.assert_array_equal(row, WORDS.rows([token.text])[0])


@given(st.text(min_size=1))
def test_rows_fit_their_columns(word: str) -> None:
    row = WORDS.row(word)
    assert row.shape == (WORDS.width,)
    assert row.dtype == np.int64
    sizes = [size for n, size in WORDS.columns for _ in range(n)]
    assert len(sizes) == WORDS.width
    assert (row >= 0).all()
    assert (row < sizes).all()
    assert (row[:4] > 0).all()
    assert (row[4 : 4 + min(len(word), LETTERS)] > 0).all()


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("The", "The"),
        ("the", "the"),
        ("THE", "the"),
        ("London", "london"),
        ("1996-08-22", "0000-00-00"),
        ("’s", "'s"),
        ("—", "--"),
        ("“", '"'),
        ("Paris", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_word_ids_fall_back(word: str, found: str) -> None:
    assert VOCABULARY[WORDS.row(word)[0]] == found


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("word", "lower"),
        ("Word", "Capital"),
        ("WORD", "CAPITALS"),
        ("A", "letter"),
        ("a", "lower"),
        ("McDonald", "CamelCase"),
        ("iPhone", "camelCase"),
        ("12", "number"),
        ("7", "number"),
        ("1,000", "number-with-marks"),
        ("2nd", "number-and-letters"),
        ("U.S.", "U.S."),
        ("J.", "U.S."),
        ("Mr.", "Mr."),
        ("well-known", "lower-hyphen"),
        ("Anglo-French", "Capital-hyphen"),
        ("AFP-REUTER", "CAPITALS-HYPHEN"),
        ("'s", "'s"),
        ("n’t", "'s"),
        ("東京", "uncased"),
        (".", "stop"),
        ("...", "stop"),
        (",", "pause"),
        ("(", "opening"),
        ("“", "quote"),
        ("—", "dash"),
        ("--", "dash"),
        ("$", "other"),
        ("😀", "other"),
    ],
)
def test_shapes(word: str, name: str) -> None:
    assert shape(word) == name


def test_long_words_lose_their_middle() -> None:
    long, short = "x" * 8 + "abc" + "y" * 8, "x" * 8 + "y" * 8
    np.testing.assert_array_equal(WORDS.row(long)[4:], WORDS.row(short)[4:])


def test_accents_fall_back_to_their_letter() -> None:
    np.testing.assert_array_equal(WORDS.row("Zürich")[4:], WORDS.row("Zurich")[4:])


def test_hashes_are_the_same_in_every_process() -> None:
    code = (
        "from beam_rnn.features import Words;"
        f"print(Words({VOCABULARY!r}).row('Netherfield').tolist())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(WORDS.row("Netherfield").tolist())
    assert WORDS.row("Netherfield")[2:4].max() < BUCKETS


def test_rows_of_words() -> None:
    rows = WORDS.rows(["The", "end"])
    assert rows.shape == (2, WORDS.width)
    assert rows.dtype == np.int64
    assert WORDS.rows([]).shape == (0, WORDS.width)


def test_rows_are_shared_and_read_only() -> None:
    assert WORDS.row("The") is WORDS.row("The")
    assert not WORDS.row("The").flags.writeable


def test_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(WORDS))
    np.testing.assert_array_equal(again.row("London"), WORDS.row("London"))
    assert again.vocabulary == WORDS.vocabulary


def test_is_a_feature() -> None:
    assert isinstance(WORDS, Feature)


@pytest.mark.parametrize("value", [b"bytes", None, 3, ["a"]])
def test_wrong_values_are_refused(value: object) -> None:
    with pytest.raises(InputError, match="str"):
        WORDS.feed(value, b"")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="str"):
        WORDS.row(value)  # type: ignore[arg-type]


def test_one_string_is_not_a_list_of_words() -> None:
    with pytest.raises(InputError, match="list of words"):
        WORDS.rows("The end")


@pytest.mark.parametrize("wrong", [[], ["the"], ["", UNKNOWN, "the", "the"]])
def test_wrong_vocabularies_are_refused(wrong: list[str]) -> None:
    with pytest.raises(OptionError, match="vocabulary"):
        Words(wrong)


def test_rows_stay_what_trained_weights_expect() -> None:
    """A change of shapes, hashes or letters would spoil every tagger that was trained before."""
    row = Words(["", UNKNOWN, "the"]).row("Netherfield-Hall")
    assert row.tolist() == [
        1,
        13,
        3902,
        743,
        50,
        73,
        88,
        76,
        73,
        86,
        74,
        77,
        73,
        80,
        72,
        17,
        44,
        69,
        80,
        80,
    ]


def test_token_ids_are_places_in_the_vocabulary() -> None:
    ids = TokenIds(["a", "b", "ch"])
    assert ids.feed("ba", b"") == ([("b", 1), ("a", 0)], b"")
    assert ids.feed(["ch", "a"], b"") == ([("ch", 2), ("a", 0)], b"")
    with pytest.raises(InputError, match="no token 'c'"):
        ids.feed("abc", b"")
    with pytest.raises(InputError, match="no token 3"):
        ids.feed([3], b"")  # type: ignore[list-item]
    with pytest.raises(OptionError, match="the token 'a' twice"):
        TokenIds("aba")
