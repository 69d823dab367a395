"""A sequence for each sequence: what Translate answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from beam_rnn.errors import StateError
from beam_rnn.nn.beam import Hypothesis, Search
from beam_rnn.nn.parameters import Floats, Ints
from beam_rnn.nn.seq2seq import EncoderDecoder
from beam_rnn.streams import columns
from beam_rnn.streams.answering import Answering
from beam_rnn.streams.answers import Said
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.entries import Entries, behind_all
from beam_rnn.streams.event import Translated
from beam_rnn.streams.sequences import Sequences

_KINDS: columns.Kinds = {"outputs": ("f4", 2), "inputs": ("i8", 1)}


class Read(NamedTuple):
    """A part of a source, t inputs long.

    Attributes:
      outputs: (t, C) of the encoder, which attention will read, or None.
      inputs: (t,) ids, if they are given back, or None.
    """

    outputs: Floats | None
    inputs: Ints | None

    @staticmethod
    def joined(parts: Sequence[Read]) -> Read:
        """Parts that follow each other, as one."""
        outputs = [part.outputs for part in parts if part.outputs is not None]
        inputs = [part.inputs for part in parts if part.inputs is not None]
        return Read(
            np.concatenate(outputs) if outputs else None,
            np.concatenate(inputs) if inputs else None,
        )


class OutputsCodec(Codec):
    """Writes what was read of a source, as the parts of it, each a ``Read``."""

    def encode_pending(self, pending: list[Any]) -> bytes:
        whole = Read.joined(pending)._asdict()
        return columns.encode({name: part for name, part in whole.items() if part is not None})

    def decode_pending(self, data: bytes) -> list[Any]:
        named = columns.decode(data, kinds=_KINDS)
        if not named:
            raise StateError("outputs of an encoder without their column")
        return [Read(named.get("outputs"), named.get("inputs"))]


class Translating(Answering):
    """The encoder steps as inputs come; at the end of a sequence the decoder writes.

    Inputs beyond the limit are refused, and their sequence gets no answer.

    Args:
      model: both.
      codec: how keys and values are written.
      search: how what is written is looked for.
      longest: most inputs of a sequence.
      source: whether answers have what was read.
    """

    needs = "source"

    def __init__(
        self,
        model: EncoderDecoder,
        codec: Codec,
        *,
        search: Search,
        longest: int,
        source: bool = False,
    ) -> None:
        self.model = model
        self.codec = OutputsCodec(*codec)
        self.fingerprint = model.fingerprint
        self.inputs = model.inputs
        self.state_size = model.encoder.state_size
        self.speaks_last = True
        self.search = search
        self.longest = longest
        self.source = source
        self.keeps = source or model.attends

    def step(self, entries: Entries, said: Said) -> None:
        parts = Sequences.cut(self.arena, entries)
        lengths = parts.inputs
        over = (parts.step > self.longest) & ~entries.pad
        # What closes a source, behind the last event of each that ends here.
        ends = parts.ends & (lengths <= self.longest) & ~entries.pad[parts.stop - 1]
        tails = [self.model.closing(length) for length in lengths[ends].tolist()]
        if any(map(len, tails)):
            counts = np.zeros(len(entries), np.int64)
            counts[parts.stop[ends] - 1] = [len(tail) for tail in tails]
            parts = Sequences.cut(self.arena, entries.followed_by(counts, np.concatenate(tails)))
        a = parts.states(self.arena)
        h = parts.advance(self.model.encoder, a, said)
        read = self._read(parts, h, lengths)
        done = np.flatnonzero(parts.ends & (lengths <= self.longest))
        sources = [Read.joined(read[i]) for i in done.tolist()] if read else None
        self._say(parts.row[done], parts.until[done], a[done], sources, lengths[done], said)
        for at in np.flatnonzero(over).tolist():
            self._refuse(entries, at, said)
        going = parts.settle(self.arena, a)
        if read is not None:
            for i in going.tolist():
                self.arena.pending[int(parts.row[i])] = read[i]

    def close(self, rows: Ints, times: Ints, said: Said) -> Entries | None:
        steps = self.arena.steps[rows]
        self.arena.reset(rows[steps > self.longest])
        left = steps <= self.longest
        rows, times, steps = rows[left], times[left], steps[left]
        tails = [self.model.closing(length) for length in steps.tolist()]
        counts = np.array([len(tail) for tail in tails], np.int64)
        ready = counts == 0
        if ready.any():
            mine = rows[ready]
            sources = None
            if self.keeps:
                sources = [Read.joined(self._kept(row)) for row in mine.tolist()]
            self._say(mine, times[ready], self.arena.a[mine], sources, steps[ready], said)
            self.arena.reset(mine)
        if ready.all():
            return None
        rest = ~ready
        return behind_all(rows[rest], times[rest], counts[rest], np.concatenate(tails))

    def _read(self, parts: Sequences, h: Floats, lengths: Ints) -> list[list[Read]] | None:
        """What is kept of each sequence, in parts; nothing of one that is too long."""
        if not self.keeps:
            return None
        y = self.model.encoder.head(h) if self.model.attends else None
        x = parts.entries.x[parts.entries.source] if self.source else None
        read: list[list[Read]] = []
        columns_of_q = (parts.start, parts.stop, parts.row, parts.goes_on, lengths)
        for start, stop, row, goes_on, length in zip(
            *(column.tolist() for column in columns_of_q), strict=True
        ):
            before = self._kept(row) if goes_on else []
            now = Read(
                None if y is None else y[start:stop],
                None if x is None else x[start:stop].astype(np.int64),
            )
            read.append([*before, now] if length <= self.longest else [])
        return read

    def _kept(self, row: int) -> list[Read]:
        """What waits on a row."""
        kept: list[Read] = self.pending(row) or []
        wanted = int(self.arena.steps[row])
        if wanted > self.longest:
            return kept
        whole, width = Read.joined(kept), self.model.encoder.output_size
        shapes = [None if part is None else part.shape for part in whole]
        expected = [
            (wanted, width) if self.model.attends else None,
            (wanted,) if self.source else None,
        ]
        if shapes != expected:
            raise StateError(
                f"stream {self.arena.names([row])[0]!r}: of a source, outputs and inputs of the "
                f"shapes {shapes}, expected {expected}"
            )
        return kept

    def _say(
        self,
        rows: Ints,
        times: Ints,
        a: Floats,
        sources: list[Read] | None,
        lengths: Ints,
        said: Said,
    ) -> None:
        """Writes what follows from n sources, those of a row in their order.

        Args:
          rows, times, a, lengths: (n, ...) of each.
          sources: what was kept of each, or None if nothing is.
        """
        if not len(rows):
            return
        outputs = [read.outputs for read in sources or [] if read.outputs is not None]
        found = self.model.write(a, outputs or None, self.search)
        inputs = [read.inputs for read in sources or []] or [None] * len(rows)
        answers = [
            answer
            for hypotheses, length, ids in zip(found, lengths.tolist(), inputs, strict=True)
            for answer in translated(
                hypotheses, length, self.model.vocabulary, self._names(ids, length)
            )
        ]
        counts = np.array([len(hypotheses) for hypotheses in found])
        said.add(np.repeat(rows, counts), np.repeat(times, counts), answers)

    def _names(self, ids: Ints | None, length: int) -> Sequence[Any]:
        """The inputs of a source of this length, if they were kept."""
        if ids is None:
            return ()
        read: list[Any] = ids[:length].tolist()
        known = self.model.encoder.vocabulary
        return read if known is None else [known[id] for id in read]

    def _refuse(self, entries: Entries, at: int, said: Said) -> None:
        reason = f"InputError: a source of more than {self.longest} inputs: it gets no answer"
        value = entries.value(int(entries.source[at]))
        row, time = int(entries.row[at]), int(entries.time[at])
        said.leave(said.bad, self.arena, row, time, reason, value)

    def join(self, parts: Sequence[list[Translated]]) -> list[Translated]:
        return [answer for part in parts for answer in part]


def translated(
    hypotheses: Sequence[Hypothesis],
    length: int,
    vocabulary: Sequence[str] | None,
    source: Sequence[Any] = (),
) -> Iterator[Translated]:
    """What was written for a source of ``length`` inputs, the best first."""
    for rank, (tokens, score, alignment) in enumerate(hypotheses, 1):
        output: list[Any] = tokens.tolist()
        if vocabulary is not None:
            output = [vocabulary[token] for token in output]
        places = [] if alignment is None else (alignment + 1).tolist()
        yield Translated(output, score, rank, places, length, source)
