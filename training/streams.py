"""Documents -> long streams of steps, cut for truncated back-propagation."""

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from beam_rnn.features.text import Words
from training.neuroner import Sentence

NO_ANSWER = -1
"""The target of a step that answers no word."""


class Steps(NamedTuple):
    """What B streams step through, L steps each."""

    rows: NDArray[np.int32]  # (L, B, 20) word rows, zeros where there is no word
    targets: NDArray[np.int32]  # (L, B) label of the word `lookahead` steps before, or NO_ANSWER
    fresh: NDArray[np.bool_]  # (L, B): the state is forgotten before this step
    words: NDArray[np.int64]  # (L, B) place of the answered word in the whole text, or -1

    def part(self, first: int, count: int) -> "Steps":
        """The steps from `first`, `count` of them or as many as there are."""
        now = slice(first, first + count)
        return Steps(self.rows[now], self.targets[now], self.fresh[now], self.words[now])


class Text(NamedTuple):
    """A split as rows and label ids, with the first word of each sentence and document."""

    rows: NDArray[np.int32]  # (N, 20)
    targets: NDArray[np.int32]  # (N,)
    sentences: NDArray[np.int64]  # first word of each sentence
    documents: NDArray[np.int64]  # first word of each document


def read_text(documents: list[list[Sentence]], words: Words, labels: list[str]) -> Text:
    """The rows and label ids of all words of the documents, in order.

    Where `labels` have no B-PER, it counts as I-PER, and so for every type.
    """
    sentences = [sentence for document in documents for sentence in document]
    rows = words.rows(word for text, _ in sentences for word in text).astype(np.int32)
    ids = {label.replace("I-", "B-"): i for i, label in enumerate(labels)}
    ids |= {label: i for i, label in enumerate(labels)}
    targets = np.array([ids[label] for _, found in sentences for label in found], np.int32)
    lengths = np.array([len(text) for text, _ in sentences])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    firsts = np.concatenate([[0], np.cumsum([len(document) for document in documents])[:-1]])
    return Text(rows, targets, starts, starts[firsts])


def cut_pieces(
    text: Text, split: float = 0.0, draw: np.random.Generator | None = None
) -> list[slice]:
    """The documents as slices of words; with `split`, some sentences begin a piece of their own."""
    starts = set(text.documents.tolist())
    if draw is not None and split:
        starts |= set(text.sentences[draw.random(len(text.sentences)) < split].tolist())
    edges = [*sorted(starts), len(text.rows)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def lay_out(
    text: Text,
    pieces: list[slice],
    batch: int,
    lookahead: int,
    keep: float = 0.0,
    draw: np.random.Generator | None = None,
) -> Steps:
    """Puts the pieces end to end into `batch` streams, each time into the shortest one.

    After a piece come `lookahead` steps without a word. The state is forgotten at the start of a
    piece, or, with the chance `keep`, carried on from the piece before.
    """
    placed: list[list[slice]] = [[] for _ in range(batch)]
    lengths = [0] * batch
    for piece in pieces:
        at = lengths.index(min(lengths))
        placed[at].append(piece)
        lengths[at] += piece.stop - piece.start + lookahead
    L = max(lengths)
    rows = np.zeros((L, batch, text.rows.shape[1]), np.int32)
    targets = np.full((L, batch), NO_ANSWER, np.int32)
    fresh = np.zeros((L, batch), bool)
    words = np.full((L, batch), -1, np.int64)
    for b, own in enumerate(placed):
        at = 0
        for piece in own:
            n = piece.stop - piece.start
            rows[at : at + n, b] = text.rows[piece]
            targets[at + lookahead : at + lookahead + n, b] = text.targets[piece]
            words[at + lookahead : at + lookahead + n, b] = np.arange(piece.start, piece.stop)
            fresh[at, b] = draw is None or draw.random() >= keep
            at += n + lookahead
    return Steps(rows, targets, fresh, words)
