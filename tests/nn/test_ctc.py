"""CTC decoding against the sum over all paths, word lists, n-gram models."""

from __future__ import annotations

import itertools
import math
import pickle
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_rnn.errors import ModelError, OptionError
from beam_rnn.nn.ctc import CTC, Heard
from beam_rnn.nn.ngram import NGram

LABELS = ["", "a", "b", " "]


def log_p(seed: int, T: int, C: int = 4, sharp: float = 1.0) -> np.ndarray:
    """Random frames, normalised."""
    y = np.random.default_rng(seed).normal(size=(T, C)) * sharp
    y -= np.log(np.exp(y).sum(axis=1, keepdims=True))
    return y.astype(np.float32)


def heard(decoder: CTC, frames: np.ndarray) -> Heard:
    so_far = Heard()
    for frame in decoder.frames(frames):
        so_far = decoder.hear(so_far, frame)
    return so_far


def over_all_paths(frames: np.ndarray) -> dict[tuple[int, ...], float]:
    """ln P of each sequence of labels, by its definition."""
    T, C = frames.shape
    p: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(C), repeat=T):
        labels = tuple(k for k, _ in itertools.groupby(path) if k)
        p[labels] += math.exp(sum(float(frames[t, k]) for t, k in enumerate(path)))
    return {labels: math.log(value) for labels, value in p.items()}


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), T=st.integers(1, 5), C=st.integers(2, 4))
def test_a_wide_beam_is_the_sum_over_all_paths(seed: int, T: int, C: int) -> None:
    frames = log_p(seed, T, C)
    expected = over_all_paths(frames)
    found = heard(CTC(LABELS[:C], width=5000, cutoff=1000), frames)
    assert {prefix.labels for prefix in found.prefixes} == set(expected)
    for prefix in found.prefixes:
        assert math.isclose(prefix.score, expected[prefix.labels], abs_tol=1e-5)
        assert len(prefix.at) == len(prefix.labels)
        assert list(prefix.at) == sorted(set(prefix.at))
    scores = [prefix.score for prefix in found.prefixes]
    assert scores == sorted(scores, reverse=True)


@given(seed=st.integers(0, 2**32 - 1), T=st.integers(0, 30))
def test_width_1_is_the_best_path(seed: int, T: int) -> None:
    frames = log_p(seed, T)
    path = frames.argmax(axis=1).tolist()
    found = heard(CTC(LABELS, width=1), frames).prefixes[0]
    assert found.labels == tuple(k for k, _ in itertools.groupby(path) if k)
    assert [path[at] for at in found.at] == list(found.labels)
    assert math.isclose(found.score, float(frames.max(axis=1).astype(float).sum()), abs_tol=1e-4)


@given(path=st.lists(st.integers(0, 3), max_size=30), width=st.integers(2, 9))
def test_sharp_frames_give_the_best_path_at_any_width(path: list[int], width: int) -> None:
    frames = np.log(np.full((len(path), 4), 1e-6, np.float32))
    frames[np.arange(len(path)), path] = 0
    greedy = heard(CTC(LABELS, width=1), frames).prefixes[0]
    best = heard(CTC(LABELS, width=width), frames).prefixes[0]
    assert (best.labels, best.at) == (greedy.labels, greedy.at)


def test_a_beam_finds_what_the_best_path_does_not() -> None:
    """Two paths to "a" together are more probable than the blank alone."""
    frames = np.log(np.array([[0.6, 0.4], [0.6, 0.4]], np.float32))
    assert heard(CTC(["", "a"], width=1), frames).prefixes[0].labels == ()
    assert heard(CTC(["", "a"], width=2), frames).prefixes[0].labels == (1,)


def spoken(text: str, labels: list[str], doubt: dict[int, tuple[str, float]] | None = None) -> Any:
    """Sharp frames of a text, a blank behind each label; ``doubt``: place -> (label, P)."""
    rows = []
    for place, letter in enumerate(text):
        other, q = (doubt or {}).get(place, ("", 0.0))
        p = np.full(len(labels), 1e-4)
        p[labels.index(letter)] += 1 - q
        p[labels.index(other)] += q
        rows += [p, np.eye(len(labels))[0] + 1e-4]
    rows = [row / row.sum() for row in rows]
    return np.log(np.array(rows, np.float32))


LETTERS = ["", *"abcdefghijklmnopqrstuvwxyz", " "]


def test_text_and_the_frames_of_its_words() -> None:
    for width in (1, 8):
        decoder = CTC(LETTERS, width=width)
        text = decoder.text(heard(decoder, spoken(" so  far ", LETTERS)))
        assert (text.text, text.at) == ("so far", (2, 10))
        assert text.score < 0


@pytest.mark.parametrize("width", [1, 4])
def test_labels_that_begin_with_a_space_begin_words(width: int) -> None:
    labels = ["", " one", " two", "ty"]
    path = [0, 1, 1, 0, 1, 2, 0, 3, 2]
    frames = np.full((len(path), 4), -20, np.float32)
    frames[np.arange(len(path)), path] = 0
    text = CTC(labels, width=width).text(heard(CTC(labels, width=width), frames))
    assert text.text == "one one twoty two"
    assert text.at == (1, 4, 5, 8)


def test_words_are_those_of_the_list() -> None:
    decoder = CTC(LETTERS, words=["four", "two", "to", "tool"])
    frames = spoken("tox fouz", LETTERS, {2: ("o", 0.01), 7: ("r", 0.01)})
    found = heard(decoder, frames)
    assert decoder.text(found, final=True).text == "too fou"[:2] + " four"
    assert CTC(LETTERS).text(heard(CTC(LETTERS), frames)).text == "tox fouz"


