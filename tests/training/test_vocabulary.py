"""The words that get an id, and what their vectors begin as."""

from collections import Counter

import numpy as np

from beam_rnn.features.text import UNKNOWN
from training.vocabulary import SCALE, choose_vectors, count_words, make_table

LONG, SHORT = np.full(100, 0.6, np.float32), np.full(100, 0.01, np.float32)


def test_count_words() -> None:
    documents = [[(["The", "man"], ["O", "O"])], [(["The"], ["O"])]]
    assert count_words(documents) == {"The": 2, "man": 1}


def test_the_form_that_was_tuned_least_is_taken() -> None:
    vectors = {"London": LONG, "LONDON": LONG * 2, "odd": SHORT, "3rd": LONG, "Paris": LONG * 3}
    chosen = choose_vectors(vectors, Counter(London=9, LONDON=1), None)
    assert sorted(chosen) == ["london", "paris"]
    np.testing.assert_array_equal(chosen["london"], LONG * 2)


def test_only_known_words() -> None:
    vectors = {"London": LONG, "Paris": LONG}
    assert sorted(choose_vectors(vectors, Counter(), ["LONDON"])) == ["london"]


def test_table() -> None:
    draw = np.random.default_rng(0)
    vectors = {f"w{i}": draw.normal(2, 1, 100).astype(np.float32) for i in range(300)}
    train = Counter({"W1": 5, "1996": 3, "1997": 1, "rare": 2, "new": 3})
    vocabulary, table = make_table(vectors, train, 100, seed=0)
    assert vocabulary[:2] == ["", UNKNOWN]
    assert set(vocabulary[2:]) == {*vectors, "0000", "new"}
    assert table.shape == (len(vocabulary), 100)
    np.testing.assert_array_equal(table[:2], 0)
    assert 0.8 * SCALE < table[2:].std() < 1.2 * SCALE
    # turned, not bent: distances stay in proportion
    a, b, c = (table[vocabulary.index(f"w{i}")] for i in (3, 4, 5))
    x, y, z = (vectors[f"w{i}"] for i in (3, 4, 5))
    ratio = np.linalg.norm(a - b) / np.linalg.norm(a - c)
    np.testing.assert_allclose(ratio, np.linalg.norm(x - y) / np.linalg.norm(x - z), rtol=1e-4)
    narrow = make_table(vectors, train, 10, seed=0)[1]
    np.testing.assert_allclose(narrow[4:], table[4:, :10], atol=1e-6)
