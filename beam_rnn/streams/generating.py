"""Tokens that go on from what was read: what Generate answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beam_rnn.nn.decode import Sampling
from beam_rnn.nn.draws import stream_numbers
from beam_rnn.nn.generate import generate
from beam_rnn.nn.inputs import Inputs, rectangular
from beam_rnn.nn.network import Network
from beam_rnn.nn.parameters import Floats, Ints
from beam_rnn.streams.answering import Answering
from beam_rnn.streams.answers import Said
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.entries import Entries, behind_all
from beam_rnn.streams.event import Generated
from beam_rnn.streams.feature import Feature, Piece
from beam_rnn.streams.sequences import Sequences
from beam_rnn.streams.waves import waves

DRAW = -1
"""In the place of an id: here tokens are drawn, and read."""


@dataclass(frozen=True)
class IdsAndDraws(Inputs):
    """Ids, or DRAW."""

    def check(self, x: ArrayLike) -> NDArray[Any]:
        rows = rectangular("x", x)
        if rows.dtype.kind not in "iu" or rows.shape[1:] != self.shape:
            return super().check(rows)
        draws = rows == DRAW
        ids = super().check(np.where(draws, 0, rows))
        ids[draws] = DRAW
        return ids


class Tick(NamedTuple):
    """What a draw echoes: the event's value, and how many tokens are drawn."""

    value: Any
    more: int


@dataclass(frozen=True)
class Ticks:
    """A feature behind whose every value tokens are drawn.

    Attributes:
      x: value -> an id, a list of ids, or None: nothing is read; or a feature.
      more: how many tokens are drawn then, or value -> how many.
    """

    x: Callable[[Any], Any] | Feature | None
    more: int | Callable[[Any], int]

    def feed(self, value: Any, memory: bytes) -> tuple[list[Piece], bytes]:
        """The inputs of the value, and a draw behind them."""
        if isinstance(self.x, Feature):
            pieces, memory = self.x.feed(value, memory)
        else:
            ids = value if self.x is None else self.x(value)
            ids = [] if ids is None else np.atleast_1d(rectangular("x", ids)).tolist()
            pieces = [(value, id) for id in ids]
        more = self.more(value) if callable(self.more) else self.more
        return [*pieces, *([(Tick(value, more), DRAW)] if more > 0 else [])], memory

    def finish(self, memory: bytes) -> list[Piece]:
        """What the feature still has; nothing is drawn behind it."""
        return self.x.finish(memory) if isinstance(self.x, Feature) else []


class Generating(Answering):
    """Reads what comes, draws where it is told to, and reads what it drew.

    Args:
      network: reads what it gives.
      codec: how keys and values are written.
      sampling: how a token is drawn.
      seed: a draw is a function of the seed, the stream, and the place in its sequence.
      start: an id that is read before each sequence, or None.
      stop: the id that ends a sequence when it is drawn, or None.
      limit: at the end of a sequence at most so many tokens are drawn; 0: only where DRAW says so.
    """

    def __init__(
        self,
        network: Network,
        codec: Codec,
        *,
        sampling: Sampling,
        seed: int,
        start: int | None = None,
        stop: int | None = None,
        limit: int = 0,
    ) -> None:
        self.network = network
        self.codec = codec
        self.fingerprint = network.fingerprint
        self.inputs = network.inputs
        if not limit:
            self.inputs = IdsAndDraws(network.inputs.shape, network.inputs.limits)
        self.state_size = network.state_size
        self.speaks_last = limit > 0
        self.needs = "prompt" if limit else None  # ticks need none
        self.sampling = sampling
        self.seed = seed
        self.stop = stop
        self.limit = limit
        self.initial: Floats | None = None
        if start is not None:
            self.initial = network.step([start], network.initial_state(1))[1]

    def step(self, entries: Entries, said: Said) -> None:
        if self.limit:
            counts = (entries.end & ~entries.pad).astype(np.int64)
            entries = entries.followed_by(counts, np.full(int(counts.sum()), DRAW))
        parts = Sequences.cut(self.arena, entries)
        a = parts.states(self.arena, self.initial)
        count = np.where(parts.goes_on, self.arena.steps[parts.row], 0)
        x = entries.x[entries.source]
        draws = x == DRAW
        before = np.cumsum(draws) - draws
        turn = before - before[parts.start][parts.of]  # draws before an entry in its sequence
        marks: list[Ints] = []
        answers: list[Generated] = []
        nowhere: list[int] = []
        for i in range(int(turn.max(initial=-1)) + 1):
            now = turn == i
            read = np.flatnonzero(now & ~draws)
            self._read(x[read], parts.of[read], a, count, said)
            at = np.flatnonzero(now & draws)
            if self.initial is None:
                empty = count[parts.of[at]] == 0
                nowhere += at[empty].tolist()
                at = at[~empty]
            marks.append(at)
            answers += self._draw(entries, at, parts, a, count)
        for place in nowhere:
            row, time = int(entries.row[place]), int(entries.time[place])
            reason = (
                "InputError: an empty prompt: nothing was read to go on from, and no start is set"
            )
            value = entries.value(int(entries.source[place])).value
            said.leave(said.bad, self.arena, row, time, reason, value)
        places = np.concatenate([np.zeros(0, np.int64), *marks])
        order = places.argsort()
        places = places[order]
        said.add(entries.row[places], entries.time[places], [answers[i] for i in order.tolist()])
        parts.settle(self.arena, a, count)

    def _read(self, x: NDArray[Any], of: Ints, a: Floats, count: Ints, said: Said) -> None:
        """Steps inputs (k,) of the sequences ``of``, in place."""
        if not len(x):
            return
        first = np.r_[True, of[1:] != of[:-1]]
        order, cut = waves(of, first, np.zeros(len(of), np.bool_))
        self.network.advance(x[order], a, cut)
        np.add.at(count, of, 1)
        said.waves.extend(wave.size for wave in cut)

    def _draw(
        self, entries: Entries, at: Ints, parts: Sequences, a: Floats, count: Ints
    ) -> list[Generated]:
        """Draws at the entries ``at``, one for a sequence; ``a`` and ``count`` in place."""
        if not len(at):
            return []
        of = parts.of[at]
        told = [self.limit] * len(at)
        if not self.limit:
            told = [entries.value(source).more for source in entries.source[at].tolist()]
        states = a[of]
        drawn = generate(
            self.network,
            states,
            np.array(told, np.int64),
            self.sampling,
            seed=self.seed,
            streams=stream_numbers([self.arena.streams[row] for row in entries.row[at].tolist()]),
            steps=count[of],
            stop=self.stop,
        )
        steps = count[of] + [len(tokens) for tokens in drawn.tokens]
        a[of], count[of] = states, steps
        over = of[drawn.stopped]
        a[over] = 0 if self.initial is None else self.initial
        count[over] = 0
        vocabulary = self.network.vocabulary
        columns = drawn.tokens, drawn.score.tolist(), steps.tolist(), drawn.stopped.tolist()
        answers = []
        for tokens, score, step, stopped in zip(*columns, strict=True):
            output: list[Any] = tokens.tolist()
            if vocabulary is not None:
                output = [vocabulary[token] for token in output]
            answers.append(Generated(output, score, step, stopped))
        return answers

    def close(self, rows: Ints, times: Ints, said: Said) -> Entries | None:
        if self.limit:
            return behind_all(rows, times, np.ones(len(rows), np.int64), np.full(len(rows), DRAW))
        self.arena.reset(rows)
        return None

    def join(self, parts: Sequence[list[Generated]]) -> list[Generated]:
        return [answer for part in parts for answer in part]
