"""Training learns a small made-up language, and gives the same weights each time."""

from dataclasses import replace

import numpy as np
import pytest

from beam_rnn.features import Words
from beam_rnn.features.text import UNKNOWN

jax = pytest.importorskip("jax", reason="the training extra is not installed")

from training.evaluate_names import evaluate  # noqa: E402
from training.fit import Options, fit  # noqa: E402
from training.neuroner import Sentence  # noqa: E402
from training.streams import Text, read_text  # noqa: E402
from training.tagger import Params, init_params, to_network  # noqa: E402

pytestmark = pytest.mark.slow

LABELS = ["O", "I-PER", "I-LOC"]
WORDS = Words(["", UNKNOWN, "in", "said", "anna", "went", "to", "."])
SIZES = {"shape": 4, "affix": 4, "letter": 4, "filters": 8, "hidden": 24, "cells": 1}
OPTIONS = Options(epochs=12, rate=2e-2, warmup=5, batch=4, steps=12, mean=0.9, drop={"word": 0.1})


def make_documents(seed: int) -> list[list[Sentence]]:
    """A name is a person if "said" follows two words later, and a place after "in"."""
    draw = np.random.default_rng(seed)
    documents = []
    for _ in range(30):
        sentences: list[Sentence] = []
        for _ in range(4):
            name = ["Xavier", "Paris", "Boston", "Anna"][draw.integers(4)]
            if draw.random() < 0.5:
                sentences.append(([name, "Smith", "said", "."], ["B-PER", "I-PER", "O", "O"]))
            else:
                sentences.append((["went", "in", name, "."], ["O", "O", "B-LOC", "O"]))
        documents.append(sentences)
    return documents


def train(seed: int, options: Options = OPTIONS) -> Params:
    text = read_text(make_documents(1), WORDS, LABELS)
    table = np.random.default_rng(seed).normal(0, 0.3, (8, 6)).astype(np.float32)

    def read(draw: np.random.Generator) -> Text:
        return text

    return fit(init_params(WORDS, table, 3, SIZES, seed), read, 2, options, seed)


def test_learns_what_comes_two_words_later() -> None:
    network = to_network(train(0), WORDS, LABELS, 2, {})
    figures = evaluate(network, make_documents(2))
    assert figures["all"].f1 > 98
    # nor does a state that is carried on do harm
    assert evaluate(network, make_documents(2), by_sentence=True)["all"].f1 > 95


def test_is_repeatable() -> None:
    short = replace(OPTIONS, epochs=1)
    one, two = train(3, short), train(3, short)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)
