"""Changes to the training text that bring it closer to prose: titles, first names, exclamations.

Newswire has few of "Mr. Darcy", "Miss Taylor", "Emma said" or "Oh! ...", which stories are full of.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import chain

import numpy as np

from training.neuroner import Sentence
from training.spans import find_spans

TITLES = [
    *["Mr.", "Mrs.", "Miss", "Mr", "Mrs", "Miss", "Ms.", "Dr.", "Sir", "Lady", "Lord", "Captain"],
    *["Colonel", "General", "Admiral", "Professor", "Judge", "Uncle", "Aunt", "Father", "Sister"],
    *["Master", "Madame", "King", "Queen", "Prince", "Princess"],
]
BEFORE_FIRST_NAMES = {"Sir", "Lady", "Uncle", "Aunt", "Sister", "Father", "Master", "King", "Queen"}
CALLS = [
    *["Oh", "Ah", "Alas", "Nonsense", "Indeed", "Dear", "Well", "Yes", "No", "Nay", "Pray", "Hush"],
    *["Why", "Good", "Heavens"],
]


Names = dict[tuple[str, bool], list[list[str]]]
"""Names of the training text by their kind and whether they are all in capitals."""


@dataclass(frozen=True)
class Changes:
    """How often the text is changed."""

    title: float = 0.08  # share of people that get a title
    first_name: float = 0.2  # share of people of several words that keep the first alone
    later: float = 0.05  # share of sentences that begin later, at a common word
    call: float = 0.02  # share of sentences that get an exclamation in front
    swap: float = 0.1  # share of names that another of their kind takes the place of


def change(
    documents: list[list[Sentence]], changes: Changes, draw: np.random.Generator
) -> list[list[Sentence]]:
    """The documents with some sentences changed; another draw gives other changes."""
    names: Names = defaultdict(list)
    for words, labels in chain.from_iterable(documents):
        for start, end, kind in find_spans(labels):
            names[kind, _all_capitals(words[start:end])].append(words[start:end])
    return [
        [_change(sentence, names, changes, draw) for sentence in document] for document in documents
    ]


def _all_capitals(name: list[str]) -> bool:
    return all(word.upper() == word for word in name)


def _change(
    sentence: Sentence, names: Names, changes: Changes, draw: np.random.Generator
) -> Sentence:
    words, labels = list(sentence[0]), list(sentence[1])
    for start, end, kind in reversed(find_spans(labels)):
        if draw.random() < changes.swap:
            others = names[kind, _all_capitals(words[start:end])]
            other = others[draw.integers(len(others))]
            words[start:end] = other
            labels[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (len(other) - 1)]
            end = start + len(other)
        chance = draw.random()
        if kind != "PER" or words[start].isupper():
            continue
        if chance < changes.title and (start == 0 or words[start - 1] not in TITLES):
            title = TITLES[draw.integers(len(TITLES))]
            if draw.random() < 0.6:  # Sir Walter, Mr. Elliot
                one = start if title in BEFORE_FIRST_NAMES else end - 1
                words[start:end], labels[start:end] = [words[one]], ["B-PER"]
            words.insert(start, title)
            labels.insert(start, "O")
        elif chance > 1 - changes.first_name:
            words[start:end], labels[start:end] = [words[start]], ["B-PER"]
    if draw.random() < changes.later:
        words, labels = _begin_later(words, labels, draw)
    if draw.random() < changes.call:
        call = CALLS[draw.integers(len(CALLS))]
        words, labels = [call, "!,"[draw.integers(2)], *words], ["O", "O", *labels]
        if draw.random() < 0.5:
            words, labels = ['"', *words], ["O", *labels]
    return words, labels


def _begin_later(
    words: list[str], labels: list[str], draw: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Begins at some lower-case word outside of names, now with a capital."""
    places = [
        i
        for i, (word, label) in enumerate(zip(words, labels, strict=True))
        if label == "O" and len(word) > 3 and word.isalpha() and word.islower()
    ]
    if not places:
        return words, labels
    at = places[draw.integers(len(places))]
    return [words[at].capitalize(), *words[at + 1 :]], labels[at:]
