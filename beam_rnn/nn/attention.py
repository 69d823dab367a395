"""Attention: what a decoder reads of the source, additive and multiplicative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import ModelError
from beam_rnn.nn.kernels import Product
from beam_rnn.nn.layers import Shape
from beam_rnn.nn.parameters import Floats, Frozen, Ints


class Attention(Frozen):
    """A layer of a decoder: puts in front of its input what it read of the source, [c | x].

    c = sum_j softmax_j(score(q, m_j)) m_j over the outputs m of the encoder. Its place among the
    layers says what asks: behind the cell, q is the new hidden vector (Luong et al., 2015);
    before the cell with ``query="state"`` the hidden vector that the cell has so far (Bahdanau et
    al., 2015); before the cell with ``query="input"`` the embedding of the last token.
    """

    query: str

    def _check(self) -> None:
        if self.query not in ("input", "state"):
            raise ModelError(
                f'{type(self).__name__}.query is {self.query!r}, expected "input" or "state"'
            )

    @property
    def query_size(self) -> int:
        raise NotImplementedError

    @property
    def memory_size(self) -> int:
        """C, the width of the encoder's outputs."""
        raise NotImplementedError

    @property
    def in_shape(self) -> Shape:
        raise ModelError(f"{type(self).__name__} cannot be the first layer: tokens come before it")

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1 or (self.query == "input" and shape[0] != self.query_size):
            raise ModelError(
                f"{type(self).__name__}.W_q takes {self.query_size} features, the layer before "
                f"gives {shape}"
            )
        return (self.memory_size + shape[0],)

    def apply(self, x: NDArray[Any]) -> NoReturn:
        raise ModelError(f"{type(self).__name__} reads a source: use it in an EncoderDecoder")

    def keys(self, memory: Floats) -> Floats | None:
        """What of the scores does not depend on q: (n, C) -> (n, A), or None: memory itself."""
        raise NotImplementedError

    def scores(self, q: Floats, keys: Floats) -> Floats:
        """Scores of queries q (S * K, Q) with keys (P, S, A): (P, S, K)."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Multiplicative(Attention):
    """score(q, m) = (W_q q + b_q) m (Luong et al., 2015, "general").

    Attributes:
      W_q: (C, Q) from the query to the outputs of the encoder; the identity for their "dot".
      b_q: (C,) bias, or None.
      query: "input", what the layer before gives, or "state", h of the cell behind it.

    Raises:
      ModelError: an array has the wrong shape, or the query is not known.
    """

    W_q: Floats
    b_q: Floats | None = None
    query: str = "input"

    def __post_init__(self) -> None:
        C, _ = self._freeze("W_q", ("C", "Q"))
        if self.b_q is not None:
            self._freeze("b_q", (C,))
        self._check()

    @property
    def query_size(self) -> int:
        return int(self.W_q.shape[1])

    @property
    def memory_size(self) -> int:
        return int(self.W_q.shape[0])

    @cached_property
    def _product(self) -> Product:
        return Product(self.W_q)

    def keys(self, memory: Floats) -> None:
        return None

    def scores(self, q: Floats, keys: Floats) -> Floats:
        S, C = keys.shape[1:]
        q = self._product(q)
        if self.b_q is not None:
            q += self.b_q
        # Not matmul: its sums would depend on how many positions and queries there are.
        scores: Floats = np.einsum("skc,psc->psk", q.reshape(S, -1, C), keys, optimize=False)
        return scores


@dataclass(frozen=True, eq=False)
class Additive(Attention):
    """score(q, m) = v tanh(W_q q + W_k m + b) (Bahdanau et al., 2015).

    Attributes:
      W_q: (A, Q) from the query.
      W_k: (A, C) from the outputs of the encoder.
      v: (A,).
      b: (A,) bias, or None.
      query: "state", h of the cell behind it, or "input", what the layer before gives.

    Raises:
      ModelError: an array has the wrong shape, or the query is not known.
    """

    W_q: Floats
    W_k: Floats
    v: Floats
    b: Floats | None = None
    query: str = "state"

    def __post_init__(self) -> None:
        A, _ = self._freeze("W_q", ("A", "Q"))
        self._freeze("W_k", (A, "C"))
        self._freeze("v", (A,))
        if self.b is not None:
            self._freeze("b", (A,))
        self._check()

    @property
    def query_size(self) -> int:
        return int(self.W_q.shape[1])

    @property
    def memory_size(self) -> int:
        return int(self.W_k.shape[1])

    @cached_property
    def _of_query(self) -> Product:
        return Product(self.W_q)

    @cached_property
    def _of_memory(self) -> Product:
        return Product(self.W_k)

    def keys(self, memory: Floats) -> Floats:
        keys = self._of_memory(memory)
        if self.b is not None:
            keys += self.b
        return keys

    def scores(self, q: Floats, keys: Floats) -> Floats:
        S, A = keys.shape[1:]
        energy = self._of_query(q).reshape(S, -1, A) + keys[:, :, None]  # (P, S, K, A)
        np.tanh(energy, energy)
        scores: Floats = np.einsum("pska,a->psk", energy, self.v, optimize=False)
        return scores


class Memory:
    """What decoders read of S sources, position first and filled up with zeros.

    Attributes:
      values: (P, S, C) the outputs of the encoder.
      lengths: (S,) how many positions each source has, from 1 to P.
    """

    def __init__(self, values: Floats, lengths: Ints, keys: dict[int, Floats]) -> None:
        self.values = values
        self.lengths = lengths
        self._keys = keys

    @staticmethod
    def of(sources: Sequence[Floats], layers: Sequence[Any]) -> Memory:
        """The memory of sources (T, C) for the attention layers among ``layers``."""
        lengths = np.array([len(source) for source in sources], np.int64)
        flat = np.concatenate(sources)
        P, S = int(lengths.max()), len(sources)
        source = np.repeat(np.arange(S), lengths)
        place = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)

        def spread(rows: Floats) -> Floats:
            padded = np.zeros((P, S, rows.shape[1]), np.float32)
            padded[place, source] = rows
            return padded

        keys = {
            i: spread(made)
            for i, layer in enumerate(layers)
            if isinstance(layer, Attention) and (made := layer.keys(flat)) is not None
        }
        return Memory(spread(flat), lengths, keys)

    def keep(self, sources: Ints) -> Memory:
        """The memory of some of the sources, without positions that none of them has."""
        lengths = self.lengths[sources]
        P = int(lengths.max(initial=0))
        keys = {i: made[:P].take(sources, 1) for i, made in self._keys.items()}
        return Memory(self.values[:P].take(sources, 1), lengths, keys)

    def read(self, layer: Attention, place: int, q: Floats, owner: Ints) -> tuple[Floats, Floats]:
        """Reads the sources for n rows.

        Args:
          layer: the attention, and ``place``: where it stands in its network.
          q: (n, Q) queries.
          owner: (n,) the source of each row, ascending.

        Returns:
          c (n, C) and the weights (n, P). Each row has the same bits in any company: sums over
          the positions go from the first to the last, and what fills up adds zero.
        """
        S, C = self.values.shape[1:]
        first = np.searchsorted(owner, owner)
        rank = np.arange(len(owner)) - first
        K = int(rank.max(initial=0)) + 1
        slot = owner * K + rank
        grid = np.zeros((S * K, q.shape[1]), np.float32)
        grid[slot] = q
        scores = layer.scores(grid, self._keys.get(place, self.values))
        filled = np.arange(len(scores))[:, None] >= self.lengths
        scores[filled] = -np.inf
        scores -= scores.max(axis=0)
        weights = np.exp(scores, scores)
        weights /= np.add.accumulate(weights)[-1]
        c = np.zeros((S, K, C), np.float32)
        for weight, values in zip(weights, self.values, strict=True):
            c += weight[:, :, None] * values[:, None]
        return c.reshape(S * K, C)[slot], weights.reshape(len(weights), S * K)[:, slot].T
