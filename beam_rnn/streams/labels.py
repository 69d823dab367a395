"""Labels of events and of sequences: what Tag and Classify answer, step by step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from beam_rnn.errors import StateError
from beam_rnn.nn.parameters import Floats, Ints
from beam_rnn.nn.step_model import Recurrent
from beam_rnn.streams.answering import Advanced, Answering, advance, settle
from beam_rnn.streams.answers import Said
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.entries import Entries, behind_all
from beam_rnn.streams.event import Classified, Tagged


@dataclass
class Labels:
    """n labels as columns; iterating gives them as Tagged or Classified.

    Attributes:
      label: (n,) indices of classes.
      score: (n,) float32, y of the label.
      step: (n,) places in their sequences, from 1.
      input: what n answers echo, as a list or an array; empty for answers about sequences.
      names: of the classes, or None: their indices.
      per_sequence: whether they are about sequences.
    """

    label: Ints
    score: Floats
    step: Ints
    input: Any
    names: Sequence[str] | None
    per_sequence: bool

    def __len__(self) -> int:
        return len(self.label)

    def __iter__(self) -> Iterator[Tagged | Classified]:
        labels: list[Any] = self.label.tolist()
        if self.names is not None:
            names = self.names
            labels = [names[label] for label in labels]
        rest = self.score.tolist(), self.step.tolist()
        if self.per_sequence:
            return itertools.starmap(Classified, zip(labels, *rest, strict=True))
        return itertools.starmap(Tagged, zip(self.input, labels, *rest, strict=True))


class Labelling(Answering):
    """A label for each event (Tag) or sequence (Classify), from the state of a causal network.

    Args:
      network: a causal network, or a step model.
      codec: how keys and values are written.
      per_sequence: whether answers are about the sequence (Classify) or an event of it (Tag).
      emit: which answers are given.
      lookahead: how many inputs later an event is answered.
      columnar: whether what answers echo is one array, instead of a list.
    """

    def __init__(
        self,
        network: Recurrent,
        codec: Codec,
        *,
        per_sequence: bool = False,
        emit: Emit,
        lookahead: int = 0,
        columnar: bool = False,
    ) -> None:
        self.network = network
        self.codec = codec
        self.fingerprint = network.fingerprint
        self.inputs = network.inputs
        self.state_size = network.state_size
        self.sure = network.bounded
        self.gives = (network.output_size, network.labels, network.lookahead)
        self.state_layout = network.state_layout
        self.per_sequence = per_sequence
        self.emit = emit
        self.lookahead = lookahead
        self.columnar = columnar
        # A final answer is about the last event: its value waits for the end of the sequence.
        self.answers_last = emit.each != 1 and not emit.change
        self.keeps_last = self.answers_last and not per_sequence and not lookahead
        self.speaks_last = self.answers_last or lookahead > 0
        if self.answers_last and not lookahead:
            network.readout(np.zeros((1, network.state_size), np.float32))  # raises if it can not

    def close(self, rows: Ints, times: Ints, said: Said) -> Entries | None:
        if self.lookahead:
            counts = np.full(len(rows), self.lookahead)
            zeros = np.zeros((int(counts.sum()), *self.inputs.shape), self.inputs.dtype)
            return behind_all(rows, times, counts, zeros)
        if self.answers_last:
            steps = self.arena.steps
            unsaid = rows if not self.emit.each else rows[steps[rows] % self.emit.each > 0]
            when, inputs = times[np.isin(rows, unsaid)], []
            if self.keeps_last:
                kept = [self.waiting(row)[-1] for row in unsaid.tolist()]
                when = np.array([time for time, _ in kept], np.int64)
                inputs = [value for _, value in kept]
            y = self.network.readout(self.arena.a[unsaid])
            self._say(unsaid, when, inputs, y, steps[unsaid], said)
        self.arena.reset(rows)
        return None

    def step(self, entries: Entries, said: Said) -> None:
        entries = entries.padded(self.lookahead)
        done = advance(self.network, self.arena, entries)
        said.waves.extend(done.waves)
        if self.lookahead:
            at, step_at, times, inputs = self._recalled(entries, done)
        else:
            at, step_at, times, inputs = np.arange(len(entries)), done.step, entries.time, None
        usual = self.emit.change or (self.emit.each and step_at % max(self.emit.each, 1) == 0)
        usual = np.broadcast_to(usual, at.shape)
        keep = np.flatnonzero(usual | entries.end[at]) if self.answers_last else np.arange(len(at))
        y = self._head(done.h, done.place[at[keep]])
        what: Any = []
        if self.per_sequence:  # an answer is of the time that brought it
            times = np.where(usual, entries.time[at], entries.until[at])
        elif inputs is None and self.columnar:
            what = entries.x[entries.source[keep]]
        elif inputs is None:
            what = entries.values(entries.source[keep])
        else:
            what = [inputs[i] for i in keep.tolist()]
        self._say(entries.row[at[keep]], times[keep], what, y, step_at[keep], said)

        going = settle(self.arena, entries, done.step)
        if self.keeps_last:
            values = entries.values(entries.source[going])
            rows, when = entries.row[going].tolist(), entries.time[going].tolist()
            for row, time, value in zip(rows, when, values, strict=True):
                self.arena.pending[row] = [(time, value)]

    def _head(self, h: Floats, rows: Ints) -> Floats:
        """y of some rows of h: what is narrower, and of nearly all rows, is brought into order."""
        if self.network.output_size < h.shape[1] and 2 * len(rows) > len(h):
            return self.network.head(h)[rows]
        return self.network.head(h[rows])

    def _recalled(self, entries: Entries, done: Advanced) -> tuple[Ints, Ints, Ints, list[Any]]:
        """With a look-ahead: which entries give an answer, and to which earlier event."""
        at: list[int] = []
        times: list[int] = []
        inputs: list[Any] = []
        queue: list[Any] = []
        parts = (
            entries.row,
            entries.time,
            entries.pad,
            entries.source,
            entries.first,
            done.begins,
            done.step,
        )
        for i, (row, time, pad, source, is_first, starts, n) in enumerate(
            zip(*(part.tolist() for part in parts), strict=True)
        ):
            if is_first or starts:
                queue = self.waiting(row) if is_first else []
                self.arena.pending[row] = queue
            if not pad:
                queue.append((time, entries.value(source)))
            if n > self.lookahead:
                at.append(i)
                answered = queue.pop(0)
                times.append(answered[0])
                inputs.append(answered[1])
        places = np.array(at, np.int64)
        return places, done.step[places] - self.lookahead, np.array(times, np.int64), inputs

    def _say(
        self, rows: Ints, times: Ints, inputs: Any, y: Floats, steps: Ints, said: Said
    ) -> None:
        """Says of ``rows``, those of a row together and in their order, what y says."""
        label, score = chosen(y)
        if self.emit.change and len(rows):
            first = np.r_[True, rows[1:] != rows[:-1]]
            before = np.where(first, self.arena.label[rows], np.r_[-1, label[:-1]])
            lasts = np.append(np.flatnonzero(first)[1:], len(rows)) - 1
            self.arena.label[rows[lasts]] = label[lasts]
            changed = np.flatnonzero((label != before) | (steps == 1))
            rows, times, steps = rows[changed], times[changed], steps[changed]
            label, score = label[changed], score[changed]
            if isinstance(inputs, np.ndarray):
                inputs = inputs[changed]
            elif inputs:
                inputs = [inputs[i] for i in changed.tolist()]
        said.add(rows, times, self._labels(label, score, steps, inputs))

    def waiting(self, row: int) -> list[tuple[int, Any]]:
        pending: list[tuple[int, Any]] = self.pending(row) or []
        expected = min(int(self.arena.steps[row]), self.lookahead or 1)
        if len(pending) != expected:
            raise StateError(
                f"stream {self.arena.names([row])[0]!r}: {len(pending)} events wait for their "
                f"answer, expected {expected}: its state was written with another emit or lookahead"
            )
        return pending

    def join(self, parts: Sequence[Labels]) -> Labels:
        return joined(parts, self._labels, columnar=self.columnar)

    def _labels(self, label: Ints, score: Floats, step: Ints, input: Any) -> Labels:
        return Labels(
            label,
            score,
            step,
            input,
            self.network.labels if self.network.output_size > 1 else None,
            self.per_sequence,
        )


def joined(
    parts: Sequence[Labels], make: Callable[[Ints, Floats, Ints, Any], Labels], *, columnar: bool
) -> Labels:
    """Labels in parts as one, made by ``make``; what they echo as an array if ``columnar``."""
    inputs: Any = [part.input for part in parts if len(part.input)]
    if columnar and inputs:
        inputs = np.concatenate([np.asarray(part) for part in inputs])
    else:
        inputs = [value for part in inputs for value in part]
    nothing = np.zeros(0, np.int64)
    return make(
        np.concatenate([nothing, *(part.label for part in parts)]),
        np.concatenate([np.zeros(0, np.float32), *(part.score for part in parts)]),
        np.concatenate([nothing, *(part.step for part in parts)]),
        inputs,
    )


def chosen(y: Floats) -> tuple[Ints, Floats]:
    """The label of each row of y (n, C) and its score.

    One output alone is the probability of the second of two classes.
    """
    if y.shape[1] == 1:
        return (y[:, 0] >= 0.5).astype(np.int64), y[:, 0]
    label: Ints = y.argmax(axis=1)
    return label, y[np.arange(len(y)), label]
