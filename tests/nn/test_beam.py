"""Beam search against one that follows a single source, told plainly."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_rnn.errors import OptionError
from beam_rnn.nn.beam import Hypothesis, Said, Search, Step, search

START, STOP = 0, 1


class Language:
    """A model that remembers the prefix of each row; equal values are common."""

    def __init__(self, seed: int, V: int, reads: bool = False) -> None:
        self.seed, self.V, self.reads = seed, V, reads

    def log_p(self, source: int, prefix: tuple[int, ...]) -> np.ndarray:
        rng = np.random.default_rng([self.seed, source, *prefix])
        return (-rng.integers(0, 12, self.V) / 4).astype(np.float32)

    def read(self, source: int, prefix: tuple[int, ...]) -> int:
        return (7 * source + sum(prefix)) % 11

    def rows(self, sources: list[int]):
        """What ``search`` calls, for these sources."""
        prefixes: list[tuple[int, ...]] = [()] * len(sources)

        def step(asked: Step) -> Said:
            nonlocal prefixes
            assert (np.diff(asked.owner) >= 0).all()
            tokens, parents = asked.tokens.tolist(), asked.parents.tolist()
            prefixes = [(*prefixes[p], t) for p, t in zip(parents, tokens, strict=True)]
            mine = [(sources[o], p) for o, p in zip(asked.owner.tolist(), prefixes, strict=True)]
            reads = np.array([self.read(*row) for row in mine]) if self.reads else None
            return Said(np.array([self.log_p(*row) for row in mine]), reads)

        return step


def plainly(language: Language, source: int, how: Search, limit: int) -> list[tuple]:
    """One source: (tokens, score), the best first."""
    live = [((START,), 0.0)]
    ended: list[tuple[tuple[int, ...], float]] = []
    for length in range(1, limit + 1):
        candidates = [
            (prefix, token, score + float(log_p))
            for prefix, score in live
            for token, log_p in enumerate(language.log_p(source, prefix))
        ]
        candidates.sort(key=lambda candidate: -candidate[2])
        candidates = candidates[: 2 * how.width]
        ended += [
            (prefix[1:], score / how.penalty(length))
            for prefix, token, score in candidates[: how.width]
            if token == STOP
        ]
        if how.width == 1 and ended:
            live = []
            break
        live = [((*p, token), score) for p, token, score in candidates if token != STOP]
        live = live[: how.width]
    ended += [(prefix[1:], score / how.penalty(limit)) for prefix, score in live]
    return sorted(ended, key=lambda hypothesis: -hypothesis[1])[: how.best]


def told(hypotheses: list[Hypothesis]) -> list[tuple]:
    return [(tuple(h.tokens.tolist()), h.score) for h in hypotheses]


HOW = st.builds(
    lambda width, best, alpha: Search(width, min(width, best), alpha),
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.6, 1.0, 2.0]),
)


@given(
    how=HOW,
    seed=st.integers(0, 10_000),
    V=st.integers(2, 6),
    limit=st.integers(1, 6),
    sources=st.lists(st.integers(0, 20), min_size=1, max_size=6),
)
def test_many_sources_are_searched_as_each_alone(
    how: Search, seed: int, V: int, limit: int, sources: list[int]
) -> None:
    language = Language(seed, V)
    numbers = {"start": START, "stop": STOP, "limit": limit}
    found = search(language.rows(sources), how, len(sources), **numbers)
    assert [told(mine) for mine in found] == [
        plainly(language, source, how, limit) for source in sources
    ]
    for source, mine in zip(sources, found, strict=True):
        assert told(search(language.rows([source]), how, 1, **numbers)[0]) == told(mine)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_beam_as_wide_as_the_language_finds_the_best(alpha: float) -> None:
    V, limit = 3, 4
    language = Language(3, V)
    how = Search(81, 10, alpha)
    others = [token for token in range(V) if token != STOP]
    every = []
    for length in range(limit + 1):
        for tokens in itertools.product(others, repeat=length):
            score, prefix = 0.0, (START,)
            for token in (*tokens, STOP) if length < limit else tokens:
                score += float(language.log_p(0, prefix)[token])
                prefix = (*prefix, token)
            every.append(score / how.penalty(min(length + 1, limit)))
    (found,) = search(language.rows([0]), how, 1, start=START, stop=STOP, limit=limit)
    scores = [score for _, score in told(found)]
    np.testing.assert_allclose(scores, sorted(every, reverse=True)[:10])


def test_what_was_read_for_each_token_comes_along() -> None:
    language = Language(5, 5, reads=True)
    found = search(language.rows([3, 4]), Search(4, 4), 2, start=START, stop=STOP, limit=6)
    assert any(len(h.tokens) > 2 for mine in found for h in mine)
    for source, mine in zip((3, 4), found, strict=True):
        for tokens, _, alignment in mine:
            assert alignment is not None
            prefixes = [(START, *tokens.tolist()[:i]) for i in range(len(tokens))]
            assert alignment.tolist() == [language.read(source, prefix) for prefix in prefixes]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width is 0, expected a whole number from 1 to 1024"),
        ({"width": 2, "best": 3}, "best is 3, expected a whole number from 1 to width"),
        ({"alpha": -0.5}, r"alpha is -0\.5, expected a number from 0"),
    ],
    ids=str,
)
def test_a_wrong_option_is_refused(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Search(**options)
