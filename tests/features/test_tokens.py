"""The tokenizer: cuts as CoNLL does, gives the text back, and does not see how events are cut."""

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_rnn.errors import InputError, StateError
from beam_rnn.features import Feature, Token, Tokenizer
from beam_rnn.features.tokens import LONGEST

PROSE = st.text(
    st.sampled_from(list("abcDE129 .,'’-—&$@:/_\n\t\"(é́\u2028\u3000😀")), max_size=400
) | st.text(st.characters(exclude_categories=["Cs"]))


def cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in itertools.pairwise(edges)]


def tokens_of(values: list[str]) -> list[Token]:
    tokenizer, memory, tokens = Tokenizer(), b"", []
    for value in values:
        made, memory = tokenizer.feed(value, memory)
        assert len(memory.decode()) < 2 * LONGEST
        tokens += [token for token, _ in made]
    return tokens + [token for token, _ in tokenizer.finish(memory)]


def words_of(text: str) -> str:
    return " ".join(token.text for token in tokens_of([text]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mr. Darcy, of Derbyshire, bowed.", "Mr. Darcy , of Derbyshire , bowed ."),
        ("in the U.S. on 1996-08-22 for", "in the U.S. on 1996-08-22 for"),
        ("paid $1,000.50 (about 7%) at 10:30.", "paid $ 1,000.50 ( about 7 % ) at 10:30 ."),
        ("O'Brien's dogs' bones", "O'Brien 's dogs ' bones"),
        ("I can't; they DIDN'T, we’ve", "I ca n't ; they DID N'T , we ’ve"),
        ("well-known, U.S.-based AT&T", "well-known , U.S.-based AT&T"),
        ("J. Smith and J.Smith: it was I.", "J. Smith and J. Smith : it was I ."),
        ('"Emma!"--she said...', '" Emma ! " -- she said ...'),
        ("_Pride_ and/or him—said", "_ Pride _ and / or him — said"),
        ("born in '96, -1.5 or .5", "born in '96 , -1.5 or .5"),
        ("see http://a.org/b_c?d=1, or joe@x.com.", "see http://a.org/b_c?d=1 , or joe@x.com ."),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_cuts_as_conll(text: str, words: str) -> None:
    assert words_of(text) == words


@given(PROSE)
def test_gives_the_text_back(text: str) -> None:
    tokens = tokens_of([text])
    joined = "".join(token.before + token.text for token in tokens)
    space = rf"\s{{{LONGEST},}}"
    expected = re.sub(space, lambda run: run[0][:LONGEST], text).rstrip()
    assert joined == expected
    assert all(token.text and not re.search(r"\s", token.text) for token in tokens)
    assert all(not token.before.strip() for token in tokens)


@given(PROSE, st.lists(st.integers(0, 1000), max_size=12))
def test_any_cut_gives_the_same_tokens(text: str, places: list[int]) -> None:
    assert tokens_of(cut(text, places)) == tokens_of([text])


@given(st.text(" \nab.'", max_size=9), st.integers(0, 40), st.lists(st.integers(0, 9999)))
def test_any_cut_of_long_runs(piece: str, times: int, places: list[int]) -> None:
    text = (piece + "x" * 99 + "\t" * 130) * times
    assert tokens_of(cut(text, places)) == tokens_of([text])


def test_a_run_that_never_ends_is_cut() -> None:
    tokenizer, memory, tokens = Tokenizer(), b"", []
    for _ in range(1000):
        made, memory = tokenizer.feed("x" * 100, memory)
        tokens += [token.text for token, _ in made]
        assert len(memory) < LONGEST
    assert set(tokens) == {"x" * LONGEST}


def test_white_space_that_never_ends_is_dropped() -> None:
    _, memory = Tokenizer().feed(" " * 10_000, b"")
    assert memory == b" " * LONGEST


@pytest.mark.parametrize(
    "piece", [" ", "a", "a-", ".", "a.", "1,", "@", "a@", "n't", "'", "e\u0301"]
)
def test_time_grows_with_the_text_alone(piece: str) -> None:
    start = time.process_time()
    tokens_of([piece * (200_000 // len(piece))])
    assert time.process_time() - start < 10  # seconds; a quadratic search would take minutes


def test_a_word_waits_for_its_end() -> None:
    tokenizer = Tokenizer()
    made, memory = tokenizer.feed("a ne", b"")
    assert made == [(Token("a", ""), "a")]
    made, memory = tokenizer.feed("w word", memory)
    assert made == [(Token("new", " "), "new")]
    assert tokenizer.finish(memory) == [(Token("word", " "), "word")]


def test_is_a_feature() -> None:
    assert isinstance(Tokenizer(), Feature)


@pytest.mark.parametrize("value", [b"bytes", None, 3, ["a"], "half \ud83d"])
def test_wrong_values_are_refused(value: object) -> None:
    with pytest.raises(InputError, match="expected"):
        Tokenizer().feed(value, b"")  # type: ignore[arg-type]


def test_foreign_memory_is_refused() -> None:
    with pytest.raises(StateError, match="UTF-8"):
        Tokenizer().feed("a", b"\xff\xfe")
