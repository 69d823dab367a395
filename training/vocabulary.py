"""The tagger's words and their first vectors, from NeuroNER's and the training text."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from beam_rnn.features.text import UNKNOWN
from training.neuroner import Sentence

Vectors = dict[str, NDArray[np.float32]]

LEAST_NORM = 2.5
"""GloVe's vectors are longer; those of words that NeuroNER began at random are shorter."""

SCALE = 0.3
"""Standard deviation of the numbers in the word table."""


def count_words(documents: list[list[Sentence]]) -> Counter[str]:
    """How often each word, as cased, occurs."""
    return Counter(word for document in documents for words, _ in document for word in words)


def choose_vectors(vectors: Vectors, train: Counter[str], known: Iterable[str] | None) -> Vectors:
    """The vectors to begin with, by the word in lower case; words with digits are left out.

    NeuroNER tuned a vector for each cased form that its training text has. Of the forms of a word
    the one is taken that occurs there least, which is closest to GloVe's.

    Args:
      train: counts in the training text.
      known: keep only words that occur here, or all if None.
    """
    kept = None if known is None else {word.lower() for word in known}
    forms: dict[str, list[str]] = defaultdict(list)
    for word in vectors:
        forms[word.lower()].append(word)
    chosen = {}
    for word, cased in forms.items():
        vector = vectors[min(cased, key=lambda form: train[form])]
        if re.search(r"\d", word) or np.linalg.norm(vector) < LEAST_NORM:
            continue
        if kept is None or word in kept:
            chosen[word] = vector
    return chosen


def make_table(
    vectors: Vectors, train: Counter[str], width: int, seed: int, least: int = 3
) -> tuple[list[str], NDArray[np.float32]]:
    """The vocabulary and its table (V, width) to begin with.

    The vectors lose their mean and are turned to their `width` main directions. Words of the
    training text (in lower case, digits as 0) without a vector begin at random if they occur
    `least` times. Padding and the unknown word begin as zeros, which is the mean.
    """
    counts: Counter[str] = Counter()
    for word, count in train.items():
        counts[re.sub(r"\d", "0", word.lower())] += count
    without = [word for word, count in counts.items() if count >= least and word not in vectors]
    given = np.stack(list(vectors.values())).astype(np.float64)
    mean, spread = given.mean(axis=0), given.std()
    turn = np.linalg.eigh(np.cov(given.T))[1][:, ::-1][:, :width]
    draw = np.random.default_rng(seed)
    words = sorted([*vectors, *without])
    table = np.zeros((2 + len(words), width), np.float32)
    for place, word in enumerate(words, 2):
        if word in vectors:
            table[place] = (vectors[word] - mean) @ turn / spread * SCALE
        else:
            table[place] = draw.normal(0, SCALE / 2, width)
    return ["", UNKNOWN, *words], table
