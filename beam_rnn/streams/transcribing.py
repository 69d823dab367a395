"""Text of frames: what Transcribe answers while sound comes and when a piece of speech ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np

from beam_rnn.errors import OptionError, StateError
from beam_rnn.nn.ctc import CTC, Heard, Prefix
from beam_rnn.nn.decode import log_probabilities, log_softmax
from beam_rnn.nn.network import Network
from beam_rnn.nn.parameters import Floats, Ints, fingerprint
from beam_rnn.nn.step_model import Recurrent
from beam_rnn.streams import columns
from beam_rnn.streams.answering import Answering, advance, settle
from beam_rnn.streams.answers import Said
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.entries import Entries, behind_all
from beam_rnn.streams.event import Transcribed


@dataclass(frozen=True)
class Endpoint:
    """When a piece of speech ends: the rules and defaults of Kaldi and sherpa.

    Attributes:
      silence: seconds without a label after which a piece in which nothing was said is dropped.
      after_speech: seconds without a label that end a piece in which something was said.
      longest: seconds after which a piece ends in any case, so that state is bounded.

    Raises:
      OptionError: a number is not above 0.
    """

    silence: float = 2.4
    after_speech: float = 1.2
    longest: float = 20.0

    def __post_init__(self) -> None:
        if not min(self.silence, self.after_speech, self.longest) > 0:
            raise OptionError(f"{self}: expected seconds above 0")

    def reached(self, heard: Heard, seconds: float, *, said: bool) -> bool:
        """Whether a piece of frames, each ``seconds`` long, ends here."""
        quiet = self.after_speech if said else self.silence
        # Rounded, so that 0.1 s is 10 frames of 0.01 s.
        return heard.silent >= round(quiet / seconds) or heard.frames >= round(
            self.longest / seconds
        )


@dataclass(frozen=True)
class Hearing:
    """What waits of a stream: the piece of speech that is being heard.

    Attributes:
      begin: the place of its first frame in the sequence, from 0.
      heard: the state of the decoder.
    """

    begin: int = 0
    heard: Heard = field(default_factory=Heard)

    def encode(self) -> bytes:
        """Writes it; what the prefixes have in common is written once."""
        heard, prefixes = self.heard, self.heard.prefixes
        shared = _shared(prefixes)
        first = prefixes[0]
        labels = [first.labels[:shared], *(prefix.labels[shared:] for prefix in prefixes)]
        at = [first.at[:shared], *(prefix.at[shared:] for prefix in prefixes)]
        scores = np.array([prefix[2:] for prefix in prefixes], np.float64)
        return columns.encode(
            {
                "frames": np.array([self.begin, heard.frames, heard.silent], np.int64),
                "lengths": np.array([len(part) for part in labels], np.int64),
                "labels": np.fromiter(chain.from_iterable(labels), np.int32),
                "at": np.fromiter(chain.from_iterable(at), np.int32),
                "scores": scores.view(np.int64),
            }
        )

    @staticmethod
    def decode(data: bytes, classes: int) -> Hearing:
        """Reads what ``encode`` wrote.

        Raises:
          StateError: the bytes are broken, or of another number of classes.
        """
        named = columns.decode(data, kinds=_KINDS)
        if len(named) != len(_KINDS):
            raise StateError(f"a piece of speech with the columns {sorted(named)}")
        frames, lengths, scores = named["frames"], named["lengths"], named["scores"]
        labels, at = named["labels"], named["at"]
        n = len(lengths) - 1
        fits = (
            frames.shape == (3,)
            and (frames >= 0).all()
            and n >= 1
            and scores.shape == (n, 3)
            and (lengths >= 0).all()
            and lengths.sum() == len(labels) == len(at)
            and ((labels >= 0) & (labels < classes)).all()
        )
        if not fits:
            raise StateError("a piece of speech whose columns do not fit together")
        begin, read, silent = frames.tolist()
        stops = np.cumsum(lengths).tolist()
        parts = [
            (tuple(labels[low:high].tolist()), tuple(at[low:high].tolist()))
            for low, high in zip([0, *stops], stops, strict=False)
        ]
        (first, first_at), *rest = parts
        values = np.ascontiguousarray(scores).view(np.float64).tolist()
        prefixes = [
            Prefix(first + more, first_at + more_at, *value)
            for (more, more_at), value in zip(rest, values, strict=True)
        ]
        return Hearing(begin, Heard(read, silent, prefixes))


_KINDS: columns.Kinds = {
    **dict.fromkeys(("frames", "lengths"), ("i8", 1)),
    **dict.fromkeys(("labels", "at"), ("i4", 1)),
    "scores": ("i8", 2),
}


def _shared(prefixes: Sequence[Prefix]) -> int:
    """How many labels at the beginning all prefixes have in common, with their frames."""
    pairs = [list(zip(prefix.labels, prefix.at, strict=True)) for prefix in prefixes]
    low, high = min(pairs), max(pairs)
    for place, (a, b) in enumerate(zip(low, high, strict=False)):
        if a != b:
            return place
    return len(low)


class _Codec(Codec):
    """What waits is a piece of speech."""

    def encode_pending(self, pending: Any) -> bytes:
        data: bytes = pending.encode()
        return data


class Transcribing(Answering):
    """Text of frames (many-to-many, Ty < Tx), from the state of a causal network.

    Args:
      model: gives for each frame the probabilities of the labels and the blank, or their
        logarithms up to a constant.
      codec: how keys and values are written.
      decoder: makes text of them.
      endpoint: when a piece of speech ends.
      seconds: between two frames.
      emit: which partial texts are given.
      lookahead: how many inputs later y of a frame comes.
    """

    def __init__(
        self,
        model: Recurrent,
        codec: Codec,
        *,
        decoder: CTC,
        endpoint: Endpoint,
        seconds: float,
        emit: Emit,
        lookahead: int = 0,
    ) -> None:
        self.model = model
        self.codec = _Codec(*codec)
        self.decoder = decoder
        self.fingerprint = fingerprint(
            model.fingerprint, decoder.labels, decoder.blank, decoder.space, decoder.words
        )
        self.inputs = model.inputs
        self.state_size = model.state_size
        self.sure = model.bounded
        self.gives = (model.output_size, model.labels, model.lookahead)
        self.state_layout = model.state_layout
        self.endpoint = endpoint
        self.seconds = seconds
        self.emit = emit
        self.lookahead = lookahead
        self.speaks_last = True

    def step(self, entries: Entries, said: Said) -> None:
        entries = entries.padded(self.lookahead)
        done = advance(self.model, self.arena, entries)
        heard = np.flatnonzero(done.step > self.lookahead)
        log_p = self._log_p(self.model.head(done.h[done.place[heard]]))
        frames = iter(self.decoder.frames(log_p))
        hearing, over, texts = Hearing(), False, _Texts()
        waiting: dict[int, Hearing] = {}
        parts = (
            entries.row, entries.time, entries.until, entries.end, entries.first, done.begins,
            done.step,
        )  # fmt: skip
        for row, time, until, end, first, begins, step in zip(
            *(part.tolist() for part in parts), strict=True
        ):
            if first or begins:
                hearing = self._hearing(row) if first else Hearing()
                over = self._over(hearing.heard)
            if step > self.lookahead:
                frame = step - self.lookahead
                # A piece that is over is kept until a frame follows: the end may come instead.
                if over:
                    hearing = Hearing(frame - 1)
                before = hearing.heard
                hearing = replace(hearing, heard=self.decoder.hear(before, next(frames)))
                over = self._over(hearing.heard)
                if over and not end:
                    if self._said(hearing.heard):
                        texts.add(row, time, self._text(hearing, frame, final=True))
                elif not end and self._is_told(before, hearing.heard, frame):
                    texts.add(row, time, self._text(hearing, frame))
            if end:
                texts.add(row, until, self._text(hearing, step - self.lookahead, final=True))
            waiting[row] = hearing
        said.waves.extend(done.waves)
        texts.say(said)
        going = settle(self.arena, entries, done.step)
        for row in entries.row[going].tolist():
            self.arena.pending[row] = waiting[row]

    def close(self, rows: Ints, times: Ints, said: Said) -> Entries | None:
        if self.lookahead:
            counts = np.full(len(rows), self.lookahead)
            zeros = np.zeros((int(counts.sum()), *self.inputs.shape), self.inputs.dtype)
            return behind_all(rows, times, counts, zeros)
        texts = _Texts()
        for row, time in zip(rows.tolist(), times.tolist(), strict=True):
            hearing = self._hearing(row)
            if not (self._over(hearing.heard) and self._said(hearing.heard)):  # told already
                frame = int(self.arena.steps[row])
                texts.add(row, time, self._text(hearing, frame, final=True))
        texts.say(said)
        self.arena.reset(rows)
        return None

    def join(self, parts: Sequence[list[Transcribed]]) -> list[Transcribed]:
        return [text for part in parts for text in part]

    def _log_p(self, y: Floats) -> Floats:
        if isinstance(self.model, Network):
            return log_probabilities(self.model, y)
        return log_softmax(y)

    def _hearing(self, row: int) -> Hearing:
        waits = self.arena.pending.get(row)
        if isinstance(waits, Hearing):
            return waits
        return Hearing() if waits is None else Hearing.decode(waits, len(self.decoder.labels))

    def _over(self, heard: Heard) -> bool:
        return self.endpoint.reached(heard, self.seconds, said=self._said(heard))

    def _said(self, heard: Heard) -> bool:
        return self.decoder.says(heard)

    def _is_told(self, before: Heard, after: Heard, frame: int) -> bool:
        """Whether a partial text is given."""
        if self.emit.each:
            return frame % self.emit.each == 0
        if not self.emit.change or before.prefixes[0].labels == after.prefixes[0].labels:
            return False
        return self.decoder.text(before).text != self.decoder.text(after).text

    def _text(self, hearing: Hearing, frame: int, *, final: bool = False) -> Transcribed:
        """The text up to a frame, from 1."""
        text, score, at = self.decoder.text(hearing.heard, final=final)
        times = [(hearing.begin + place) * self.seconds for place in at]
        start = times[0] if times else hearing.begin * self.seconds
        return Transcribed(text, final, score, start, frame * self.seconds, times, frame)


class _Texts:
    """Collects texts."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.times: list[int] = []
        self.texts: list[Transcribed] = []

    def add(self, row: int, time: int, text: Transcribed) -> None:
        self.rows.append(row)
        self.times.append(time)
        self.texts.append(text)

    def say(self, said: Said) -> None:
        if self.texts:
            said.add(np.array(self.rows, np.int64), np.array(self.times, np.int64), self.texts)
