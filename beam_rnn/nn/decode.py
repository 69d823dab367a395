"""Which token comes next: greedy, or drawn at a temperature, from the top k, from a nucleus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import ModelError, OptionError
from beam_rnn.nn.layers import Dense
from beam_rnn.nn.network import Network
from beam_rnn.nn.parameters import Floats, Ints

Doubles = NDArray[np.float64]

_TINY = float(np.finfo(np.float32).tiny)  # of a probability that underflowed


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn from a distribution over V tokens.

    Attributes:
      temperature: divides the logarithms of the probabilities; 0: always the most probable token.
      top_k: only the k most probable tokens (Fan et al., 2018), or None.
      top_p: only the most probable tokens that together have this probability, the nucleus
        (Holtzman et al., 2020), or None. Of both, top_k is applied first.
      allowed: the ids that may be drawn, or None: all.

    Raises:
      OptionError: a number is out of its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    allowed: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < np.inf:
            raise OptionError(f"temperature is {self.temperature!r}, expected a number from 0")
        if self.top_k is not None and not (isinstance(self.top_k, int) and self.top_k >= 1):
            raise OptionError(f"top_k is {self.top_k!r}, expected a whole number from 1")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise OptionError(f"top_p is {self.top_p!r}, expected a probability above 0")
        if self.allowed is not None:
            object.__setattr__(self, "allowed", tuple(sorted(set(self.allowed))))
            if not self.allowed:
                raise OptionError("allowed is empty, expected at least one token")

    def check(self, tokens: int) -> None:
        """Raises OptionError where ``allowed`` names an id that is not one of ``tokens``."""
        for token in self.allowed or ():
            if not 0 <= token < tokens:
                raise OptionError(f"allowed has the id {token}, expected 0..{tokens - 1}")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0 or self.top_k == 1

    def choose(self, log_p: Floats, u: Doubles | None = None) -> Ints:
        """Draws one token for each row.

        Args:
          log_p: (n, V) logarithms of probabilities, up to a constant for each row.
          u: (n,) uniform numbers in [0, 1); not needed where the most probable token is taken.

        Returns:
          (n,) ids. Each row on its own: what it draws depends on its log_p and u only.
        """
        ids: Ints | None = None
        if self.allowed is not None:
            ids = np.array(self.allowed, np.int64)
            log_p = log_p[:, ids]
        if self.greedy:
            picked: Ints = log_p.argmax(axis=1)
            return picked if ids is None else ids[picked]
        assert u is not None
        scaled = log_p.astype(np.float64)
        scaled -= scaled.max(axis=1, keepdims=True)
        with np.errstate(over="ignore"):  # to -inf, whose exponential is 0
            p = np.exp(scaled / self.temperature)
        if self.top_k is None and self.top_p is None:
            picked = _inverse(p, u)
        else:
            order = (-p).argsort(axis=1, kind="stable")
            p = np.take_along_axis(p, order, 1)
            if self.top_k is not None:
                p = p[:, : self.top_k]
            if self.top_p is not None:
                before = p.cumsum(axis=1)
                total = before[:, -1:].copy()
                before -= p
                p[before >= self.top_p * total] = 0
            picked = order[np.arange(len(p)), _inverse(p, u)]
        return picked if ids is None else ids[picked]


def _inverse(p: Doubles, u: Doubles) -> Ints:
    """The place in each row of p (n, V) where its running sum passes the share u of its total."""
    cumulative = p.cumsum(axis=1)
    # Where the total ends, so that rounding never picks what has no probability.
    last = p.shape[1] - 1 - (p[:, ::-1] > 0).argmax(axis=1)
    picked = (cumulative <= u[:, None] * cumulative[:, -1:]).sum(axis=1)
    result: Ints = np.minimum(picked, last)
    return result


def log_probabilities(network: Network, y: Floats) -> Floats:
    """Logarithms of what ``network`` says of the next token: y (n, V) -> (n, V) float32."""
    if _activation(network) == "softmax":
        return np.log(np.maximum(y, np.float32(_TINY)))
    return log_softmax(y)


def log_softmax(y: Floats) -> Floats:
    """Logits (n, V), or logarithms of probabilities up to a constant, -> ln P (n, V)."""
    y = y - y.max(axis=1, keepdims=True)
    y -= np.log(np.exp(y).sum(axis=1, keepdims=True))
    return y


def check_generator(network: Network) -> None:
    """Raises ModelError unless y of the network is a distribution over the tokens that it reads."""
    limits = network.inputs.limits
    if network.inputs.shape != () or limits is None:
        raise ModelError(f"the network reads {network.inputs.shape}, expected ids of tokens")
    if network.output_size > limits[0]:
        raise ModelError(
            f"the network gives {network.output_size} tokens and reads {limits[0]}: it cannot read "
            "what it gives"
        )
    if _activation(network) not in (None, "softmax"):
        raise ModelError(
            f"the network ends in {_activation(network)}, expected softmax or None (logits)"
        )


def _activation(network: Network) -> str | None:
    last = network.layers[-1]
    if not isinstance(last, Dense):
        raise ModelError(f"the network ends in {type(last).__name__}, expected a Dense layer")
    return last.activation