def test_a_last_word_is_whole_when_nothing_follows() -> None:
    decoder = CTC(LETTERS, words=["to", "tools"])
    found = heard(decoder, spoken("tool", LETTERS, {2: ("", 0.3), 3: ("", 0.3)}))
    assert decoder.text(found).text == "tool"
    assert decoder.text(found, final=True).text == "to"


def test_pieces_of_words_spell_a_list() -> None:
    labels = ["", "t", "o", "to", "ol"]
    decoder = CTC(labels, words=["tool"], width=50, cutoff=100)
    spelled = set()
    for prefix in heard(decoder, log_p(1, 6, 5)).prefixes:
        text = "".join(labels[i] for i in prefix.labels)
        assert "tool".startswith(text)
        spelled |= {prefix.labels} if text == "tool" else set()
    assert spelled == {(1, 2, 4), (3, 4)}


ARPA = r"""
\data\
ngram 1=5
ngram 2=2

\1-grams:
-1.0 <s> -0.5
-0.8 two -0.3
-1.2 too
-0.7 four
-2.0 <unk>

\2-grams:
-0.1 two four
-1.4 <s> too

\end\
"""


def test_an_arpa_model_backs_off() -> None:
    model = NGram.of_arpa(ARPA.splitlines())
    ln = math.log(10)
    for word, before, expected in [
        ("four", ("two",), -0.1),
        ("four", ("too", "two"), -0.1),
        ("too", ("two",), -0.3 - 1.2),
        ("four", ("too",), -0.7),
        ("two", (), -0.8),
        ("too", ("<s>",), -1.4),
        ("two", ("<s>",), -0.5 - 0.8),
        ("six", ("two",), -0.3 - 2.0),
    ]:
        assert math.isclose(model.log_p(word, before), expected * ln), (word, before)
    known = NGram(1, {("a",): (-1.0, 0.0)}, unknown=-7.0)
    assert known.log_p("b", ("a",)) == -7.0


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("ngram 2=2", "ngram 2=3", r"header announces .* found"),
        ("ngram 1=5", "ngram 1=x", "line 3: invalid literal"),
        ("-0.8 two -0.3", "two", r"line 8: expected a probability and 1 words: 'two'"),
        ("-0.8 two -0.3", "one two -0.3", "line 8: could not convert"),
        ("-0.8 two -0.3", "0.8 two -0.3", "line 8: expected logarithms"),
        ("-0.8 two -0.3", "nan two -0.3", "line 8: expected logarithms"),
        (r"\2-grams:", r"\3-grams:", "line 13: an order that the header does not announce"),
        ("ngram 1=5", "ngram 1=99999999999", "line 3: too many n-grams"),
        (r"\data\ ".strip(), "", "header announces {}"),
    ],
)
def test_broken_arpa_files_are_told(old: str, new: str, reason: str) -> None:
    assert old in ARPA
    with pytest.raises(ModelError, match=f"ARPA.*{reason}"):
        NGram.of_arpa(ARPA.replace(old, new).splitlines())


def test_a_word_model_weights_the_beam() -> None:
    """Between "two" and "too" the frames hardly decide; what follows does."""
    model = NGram.of_arpa(ARPA.splitlines())
    frames = spoken("two four", LETTERS, {1: ("o", 0.6)})
    plain, weighted = CTC(LETTERS), CTC(LETTERS, lm=model, weight=1.0, bonus=0.0)
    assert plain.text(heard(plain, frames), final=True).text == "too four"
    found = heard(weighted, frames)
    text = weighted.text(found, final=True)
    assert text.text == "two four"
    # ln P(frames' paths) + ln P(two | <s>) + ln P(four | two)
    prefix = next(p for p in found.prefixes if p.labels == tuple(map(LETTERS.index, "two four")))
    expected = prefix.score - prefix.weight + math.log(10) * (-0.5 - 0.8 - 0.1)
    assert math.isclose(text.score, expected)


def test_a_character_model_weights_the_beam() -> None:
    model = NGram(2, {("a",): (-3.0, 0.0), ("b",): (-3.0, 0.0), ("a", "b"): (-0.01, 0.0)})
    frames = spoken("aa", ["", "a", "b"], {1: ("b", 0.4)})
    decoder = CTC(["", "a", "b"], lm=model, unit="label", weight=1.0, bonus=0.0)
    assert decoder.text(heard(decoder, frames)).text == "ab"
    best = heard(decoder, frames).prefixes[0]
    assert math.isclose(best.weight, -3.0 - 0.01)


def test_the_last_frames_without_a_label_are_counted() -> None:
    decoder = CTC(LETTERS)
    so_far = Heard()
    silent = []
    for frame in decoder.frames(spoken("a b", LETTERS)):
        so_far = decoder.hear(so_far, frame)
        silent.append(so_far.silent)
    assert silent == [0, 1, 2, 3, 0, 1]  # a space is no speech either


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"labels": ["a", "b"]}, 'no label is ""'),
        ({"blank": 4}, "blank is 4, expected a class below 4"),
        ({"width": 0}, "width is 0"),
        ({"unit": "letter"}, "unit is 'letter'"),
        ({"cutoff": 0}, "cutoff is 0"),
        ({"width": 1, "words": ["a"]}, "words and lm need a beam"),
        ({"words": ["ab", "abc"]}, "'abc' cannot be spelled"),
        ({"words": [""]}, "'' cannot be spelled"),
    ],
)
def test_options_are_checked(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        CTC(**{"labels": LABELS, **options})


def test_a_decoder_pickles() -> None:
    decoder = CTC(LETTERS, words=["two"], lm=NGram.of_arpa(ARPA.splitlines()))
    frames = spoken("two", LETTERS)
    again = pickle.loads(pickle.dumps(decoder))
    assert again.text(heard(again, frames)) == decoder.text(heard(decoder, frames))
