"""Tokens drawn one after the other, each read before the next, for many streams at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from beam_rnn.nn.decode import Doubles, Sampling, log_probabilities
from beam_rnn.nn.draws import Words, uniform
from beam_rnn.nn.network import Network
from beam_rnn.nn.parameters import Floats, Ints
from beam_rnn.nn.sequences import Wave


class Drawn(NamedTuple):
    """What n rows drew.

    Attributes:
      tokens: the ids of each row, without the stop token.
      score: (n,) sums of the logarithms of their probabilities under the model, that of the stop
        token among them.
      stopped: (n,) whether the row drew the stop token.
    """

    tokens: list[Ints]
    score: Doubles
    stopped: NDArray[np.bool_]


def generate(
    network: Network,
    a: Floats,
    most: Ints,
    how: Sampling,
    *,
    seed: int,
    streams: Words,
    steps: Ints,
    stop: int | None = None,
) -> Drawn:
    """Draws tokens for n rows; those that are done leave the batch.

    Args:
      network: reads what it gives.
      a: (n, S) states after what was read so far, advanced in place.
      most: (n,) how many tokens each row draws, unless it draws ``stop`` before.
      how: how a token is drawn.
      seed, streams, steps: a draw is a function of the seed, the number of its stream (n,), and
        the place of its token (n,), see ``draws.uniform``.
      stop: the id that ends a row, which it does not read, or None.
    """
    n = len(a)
    score: Doubles = np.zeros(n)
    stopped = np.zeros(n, np.bool_)
    who: list[Ints] = [np.zeros(0, np.int64)]
    what: list[Ints] = [np.zeros(0, np.int64)]
    rows = np.flatnonzero(most > 0)
    y = network.readout(a[rows])
    t = 0
    while len(rows):
        log_p = log_probabilities(network, y)
        u = None if how.greedy else uniform(seed, streams[rows], steps[rows] + t)
        token = how.choose(log_p, u)
        score[rows] += log_p[np.arange(len(rows)), token]
        ends = token == stop
        if ends.any():
            stopped[rows[ends]] = True
            rows, token = rows[~ends], token[~ends]
            if not len(rows):
                break
        who.append(rows)
        what.append(token)
        t += 1
        whole = len(rows) == n
        h = network.advance(token, a, [Wave(slice(0, n) if whole else rows, len(rows))])
        go_on = most[rows] > t
        y = network.head(h if go_on.all() else h[go_on])
        rows = rows[go_on]
    owner = np.concatenate(who)
    order = owner.argsort(kind="stable")
    counts = np.bincount(owner, minlength=n)
    tokens = np.split(np.concatenate(what)[order], np.cumsum(counts)[:-1]) if n else []
    return Drawn(tokens, score, stopped)
