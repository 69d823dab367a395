"""Texts that are kept apart, vectors of words, the export, and the committed classifier."""

from pathlib import Path

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="the training extra is not installed")

import beam_rnn as rnn  # noqa: E402
from beam_rnn.features import WordIds  # noqa: E402
from training import classify_sentiment, evaluate_sentiment, reviews  # noqa: E402
from training.classify_sentiment import Coded, forward, init_params, lay_out, to_network  # noqa: E402
from training.evaluate_sentiment import figures_of, score  # noqa: E402
from training.reviews import Text, plain, split  # noqa: E402
from training.vectors import nearness_vectors  # noqa: E402

MODEL = Path(__file__).parents[2] / "models" / "classify_sentiment.safetensors"


def test_no_text_is_on_both_sides() -> None:
    imdb = [
        Text(f"film {i} was {'good' if i % 2 else 'bad'}", 4 * (i % 2) - 2.0) for i in range(40)
    ]
    imdb.append(imdb[0])  # a copy, which comes last and so is a test text
    tomatoes = [Text(f"a snippet , number {i} .", 2.0) for i in range(20)]
    films = [Text(f"A snippet, number {i}.", 1.0) for i in range(30)]  # as people see it
    films.append(Text("Film 3 was good", 3.0))
    others = [Text("the phone is fine", 1.0), Text("A snippet, number 25!", 2.0)]
    rated = {"films": films, "amazon": others, "news": [], "tweets": []}
    data = split({"imdb": imdb, "rotten_tomatoes": tomatoes}, rated)
    parts = [{plain(text.text) for text in part} for part in data]
    train, tested = parts[0] | parts[3] | parts[6], parts[2] | parts[5]
    assert not train & tested
    assert not (parts[1] | parts[4]) & train - parts[0]
    assert len(data.snippets_test) == 10
    assert plain("Film 3 was good") not in parts[5]
    # a rated snippet's rating is mostly what people said
    assert {text.rating for text in data.snippets} == {1.25}
    assert len(data.snippets_valid) == 2


def test_words_that_stand_in_the_same_places_are_near() -> None:
    draw = np.random.default_rng(0)
    texts = []
    for _ in range(600):
        animal, fruit = draw.integers(2, 5), draw.integers(5, 8)
        texts.append(np.array([8, animal, 9, 8, animal, 9]))  # 2, 3, 4 between 8 and 9
        texts.append(np.array([10, fruit, 11, 10, fruit, 11]))
    vectors = nearness_vectors(texts, 12, 4)
    assert vectors.shape == (12, 4)
    np.testing.assert_allclose(vectors[:2], 0, atol=1e-6)
    unit = vectors[2:8] / np.linalg.norm(vectors[2:8], axis=1, keepdims=True)
    near = unit @ unit.T
    alike, other = near[:3, :3][~np.eye(3, dtype=bool)], near[:3, 3:]
    assert alike.mean() > other.mean() + 0.3
    assert alike.min() > other.max()


def test_export_equals_jax() -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 12)).astype(np.float32)
    params = init_params(vectors, 1)
    ids = np.random.default_rng(1).integers(0, 30, 50)
    y, _ = to_network(params, ["", "<unk>", *map(str, range(28))], {}).unroll(ids)
    logits = forward(params, ids[:, None])
    np.testing.assert_allclose(y, jax.nn.softmax(logits)[:, 0], atol=1e-5)


def test_a_long_text_is_read_from_any_word_on() -> None:
    text = Coded(np.arange(2, 102), 2.0)
    draw = np.random.default_rng(0)
    starts = {int(lay_out([text], 10, draw)[0][0, 0]) for _ in range(200)}
    assert min(starts) < 10
    assert max(starts) > 85
    ids, lengths, wanted = lay_out([Coded(np.array([5, 6]), -2.0), text], 10, draw)
    assert ids.shape == (10, 2)
    assert lengths.tolist() == [2, 10]
    assert ids[:3, 0].tolist() == [5, 6, 0]
    np.testing.assert_allclose(wanted, [0.5 - 2 / 7, 0.5 + 2 / 7], rtol=1e-6)


def test_texts_that_are_rated_0_have_no_sign() -> None:
    texts = [Text("", 1.0), Text("", -2.0), Text("", 0.0), Text("", 3.0)]
    figures = score(np.array([0.5, 1.0, 3.0, 2.0]), texts)
    assert figures.right == pytest.approx(2 / 3)
    assert figures.texts == 3


def test_what_it_says_of_itself() -> None:
    network = rnn.load(MODEL)
    assert network.labels == ("negative", "positive")
    assert network.input_shape == ()
    assert MODEL.stat().st_size < 8_000_000
    words = WordIds(network.vocabulary or ())

    def good(text: str) -> float:
        return float(network.unroll(words.ids(text))[0][-1, 1])

    assert good("A wonderful film, funny and moving. I loved every minute.") > 0.7
    assert good("Dull, stupid and far too long. What a waste of time.") < 0.3
    assert good("It is not good.") < good("It is good.") - 0.1


@pytest.mark.slow
def test_the_figures_of_the_card() -> None:
    if not list(reviews.FOLDER.glob("*.whl")):
        pytest.skip("the reviews are not here; training/evaluate_sentiment.py fetches them")
    network = rnn.load(MODEL)
    data = split(reviews.read_reviews(), reviews.read_rated())
    found = figures_of(network, data.snippets_test)
    assert found.right == pytest.approx(network.card["test_snippets_accuracy"], abs=1e-3)
    assert found.r == pytest.approx(network.card["test_snippets_r"], abs=1e-3)
    found = figures_of(network, data.reviews_test)
    assert found.right == pytest.approx(network.card["test_reviews_accuracy"], abs=1e-3)


def test_the_words_of_the_recipe_and_of_the_feature_are_the_same() -> None:
    data = reviews.Data([Text("Good GOOD films 1984", 2.0)], [], [], [], [], [], [])
    vocabulary = classify_sentiment.make_vocabulary(data)
    assert vocabulary == ["", "<unk>", "good", "films", "0000"]
    assert WordIds(vocabulary).ids("films Good 2001 bad").tolist() == [3, 2, 4, 1]
    assert evaluate_sentiment.RANGE == 7
