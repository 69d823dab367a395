"""Transcribe: frames of sound of many streams in, text out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from apache_beam import coders

from beam_rnn.errors import OptionError
from beam_rnn.nn import Recurrent
from beam_rnn.nn.ctc import CTC
from beam_rnn.nn.network import MOST_LOOKAHEAD
from beam_rnn.streams.answering import Answering
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.event import Transcribed
from beam_rnn.streams.transcribing import Endpoint, Transcribing
from beam_rnn.transforms.streams import OverStreams

coders.registry.register_coder(Transcribed, coders.RowCoder)


@dataclass
class Transcribe(OverStreams):
    """Text of frames, by CTC (many-to-many, Ty < Tx).

    ``events`` is a keyed PCollection, tuple[K, V]: K names the stream, V is a frame, or with an
    audio feature as ``x`` a chunk of sound of any length. Gives tuple[K, Transcribed]: texts that
    may change while something is said, and for each piece of speech a final one, when the endpoint
    is reached or the sequence ends. What could not be stepped is in its attribute ``failed``. The
    hidden state goes on from piece to piece of a sequence.

    Besides the arguments below: ``emit``, which texts are given that may change: "change" when the
    text does, "each" or ``every(n)`` frames, "final" none; ``decoder`` (default: ``CTC`` of the
    model's labels, of which "" is the blank); ``endpoint``, when a piece of speech ends;
    ``seconds`` from one frame to the next (default: as the audio feature ``x`` has it);
    ``lookahead``, how many inputs later y of a frame comes (default: as the model was trained).
    """

    __doc__ = __doc__ + (OverStreams.__doc__ or "").partition("\n")[2]
    emit: str | Emit = "change"
    decoder: CTC | None = None
    endpoint: Endpoint = field(default_factory=Endpoint)
    seconds: float | None = None
    lookahead: int | None = None

    answer: ClassVar[type] = Transcribed

    def _check(self, model: Recurrent) -> None:
        self._emit = Emit.of(self.emit)
        self._lookahead = model.lookahead if self.lookahead is None else self.lookahead
        if not isinstance(self._lookahead, int) or not 0 <= self._lookahead <= MOST_LOOKAHEAD:
            raise OptionError(f"lookahead is {self.lookahead!r}, expected a number of steps")
        if not model.causal:
            raise OptionError("Transcribe steps frame by frame: the model reads whole sequences")
        decoder = self.decoder
        if decoder is None:
            if model.labels is None:
                raise OptionError("decoder: the model has no labels, say CTC(labels)")
            decoder = CTC(model.labels)
        if not isinstance(decoder, CTC):
            raise OptionError(f"decoder is {decoder!r}, expected CTC(...)")
        if len(decoder.labels) != model.output_size:
            raise OptionError(
                f"the decoder has {len(decoder.labels)} labels, the model {model.output_size} "
                "outputs: expected one for each, the blank among them"
            )
        if not isinstance(self.endpoint, Endpoint):
            raise OptionError(f"endpoint is {self.endpoint!r}, expected Endpoint(...)")
        seconds = self.seconds or getattr(self.x, "seconds", None)
        if not isinstance(seconds, int | float) or not seconds > 0:
            raise OptionError(f"seconds is {self.seconds!r}, expected the time between two frames")
        self._decoder, self._seconds = decoder, float(seconds)

    def _answering(self, columnar: bool) -> Callable[[Any, Codec], Answering]:
        return partial(
            Transcribing,
            decoder=self._decoder,
            endpoint=self.endpoint,
            seconds=self._seconds,
            emit=self._emit,
            lookahead=self._lookahead,
        )
