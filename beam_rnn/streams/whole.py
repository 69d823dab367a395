"""Labels from networks that read whole sequences: Tag with Bidirectional layers or a CRF."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import StateError
from beam_rnn.nn.inputs import Inputs
from beam_rnn.nn.network import Network
from beam_rnn.nn.parameters import Floats, Ints
from beam_rnn.streams import columns
from beam_rnn.streams.answering import Answering
from beam_rnn.streams.answers import Said
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.entries import Entries
from beam_rnn.streams.labels import Labels, chosen, joined
from beam_rnn.streams.sequences import Sequences

Kept = list[tuple[int, Any, NDArray[Any]]]
"""The (time, value, x) of events that wait for the end of their sequence."""


class InputsCodec(Codec):
    """Writes events that wait for the end of their sequence, with their inputs."""

    def encode_pending(self, pending: list[Any]) -> bytes:
        return columns.encode(
            {
                "time": np.array([time for time, _, _ in pending], np.int64),
                "input": self._echoed(value for _, value, _ in pending),
                "x": np.stack([x for _, _, x in pending]),
            }
        )

    def decode_pending(self, data: bytes) -> list[Any]:
        named = columns.decode(data)
        kinds = {name: getattr(column, "dtype", None) for name, column in named.items()}
        if set(kinds) != {"time", "input", "x"} or kinds["time"] != np.int64 or kinds["input"]:
            raise StateError(f"events of a sequence with the columns {sorted(named)}")
        if len({len(column) for column in named.values()}) != 1:
            raise StateError("events of a sequence with columns of several lengths")
        values = self._echoes(named["input"])
        return list(zip(named["time"].tolist(), values, named["x"], strict=True))


class WholeLabelling(Answering):
    """Keeps the inputs of a sequence, and labels all of its events when it ends.

    The sequences that end together are unrolled together. One with more inputs than the limit is
    not labelled: its events leave as failed.

    Args:
      network: a network that reads whole sequences.
      codec: how keys and values are written.
      longest: most inputs of a sequence.
      columnar: whether what answers echo is one array, instead of a list.
    """

    speaks_last = True
    state_size = 0

    def __init__(
        self, network: Network, codec: Codec, *, longest: int, columnar: bool = False
    ) -> None:
        self.network = network
        self.codec = InputsCodec(*codec)
        self.fingerprint = network.fingerprint
        self.inputs: Inputs = network.inputs
        self.longest = longest
        self.columnar = columnar

    def step(self, entries: Entries, said: Said) -> None:
        parts = Sequences.cut(self.arena, entries)
        values, x = entries.values(entries.source), entries.x[entries.source]
        each = list(zip(entries.time.tolist(), values, x, strict=True))
        bounds = zip(parts.start.tolist(), parts.stop.tolist(), strict=True)
        sequences: list[Kept] = [each[start:stop] for start, stop in bounds]
        for i in np.flatnonzero(parts.goes_on).tolist():
            sequences[i] = [*self._kept(int(parts.row[i])), *sequences[i]]
        over = parts.step[parts.stop - 1] > self.longest
        ended = np.flatnonzero(parts.ends & ~over)
        self._say(parts.row[ended], [sequences[i] for i in ended.tolist()], said)
        reason = f"InputError: a sequence of more than {self.longest} inputs: it gets no labels"
        for i in np.flatnonzero(over).tolist():
            self._refuse(int(parts.row[i]), sequences[i], reason, said)
        going = parts.settle(self.arena, np.zeros((len(sequences), 0), np.float32))
        for i in going.tolist():
            row = int(parts.row[i])
            if over[i]:
                self.arena.pending.pop(row, None)
            else:
                self.arena.pending[row] = sequences[i]

    def close(self, rows: Ints, times: Ints, said: Said) -> None:
        left = rows[self.arena.steps[rows] <= self.longest]
        self._say(left, [self._kept(row) for row in left.tolist()], said)
        self.arena.reset(rows)

    def waiting(self, row: int) -> list[tuple[int, Any]]:
        return [(time, value) for time, value, _ in self._kept(row)]

    def _kept(self, row: int) -> Kept:
        """The events that wait on a row; none of a sequence that is too long."""
        kept: Kept = self.pending(row) or []
        steps = int(self.arena.steps[row])
        expected = steps if steps <= self.longest else 0
        x = np.array([x for _, _, x in kept], self.inputs.dtype)
        if len(kept) != expected or (kept and x.shape[1:] != self.inputs.shape):
            raise StateError(
                f"stream {self.arena.names([row])[0]!r}: inputs of the shape {x.shape} wait for "
                f"the end of their sequence, expected ({expected}, ...)"
            )
        return kept

    def _say(self, rows: Ints, sequences: list[Kept], said: Said) -> None:
        """Labels the events of sequences, those of a row in their order."""
        if not len(rows):
            return
        found = self.network.unroll_many([[x for _, _, x in kept] for kept in sequences])
        finite = [bool(np.isfinite(y).all()) for y, _ in found]
        if not all(finite):
            for row, kept, good in zip(rows.tolist(), sequences, finite, strict=True):
                if not good:
                    self._refuse(row, kept, "the network gives values that are not finite", said)
            sequences = list(itertools.compress(sequences, finite))
            self._say(rows[finite], sequences, said)
            return
        label, score = chosen(np.concatenate([y for y, _ in found]))
        lengths = [len(kept) for kept in sequences]
        step = np.concatenate([np.arange(1, length + 1) for length in lengths])
        times = np.array([time for kept in sequences for time, _, _ in kept], np.int64)
        values: Any = [value for kept in sequences for _, value, _ in kept]
        said.waves.extend([len(sequences)] * max(lengths))
        said.add(np.repeat(rows, lengths), times, self._labels(label, score, step, values))

    def _refuse(self, row: int, kept: Kept, reason: str, said: Said) -> None:
        for time, value, _ in kept:
            said.leave(said.bad, self.arena, row, time, reason, value)

    def join(self, parts: Sequence[Labels]) -> Labels:
        return joined(parts, self._labels, columnar=self.columnar)

    def _labels(self, label: Ints, score: Floats, step: Ints, input: Any) -> Labels:
        names = self.network.labels if self.network.output_size > 1 else None
        return Labels(label, score, step, input, names, False)
