"""The tagger in JAX and its export give the same numbers, and the steps answer the right words."""

import numpy as np
import pytest

from beam_rnn.features import Words
from beam_rnn.features.text import UNKNOWN

jax = pytest.importorskip("jax", reason="the training extra is not installed")

from training.streams import NO_ANSWER, cut_pieces, lay_out, read_text  # noqa: E402
from training.tagger import forward, init_params, initial_state, to_network  # noqa: E402

WORDS = Words(["", UNKNOWN, "the", "man", "of", "paris"])
LABELS = ["O", "B-PER", "B-LOC"]
DOCUMENTS = [
    [(["The", "man"], ["O", "B-PER"]), (["of", "Paris"], ["O", "B-LOC"])],
    [(["Paris", "saw", "Anna", "Karenina"], ["B-LOC", "O", "B-PER", "O"])],
]


def random_params(seed: int) -> dict:
    draw = np.random.default_rng(seed)
    vectors = draw.normal(0, 1, (len(WORDS.vocabulary), 7)).astype(np.float32)
    sizes = {"shape": 3, "affix": 4, "letter": 5, "filters": 9, "hidden": 11, "cells": 2}
    params = init_params(WORDS, vectors, len(LABELS), sizes, seed)
    # every weight away from its start, so that nothing is zero by chance
    return jax.tree.map(lambda a: a + draw.normal(0, 0.3, a.shape).astype(np.float32), params)


@pytest.mark.parametrize("seed", [0, 1])
def test_export_equals_jax(seed: int) -> None:
    params = random_params(seed)
    text = [
        "The",
        "man",
        "Ofelia's",
        "PARIS--saw",
        "Anna-Karenina",
        "the",
        "1996-08-22",
        "internationalization",
    ]
    rows = np.stack([WORDS.rows(text), WORDS.rows(text[::-1])])  # (B, T, 20)
    network = to_network(params, WORDS, LABELS, 2, {})
    y, _ = network.unroll(rows)
    steps = np.swapaxes(rows, 0, 1)
    fresh = np.zeros(steps.shape[:2], bool)
    logits, _ = forward(params, steps, fresh, initial_state(params, 2))
    expected = np.swapaxes(np.asarray(jax.nn.softmax(logits)), 0, 1)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_fresh_forgets_the_state() -> None:
    params = random_params(2)
    steps = np.swapaxes(WORDS.rows(["Paris", "saw", "Paris", "saw"])[None], 0, 1)
    fresh = np.array([[False], [False], [True], [False]])
    logits, _ = forward(params, steps, fresh, initial_state(params, 1))
    np.testing.assert_allclose(logits[:2], logits[2:], atol=1e-6)


@pytest.mark.slow
def test_dropout_is_for_training_only() -> None:
    params = random_params(3)
    steps = np.swapaxes(WORDS.rows(["Paris", "saw", "the"])[None], 0, 1)
    fresh, state = np.zeros((3, 1), bool), initial_state(params, 1)
    drop = {"word": 0.5, "letter": 0.5, "input": 0.5, "hidden": 0.5}
    plain, _ = forward(params, steps, fresh, state, None, drop)
    again, _ = forward(params, steps, fresh, state)
    other, _ = forward(params, steps, fresh, state, jax.random.key(0), drop)
    np.testing.assert_array_equal(plain, again)
    assert not np.allclose(plain, other)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_each_word_is_answered_once(batch: int) -> None:
    text = read_text(DOCUMENTS, WORDS, LABELS)
    steps = lay_out(text, cut_pieces(text), batch, 2)
    answered = steps.words >= 0
    assert sorted(steps.words[answered]) == list(range(8))
    np.testing.assert_array_equal(answered, steps.targets != NO_ANSWER)
    np.testing.assert_array_equal(steps.targets[answered], text.targets[steps.words[answered]])
    for at, b in np.argwhere(answered):  # the word itself was two steps before
        word = steps.words[at, b]
        np.testing.assert_array_equal(steps.rows[at - 2, b], text.rows[word])
    assert steps.fresh.sum() == 2


def test_pieces_begin_at_sentences() -> None:
    text = read_text(DOCUMENTS, WORDS, LABELS)
    assert cut_pieces(text) == [slice(0, 4), slice(4, 8)]
    every = cut_pieces(text, 1.0, np.random.default_rng(0))
    assert every == [slice(0, 2), slice(2, 4), slice(4, 8)]


def test_labels_without_b() -> None:
    text = read_text(DOCUMENTS, WORDS, ["O", "I-LOC", "I-PER"])
    assert text.targets.tolist() == [0, 2, 0, 1, 1, 0, 2, 0]
    text = read_text(DOCUMENTS, WORDS, ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"])
    assert text.targets.tolist() == [0, 3, 0, 1, 1, 0, 3, 0]
