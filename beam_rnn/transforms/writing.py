"""Generate and Translate: events of many streams in, tokens out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from apache_beam import coders

from beam_rnn.errors import ModelError, OptionError
from beam_rnn.nn import EncoderDecoder, Network, Sampling, Search
from beam_rnn.nn.decode import check_generator
from beam_rnn.streams.answering import Answering
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.event import Generated, Translated
from beam_rnn.streams.feature import Feature
from beam_rnn.streams.generating import Generating, Ticks
from beam_rnn.streams.translating import Translating
from beam_rnn.transforms.streams import OverStreams

for _answer in (Generated, Translated):
    coders.registry.register_coder(_answer, coders.RowCoder)


@dataclass
class Translate(OverStreams):
    """A sequence from each sequence (encoder-decoder).

    ``events`` is a keyed PCollection, tuple[K, V]: K names the stream, V is an element of its
    source, or with ``x=rnn.flat(...)`` a whole one. The encoder steps as they come; when the
    source ends, expires or its window closes, the decoder writes. Gives tuple[K, Translated],
    ``best`` of each source; what could not be stepped is in its attribute ``failed``: empty
    sources, and the inputs of a source that is too long, which gets no answer.

    Besides the arguments below: ``width``, how many hypotheses are followed at once (1: greedy);
    ``best``, how many are given; ``alpha``, the length normalisation of Wu et al. (2016);
    ``longest``, most inputs of a source (default: as the model was trained, or 1,000); ``source``,
    whether answers have the inputs that they are of, where those are ids.
    """

    __doc__ = __doc__ + (OverStreams.__doc__ or "").partition("\n")[2]
    width: int = 1
    best: int = 1
    alpha: float = 0.0
    longest: int | None = None
    source: bool = False

    kinds: ClassVar[tuple[type, ...]] = (EncoderDecoder,)
    answer: ClassVar[type] = Translated

    def _check(self, model: EncoderDecoder) -> None:
        self._search = Search(self.width, self.best, self.alpha)
        most = model.longest_source
        self._longest = self.longest or most or 1000
        if self.longest is not None and not (isinstance(self.longest, int) and self.longest > 0):
            raise OptionError(f"longest is {self.longest!r}, expected a number of inputs from 1")
        if self.source and model.inputs.shape:
            raise OptionError("source is for inputs that are ids, the model reads vectors")
        if most is not None and self._longest > most:
            raise OptionError(f"longest is {self.longest}, the model reads at most {most} inputs")

    def _answering(self, columnar: bool) -> Callable[[Any, Codec], Answering]:
        return partial(Translating, search=self._search, longest=self._longest, source=self.source)


@dataclass
class Generate(OverStreams):
    """Tokens that go on from what was read (one-to-many).

    ``events`` is a keyed PCollection, tuple[K, V]: K names the stream, V is a token of its prompt,
    or with ``x=rnn.flat(...)`` a whole one. Gives tuple[K, Generated]; what could not be stepped
    is in its attribute ``failed``.

    * Without ``more`` a prompt ends as a sequence does (``end``, ``expire_after``, the window);
      then up to ``limit`` tokens are drawn, until ``stop`` is.
    * With ``more=n``, or a function from the value to a number, so many tokens are drawn after
      each event, and the state stays: ticks, for instance of PeriodicImpulse, keep a piece going
      for ever. Here ``x`` gives an id, a list of ids, or None where an event is a tick only.

    Draws are a function of (seed, stream, place in the sequence): the same in a retried bundle, in
    any batch, on any runner. So what begins anew after ``stop`` with the same prompt, or none, is
    the same again: where a piece is to go on for ever, let the end be a token as any other.

    Besides the arguments below: ``temperature`` (0: always the most probable token), ``top_k``,
    ``top_p``, ``allowed`` (tokens that may be drawn), see ``Sampling``; ``seed``; ``start``, a
    token that is read before each sequence, so that there need not be a prompt; ``stop``, the
    token that ends a sequence when it is drawn; ``limit``. Tokens are ids, or names of the
    network's vocabulary.
    """

    __doc__ = __doc__ + (OverStreams.__doc__ or "").partition("\n")[2]
    more: int | Callable[[Any], int] | None = None
    limit: int = 100
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    allowed: Sequence[Any] | None = None
    start: Any = None
    stop: Any = None
    seed: int = 0

    kinds: ClassVar[tuple[type, ...]] = (Network,)
    answer: ClassVar[type] = Generated

    def _check(self, model: Network) -> None:
        try:
            check_generator(model)
        except ModelError as error:
            raise OptionError(f"Generate: {error}") from None
        if not model.causal or model.lookahead:
            raise OptionError("Generate: expected a network that steps, and does not look ahead")
        for name, least in (("limit", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise OptionError(f"{name} is {value!r}, expected a whole number from {least}")
        ticks = self.more is None or callable(self.more)
        if not (ticks or (isinstance(self.more, int) and self.more > 0)):
            raise OptionError(f"more is {self.more!r}, expected a number of tokens or a function")
        written, read = model.output_size, model.inputs.limits[0] if model.inputs.limits else 0
        allowed = self.allowed
        if allowed is not None:
            allowed = [_id_of("allowed", token, model, written) for token in allowed]
        self._sampling = Sampling(self.temperature, self.top_k, self.top_p, allowed)
        self._start = None if self.start is None else _id_of("start", self.start, model, read)
        self._stop = None if self.stop is None else _id_of("stop", self.stop, model, written)

    def _answering(self, columnar: bool) -> Callable[[Any, Codec], Answering]:
        return partial(
            Generating,
            sampling=self._sampling,
            seed=self.seed,
            start=self._start,
            stop=self._stop,
            limit=self.limit if self.more is None else 0,
        )

    def _feature(self) -> Feature | None:
        return super()._feature() if self.more is None else Ticks(self.x, self.more)


def _id_of(name: str, token: Any, model: Network, most: int) -> int:
    """The id of a token: itself, or its place in the vocabulary."""
    known = model.vocabulary
    id = token
    if isinstance(token, str) and known is not None and token in known:
        id = known.index(token)
    if isinstance(id, int) and 0 <= id < most:
        return id
    names = "" if known is None else " or a token of the vocabulary"
    raise OptionError(f"{name} is {token!r}, expected an id in 0..{most - 1}{names}")
