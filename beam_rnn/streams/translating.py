"""A sequence for each sequence: what Translate answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

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

_OUTPUTS: columns.Kinds = {"outputs": ("f4", 2)}


class OutputsCodec(Codec):
    """Writes what attention will read: outputs of the encoder, as arrays (T, C) to be joined."""

    def encode_pending(self, pending: list[Any]) -> bytes:
        return columns.encode({"outputs": np.concatenate(pending)})

    def decode_pending(self, data: bytes) -> list[Any]:
        named = columns.decode(data, kinds=_OUTPUTS)
        if not named:
            raise StateError("outputs of an encoder without their column")
        return [named["outputs"]]


class Translating(Answering):
    """The encoder steps as inputs come; at the end of a sequence the decoder writes.

    Inputs beyond the limit are refused, and their sequence gets no answer.

    Args:
      model: both.
      codec: how keys and values are written.
      search: how what is written is looked for.
      longest: most inputs of a sequence.
    """

    needs = "source"

    def __init__(
        self, model: EncoderDecoder, codec: Codec, *, search: Search, longest: int
    ) -> None:
        self.model = model
        self.codec = OutputsCodec(*codec)
        self.fingerprint = model.fingerprint
        self.inputs = model.inputs
        self.state_size = model.encoder.state_size
        self.speaks_last = True
        self.search = search
        self.longest = longest

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
        outputs = self._outputs(parts, h, lengths)
        done = np.flatnonzero(parts.ends & (lengths <= self.longest))
        sources = [np.concatenate(outputs[i]) for i in done.tolist()] if outputs else None
        self._say(parts.row[done], parts.until[done], a[done], sources, lengths[done], said)
        for at in np.flatnonzero(over).tolist():
            self._refuse(entries, at, said)
        going = parts.settle(self.arena, a)
        if outputs is not None:
            for i in going.tolist():
                self.arena.pending[int(parts.row[i])] = outputs[i]

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
            if self.model.attends:
                sources = [np.concatenate(self._kept(row)) for row in mine.tolist()]
            self._say(mine, times[ready], self.arena.a[mine], sources, steps[ready], said)
            self.arena.reset(mine)
        if ready.all():
            return None
        rest = ~ready
        return behind_all(rows[rest], times[rest], counts[rest], np.concatenate(tails))

    def _outputs(self, parts: Sequences, h: Floats, lengths: Ints) -> list[list[Floats]] | None:
        """What attention will read of each sequence, in parts; nothing of one that is too long."""
        if not self.model.attends:
            return None
        y = self.model.encoder.head(h)
        outputs: list[list[Floats]] = []
        columns_of_q = (parts.start, parts.stop, parts.row, parts.goes_on, lengths)
        for start, stop, row, goes_on, length in zip(
            *(column.tolist() for column in columns_of_q), strict=True
        ):
            before = self._kept(row) if goes_on else []
            outputs.append([*before, y[start:stop]] if length <= self.longest else [])
        return outputs

    def _kept(self, row: int) -> list[Floats]:
        """The outputs that wait on a row."""
        kept: list[Floats] = self.pending(row) or []
        width = self.model.encoder.output_size
        wanted = int(self.arena.steps[row])
        if any(part.shape[1:] != (width,) for part in kept) or (
            wanted <= self.longest and sum(map(len, kept)) != wanted
        ):
            raise StateError(
                f"stream {self.arena.names([row])[0]!r}: outputs of the encoder of the shape "
                f"({sum(map(len, kept))}, ...), expected ({wanted}, {width})"
            )
        return kept

    def _say(
        self,
        rows: Ints,
        times: Ints,
        a: Floats,
        sources: list[Floats] | None,
        lengths: Ints,
        said: Said,
    ) -> None:
        """Writes what follows from n sources, those of a row in their order.

        Args:
          rows, times, a, lengths: (n, ...) of each.
          sources: what attention reads of each, or None without attention.
        """
        if not len(rows):
            return
        found = self.model.write(a, sources, self.search)
        answers = [
            answer
            for hypotheses, length in zip(found, lengths.tolist(), strict=True)
            for answer in translated(hypotheses, length, self.model.vocabulary)
        ]
        counts = np.array([len(hypotheses) for hypotheses in found])
        said.add(np.repeat(rows, counts), np.repeat(times, counts), answers)

    def _refuse(self, entries: Entries, at: int, said: Said) -> None:
        reason = f"InputError: a source of more than {self.longest} inputs: it gets no answer"
        value = entries.value(int(entries.source[at]))
        row, time = int(entries.row[at]), int(entries.time[at])
        said.leave(said.bad, self.arena, row, time, reason, value)

    def join(self, parts: Sequence[list[Translated]]) -> list[Translated]:
        return [answer for part in parts for answer in part]


def translated(
    hypotheses: Sequence[Hypothesis], length: int, vocabulary: Sequence[str] | None
) -> Iterator[Translated]:
    """What was written for a source of ``length`` inputs, the best first."""
    for rank, (tokens, score, alignment) in enumerate(hypotheses, 1):
        output: list[Any] = tokens.tolist()
        if vocabulary is not None:
            output = [vocabulary[token] for token in output]
        places = [] if alignment is None else (alignment + 1).tolist()
        yield Translated(output, score, rank, places, length)
