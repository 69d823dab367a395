"""Recomputes the figures of models/classify_sentiment.safetensors, beside a logistic regression.

python training/evaluate_sentiment.py models/classify_sentiment.safetensors
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import beam_rnn as rnn
from beam_rnn.features import WordIds
from training import reviews
from training.reviews import Text

LABELS = ["negative", "positive"]
RANGE = 7.0  # of ratings from certainly negative to certainly positive
_AT_ONCE = 256


class Figures(NamedTuple):
    """How texts were rated."""

    right: float  # share whose rating has the sign of the text's; those rated 0 do not count
    r: float  # correlation with the texts' ratings
    texts: int


def figures_of(network: rnn.Network, texts: list[Text]) -> Figures:
    """The answers after the last word of each text."""
    words = WordIds(network.vocabulary or ())
    coded = [words.ids(text.text) for text in texts]
    found = np.full(len(texts), 0.5)
    longest_first = sorted(range(len(texts)), key=lambda i: -len(coded[i]))
    full = [i for i in longest_first if len(coded[i])]
    for first in range(0, len(full), _AT_ONCE):
        own = full[first : first + _AT_ONCE]
        for i, (y, _) in zip(own, network.unroll_many([coded[i] for i in own]), strict=True):
            found[i] = y[-1, 1]
    return score(RANGE * (found - 0.5), texts)


def score(ratings: NDArray[np.float64], texts: list[Text]) -> Figures:
    """Compares ratings with those of the texts."""
    gold = np.array([text.rating for text in texts])
    counts = gold != 0
    right = ((ratings > 0) == (gold > 0))[counts].mean()
    return Figures(float(right), float(np.corrcoef(ratings, gold)[0, 1]), int(counts.sum()))


def line_of(figures: Figures) -> str:
    """The figures in a few words."""
    return f"{figures.right:.2%} right of {figures.texts:,}, r = {figures.r:.3f}"


def regression(data: reviews.Data, longest: int) -> dict[str, Figures]:
    """A logistic regression on TF-IDF of n-grams up to `longest` words, on the same texts.

    Its options are those that scikit-learn has, with sublinear counts, n-grams that occur twice,
    and the strength that is best on the validation texts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    form = TfidfVectorizer(
        ngram_range=(1, longest), min_df=2, sublinear_tf=True, token_pattern=r"\w+|[^\w\s]"
    )
    train = [*data.reviews, *data.snippets]
    rows = form.fit_transform([text.text for text in train])
    labels = [text.rating > 0 for text in train]
    best: tuple[float, dict[str, Figures]] = (0.0, {})
    for strength in (1.0, 4.0, 16.0):
        model = LogisticRegression(C=strength, max_iter=300).fit(rows, labels)

        def rate(texts: list[Text], model: LogisticRegression = model) -> Figures:
            return score(model.decision_function(form.transform([t.text for t in texts])), texts)

        valid = rate(data.reviews_valid).right + rate(data.snippets_valid).right
        if valid > best[0]:
            found = {"reviews": rate(data.reviews_test), "snippets": rate(data.snippets_test)}
            best = (valid, found)
    return best[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, default=reviews.FOLDER, help="where the packages are")
    options = parser.parse_args()
    network = rnn.load(options.model)
    data = reviews.split(reviews.read_reviews(options.data), reviews.read_rated(options.data))
    rows = {
        "this network": {
            "reviews": figures_of(network, data.reviews_test),
            "snippets": figures_of(network, data.snippets_test),
        },
        "TF-IDF of words, logistic regression": regression(data, 1),
        "TF-IDF of words and pairs of words": regression(data, 2),
    }
    print("| | IMDB | snippets |\n|---|---|---|")
    for name, own in rows.items():
        print(f"| {name} | {line_of(own['reviews'])} | {line_of(own['snippets'])} |")


if __name__ == "__main__":
    main()
