"""Beam search over many sources at once: the n best sequences of tokens of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import OptionError
from beam_rnn.nn.decode import Doubles
from beam_rnn.nn.parameters import Floats, Ints


@dataclass(frozen=True)
class Search:
    """How the best sequences are looked for.

    Attributes:
      width: hypotheses of a source that are followed at once; 1: greedy.
      best: how many are given, at most width.
      alpha: length normalisation: the sum of the logarithms is divided by ((5 + L) / 6)^alpha (Wu
        et al., 2016), L with the stop token; 0: none.

    Raises:
      OptionError: a number is out of its range.
    """

    width: int = 1
    best: int = 1
    alpha: float = 0.0

    def __post_init__(self) -> None:
        if not (isinstance(self.width, int) and 1 <= self.width <= 1024):
            raise OptionError(f"width is {self.width!r}, expected a whole number from 1 to 1024")
        if not (isinstance(self.best, int) and 1 <= self.best <= self.width):
            raise OptionError(f"best is {self.best!r}, expected a whole number from 1 to width")
        if not 0 <= self.alpha < np.inf:
            raise OptionError(f"alpha is {self.alpha!r}, expected a number from 0")

    def penalty(self, length: int) -> float:
        """What the score of a sequence of this length is divided by."""
        return float(((5 + length) / 6) ** self.alpha)


class Hypothesis(NamedTuple):
    """A sequence of tokens for a source.

    Attributes:
      tokens: (L,) ids, without the stop token.
      score: the sum of the logarithms of their probabilities, that of the stop token among them,
        after length normalisation.
      alignment: (L,) the position of the source that the first attention layer read most for each
        token, or None without attention.
    """

    tokens: Ints
    score: float
    alignment: Ints | None


class Step(NamedTuple):
    """What the search asks the model for, n rows at once.

    Attributes:
      tokens: (n,) the last token of each row.
      parents: (n,) which row of the step before it goes on from.
      owner: (n,) the source of each row, ascending.
    """

    tokens: Ints
    parents: Ints
    owner: Ints

    def rows(self, keep: Ints | NDArray[np.bool_]) -> Step:
        return Step(self.tokens[keep], self.parents[keep], self.owner[keep])


class Said(NamedTuple):
    """What the model answers: log_p (n, V), and what each row read most (n,), or None."""

    log_p: Floats
    reads: Ints | None


def search(
    model: Callable[[Step], Said], how: Search, sources: int, *, start: int, stop: int, limit: int
) -> list[list[Hypothesis]]:
    """The best hypotheses of each source.

    A candidate that ends is kept if it is among the ``width`` best of its step, and the beam is
    filled up with those that do not end (as fairseq does it). A row is dropped as soon as it
    cannot become better than the kept ones of its source, which changes no result; with a width
    of 1, as soon as its source has ended. At ``limit`` tokens what has not ended counts as it is.
    Of equals the better row of the step before goes first, then the smaller id.

    Args:
      model: steps rows; in its first call, ``parents`` are the sources themselves.
      how: width, number, length normalisation.
      sources: how many; what one gives does not depend on the others.
      start, stop: the token before the first, and that behind the last.
      limit: most tokens of a sequence.

    Returns:
      For each source up to ``how.best`` hypotheses, the best first.
    """
    each = np.arange(sources)
    step = Step(np.full(sources, start, np.int64), each, each)
    score: Doubles = np.zeros(sources)
    kept = _Kept(how, sources)
    for length in range(1, limit + 1):
        said = model(step)
        kept.record(step, said.reads)
        value, row, token, owner = _candidates(said.log_p, score, step.owner, how.width)
        ends = token == stop
        alive = np.isfinite(value)
        kept.add(owner, np.where(ends & alive, value, -np.inf)[:, : how.width], row, length)
        alive &= ~ends
        alive &= alive.cumsum(axis=1) <= how.width
        alive &= kept.can_improve(owner, value, limit)
        place, rank = np.nonzero(alive)
        step = Step(token[place, rank], row[place, rank], owner[place])
        score = value[place, rank]
        if not len(score):
            return kept.hypotheses()
    kept.record(step, None)
    _, first, place = np.unique(step.owner, return_index=True, return_inverse=True)
    rank = np.arange(len(score)) - first[place]
    value = np.full((len(first), how.width), -np.inf)
    row = np.zeros(value.shape, np.int64)
    value[place, rank], row[place, rank] = score, np.arange(len(score))
    kept.add(step.owner[first], value, row, limit)
    return kept.hypotheses()


def _candidates(
    log_p: Floats, score: Doubles, owner: Ints, width: int
) -> tuple[Doubles, Ints, Ints, Ints]:
    """The best continuations of each source, in their order.

    Returns:
      value (s, 2 * width), -inf where there are fewer, row and token likewise, and owner (s,).
    """
    each = np.arange(len(log_p))
    many = min(2 * width, log_p.shape[1])
    token = _top(log_p, many)
    value = score[:, None] + log_p[each[:, None], token]
    sources, first, place = np.unique(owner, return_index=True, return_inverse=True)
    if len(sources) == len(owner):  # one row each: they are in their order
        return value, np.broadcast_to(each[:, None], value.shape), token, sources
    rank = each - first[place]
    most = int(rank.max()) + 1
    grid = np.full((len(sources), most, many), -np.inf)
    grid[place, rank] = value
    flat = grid.reshape(len(sources), -1)
    best = _top(flat, min(2 * width, flat.shape[1]))
    # Cells that no row has are -inf; the row that they would name does not matter.
    row = np.minimum(first[:, None] + best // many, len(owner) - 1)
    return np.take_along_axis(flat, best, 1), row, token[row, best % many], sources


def _top(values: NDArray[np.floating], k: int) -> Ints:
    """The places of the k largest of each row of values (n, m), the largest first.

    Of equals the first goes first, so that it does not matter how a row is filled up.
    """
    m = values.shape[1]
    if k == 1:
        first: Ints = values.argmax(axis=1)[:, None]
        return first
    if k >= m:
        whole: Ints = (-values).argsort(axis=1, kind="stable")
        return whole
    least = np.partition(values, m - k, axis=1)[:, m - k, None]
    large = values >= least
    if np.count_nonzero(large) != k * len(values):  # equals of the least: the first of them
        equal = values == least
        large ^= equal
        large |= equal & (equal.cumsum(axis=1) <= k - large.sum(axis=1, keepdims=True))
    places = np.nonzero(large)[1].reshape(-1, k)
    order = (-np.take_along_axis(values, places, 1)).argsort(axis=1, kind="stable")
    top: Ints = np.take_along_axis(places, order, 1)
    return top


class _Kept:
    """The hypotheses that have ended, and the steps that lead to them.

    Attributes:
      score: (S, best) normalised, -inf where there is none yet, the best first.
      row, length: (S, best) the row of the step at which it ended; its tokens with the stop.
    """

    def __init__(self, how: Search, sources: int) -> None:
        self.how = how
        self.score = np.full((sources, how.best), -np.inf)
        self.at = np.zeros((sources, how.best, 2), np.int64)  # (step, row)
        self.steps: list[Step] = []
        self.reads: list[Ints | None] = []

    def record(self, step: Step, reads: Ints | None) -> None:
        """Remembers a step."""
        self.steps.append(step)
        self.reads.append(reads)

    def add(self, sources: Ints, value: Doubles, row: Ints, length: int) -> None:
        """Keeps what ended at the step recorded last.

        Args:
          sources: (s,) sources, each once.
          value: (s, width) sums of logarithms, -inf where nothing ended.
          row: (s, at least width) rows of the step.
          length: tokens, with the stop token.
        """
        some = np.flatnonzero(np.isfinite(value).any(axis=1))
        if not len(some):
            return
        ended = value[some] / self.how.penalty(length)
        mine = sources[some]
        score = np.concatenate([self.score[mine], ended], axis=1)
        at = np.empty((*ended.shape, 2), np.int64)
        at[..., 0] = len(self.steps) - 1
        at[..., 1] = row[some, : ended.shape[1]]
        at = np.concatenate([self.at[mine], at], axis=1)
        order = (-score).argsort(axis=1, kind="stable")[:, : self.how.best]
        self.score[mine] = np.take_along_axis(score, order, 1)
        self.at[mine] = np.take_along_axis(at, order[..., None], 1)

    def can_improve(self, sources: Ints, value: Doubles, limit: int) -> NDArray[np.bool_]:
        """Whether rows of (s,) sources with sums (s, m) may still become better than the kept."""
        least = self.score[sources, -1:]
        if self.how.width == 1:
            return np.broadcast_to(np.isneginf(least), value.shape)
        # A sum only falls, and its divisor is largest at the end.
        better: NDArray[np.bool_] = value / self.how.penalty(limit) > least
        return better

    def hypotheses(self) -> list[list[Hypothesis]]:
        """What was kept of each source."""
        sources, places = np.nonzero(np.isfinite(self.score))
        at, row = self.at[sources, places].T
        tokens: list[list[int]] = [[] for _ in sources]
        reads: list[list[int]] = [[] for _ in sources]
        which = np.arange(len(sources))
        for place in range(int(at.max(initial=0)), 0, -1):
            mine = which[at >= place]
            step, before = self.steps[place], self.reads[place - 1]
            here = row[mine]
            row[mine] = step.parents[here]
            for i, token in zip(mine.tolist(), step.tokens[here].tolist(), strict=True):
                tokens[i].append(token)
            if before is not None:
                for i, read in zip(mine.tolist(), before[row[mine]].tolist(), strict=True):
                    reads[i].append(read)
        aligned = self.reads[0] is not None
        result: list[list[Hypothesis]] = [[] for _ in self.score]
        scores = self.score[sources, places].tolist()
        for i, (source, score) in enumerate(zip(sources.tolist(), scores, strict=True)):
            alignment = np.array(reads[i][::-1], np.int64) if aligned else None
            result[source].append(Hypothesis(np.array(tokens[i][::-1], np.int64), score, alignment))
        return result
