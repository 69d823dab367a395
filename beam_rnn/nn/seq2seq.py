"""EncoderDecoder: a sequence read by one network, and another one written by a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beam_rnn.errors import InputError, ModelError
from beam_rnn.nn.attention import Attention, Memory
from beam_rnn.nn.beam import Hypothesis, Said, Search, Step, search
from beam_rnn.nn.cells import Cell
from beam_rnn.nn.decode import check_generator, log_probabilities
from beam_rnn.nn.inputs import Inputs
from beam_rnn.nn.layers import Layer
from beam_rnn.nn.network import Network
from beam_rnn.nn.parameters import Floats, Frozen, Ints, fingerprint

_ROWS = 4096  # hypotheses that are stepped at once


@dataclass(frozen=True, eq=False)
class EncoderDecoder(Frozen):
    """Two networks: the second writes what the state of the first tells it (Sutskever, 2014).

    The encoder reads the source; its last state, through the bridge, is the first state of the
    decoder. This reads ``start`` and then each token that it gave. Attention layers (``Additive``,
    ``Multiplicative``) among the decoder's read the outputs of the encoder.

    Attributes:
      encoder: a causal network; what it gives, (T, C), is what attention reads.
      decoder: a causal network from an Embedding to a Dense layer (softmax or logits).
      start: the id that the decoder reads first.
      stop: the id that ends what it writes.
      limit: most tokens that it writes.
      bridge: layers from the encoder's last state (S,) to the decoder's first; empty: as it is.
      source_end: an id that the encoder reads behind each source, or None.
      source_length: sources are filled up with zero inputs to this length, as the model was
        trained, and longer ones are refused; or None.
      card: what is known of the weights (data, recipe, figures); values that JSON can hold.

    Raises:
      ModelError: the parts do not fit together.
    """

    encoder: Network
    decoder: Network
    start: int
    stop: int
    limit: int = 100
    bridge: Sequence[Layer] = ()
    source_end: int | None = None
    source_length: int | None = None
    card: dict[str, Any] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bridge", tuple(self.bridge))
        object.__setattr__(self, "card", dict(self.card or {}))
        for name, part in (("encoder", self.encoder), ("decoder", self.decoder)):
            if not isinstance(part, Network):
                raise ModelError(f"{name} is a {type(part).__name__}, expected a Network")
            if not part.causal or part.lookahead or not part.state_size:
                raise ModelError(
                    f"{name}: expected a network that steps, with cells and without look-ahead"
                )
        try:
            check_generator(self.decoder)
        except ModelError as error:
            raise ModelError(f"decoder: {error}") from None
        shape: tuple[int, ...] = (self.encoder.state_size,)
        for place, layer in enumerate(self.bridge):
            try:
                shape = layer.out_shape(shape)
            except ModelError as error:
                raise ModelError(f"bridge, layer {place}: {error}") from None
        if shape != (self.decoder.state_size,):
            raise ModelError(
                f"the decoder's state has {self.decoder.state_size} values, the encoder"
                f"{' and the bridge give' if self.bridge else ' gives'} {shape}"
            )
        self._check_attention()
        self._check_ids()

    def _check_attention(self) -> None:
        stages, tail = self.decoder._stages
        if any(isinstance(layer, Attention) for layer in self.encoder.layers):
            raise ModelError("encoder: attention is a layer of the decoder")
        places = [(layer, stage.cell) for stage in stages for layer in stage.front]
        for layer, cell in [*places, *((layer, None) for layer in tail)]:
            if not isinstance(layer, Attention):
                continue
            name = type(layer).__name__
            if layer.memory_size != self.encoder.output_size:
                raise ModelError(
                    f"{name} reads {layer.memory_size} features, the encoder gives "
                    f"{self.encoder.output_size}"
                )
            if layer.query != "state":
                continue
            if not isinstance(cell, Cell):
                raise ModelError(f'{name} has query="state", but no cell comes behind it')
            if cell.hidden_size != layer.query_size:
                raise ModelError(
                    f"{name}.W_q takes {layer.query_size} features, the cell behind it has "
                    f"{cell.hidden_size}"
                )

    def _check_ids(self) -> None:
        V = self.decoder.output_size
        for name, id in (("start", self.start), ("stop", self.stop)):
            most = len(self.decoder.layers[0].E) if name == "start" else V
            if not isinstance(id, int) or not 0 <= id < most:
                raise ModelError(f"{name} is {id!r}, expected an id in 0..{most - 1}")
        if not isinstance(self.limit, int) or self.limit < 1:
            raise ModelError(f"limit is {self.limit!r}, expected a number of tokens from 1")
        if self.source_end is not None:
            try:
                self.encoder.inputs.check_one(self.source_end)
            except InputError as error:
                raise ModelError(f"source_end: {error}") from None
        least = 1 + (self.source_end is not None)
        if self.source_length is not None and self.source_length < least:
            raise ModelError(f"source_length is {self.source_length!r}, expected from {least}")

    @property
    def inputs(self) -> Inputs:
        """What an element of a source must be."""
        return self.encoder.inputs

    @property
    def vocabulary(self) -> Sequence[str] | None:
        """The token of each id that the decoder writes."""
        return self.decoder.vocabulary

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that tell one model (structure and weights) from another."""
        numbers = (self.start, self.stop, self.limit, self.source_end, self.source_length)
        return fingerprint(self.encoder.layers, self.decoder.layers, self.bridge, numbers)

    @cached_property
    def attends(self) -> bool:
        """Whether the decoder reads the outputs of the encoder, not only its last state."""
        return any(isinstance(layer, Attention) for layer in self.decoder.layers)

    @property
    def longest_source(self) -> int | None:
        """Most inputs of a source, or None: as many as there are."""
        if self.source_length is None:
            return None
        return self.source_length - (self.source_end is not None)

    def closing(self, length: int) -> NDArray[Any]:
        """The inputs that the encoder reads behind a source of ``length`` inputs."""
        inputs = self.inputs
        end = [] if self.source_end is None else [self.source_end]
        zeros = max(0, (self.source_length or 0) - length - len(end))
        padding = np.zeros((zeros, *inputs.shape), inputs.dtype)
        return np.concatenate([np.array(end, inputs.dtype), padding]) if end else padding

    def translate(
        self, sources: Sequence[ArrayLike], *, width: int = 1, best: int = 1, alpha: float = 0.0
    ) -> list[list[Hypothesis]]:
        """Reads each source and writes what follows from it.

        Args:
          sources: x (T, ...) of each.
          width: hypotheses of a source that are followed at once; 1: greedy.
          best: how many are given, at most width.
          alpha: length normalisation, see ``Search``.

        Returns:
          The best hypotheses of each, the same whatever other sources there are.

        Raises:
          InputError: a source is empty or too long, or an x has the wrong shape, type or values.
          OptionError: a number is out of its range.
        """
        how = Search(width, best, alpha)
        checked = [self.inputs.check(x) for x in sources]
        for place, x in enumerate(checked):
            try:
                self.check_length(len(x))
            except InputError as error:
                raise InputError(f"source {place}: {error}") from None
        whole = [np.concatenate([x, self.closing(len(x))]) for x in checked]
        read = self.encoder.unroll_many(whole)
        outputs = [y for y, _ in read] if self.attends else None
        return self.write(np.array([a for _, a in read]), outputs, how)

    def attention(self, source: ArrayLike, tokens: Sequence[int]) -> Floats:
        """How much of each input of a source is read for each token of what was written.

        Args:
          source: x (T, ...).
          tokens: the L ids that were written.

        Returns:
          (L, T'), rows that sum to 1, of the first attention layer; T' counts the inputs that close
          a source too.

        Raises:
          InputError: the source is empty or too long, or an x or a token is wrong.
          ModelError: the decoder does not attend.
        """
        if not self.attends:
            raise ModelError("the decoder has no attention")
        x = self.inputs.check(source)
        self.check_length(len(x))
        written = self.decoder.inputs.check([self.start, *tokens])[: len(tokens)]
        ((y, a),) = self.encoder.unroll_many([np.concatenate([x, self.closing(len(x))])])
        memory, state = Memory.of([y], self.decoder.layers), a[None]
        for layer in self.bridge:
            state = layer.apply(state)
        rows = np.zeros((len(written), len(y)), np.float32)
        for row, token in zip(rows, written, strict=True):
            one = np.array([token])
            _, state, weights = decoder_step(self.decoder, one, state, memory, np.zeros(1, int))
            row[:] = weights
        return rows

    def check_length(self, length: int) -> None:
        """Raises InputError unless a source may have this length."""
        if not length:
            raise InputError("an empty source: expected at least one input")
        longest = self.longest_source
        if longest is not None and length > longest:
            raise InputError(f"a source of {length} inputs, expected at most {longest}")

    def write(
        self, a: Floats, outputs: Sequence[Floats] | None, how: Search
    ) -> list[list[Hypothesis]]:
        """Writes what follows from sources that were read.

        Args:
          a: (n, S) last states of the encoder.
          outputs: its outputs (T, C) for each source, where the decoder attends, else None.
          how: width of the beam and so on.
        """
        at_once = max(1, _ROWS // how.width)
        result = []
        for start in range(0, len(a), at_once):
            part = slice(start, start + at_once)
            result += self._write(a[part], None if outputs is None else outputs[part], how)
        return result

    def _write(
        self, a: Floats, outputs: Sequence[Floats] | None, how: Search
    ) -> list[list[Hypothesis]]:
        for layer in self.bridge:
            a = layer.apply(a)
        writing = _Writing(self.decoder, a, outputs)
        numbers = {"start": self.start, "stop": self.stop, "limit": self.limit}
        return search(writing.step, how, len(a), **numbers)


class _Writing:
    """The decoder at work: the states of all rows, and the sources that they read."""

    def __init__(self, decoder: Network, a: Floats, outputs: Sequence[Floats] | None) -> None:
        self.decoder = decoder
        self.a = a
        self.memory = None if outputs is None else Memory.of(outputs, decoder.layers)
        self.sources = np.arange(len(a))  # those that the memory still has

    def step(self, step: Step) -> Said:
        """One step of the decoder; rows may come from any rows of the step before."""
        memory, owner = self.memory, step.owner
        if memory is not None:
            present, owner = np.unique(owner, return_inverse=True)
            if 4 * len(present) <= 3 * len(self.sources):
                memory = self.memory = memory.keep(np.searchsorted(self.sources, present))
                self.sources = present
            elif len(present) < len(self.sources):
                owner = np.searchsorted(self.sources, step.owner)
        y, self.a, weights = decoder_step(
            self.decoder, step.tokens, self.a[step.parents], memory, owner
        )
        reads = None if weights is None else weights.argmax(axis=1)
        return Said(log_probabilities(self.decoder, y), reads)


def decoder_step(
    decoder: Network, x: NDArray[Any], a: Floats, memory: Memory | None, owner: Ints
) -> tuple[Floats, Floats, Floats | None]:
    """``Network.step`` of rows that may read sources.

    Args:
      x: (n,) ids.
      a: (n, S) states.
      memory: the sources, or None where no layer attends.
      owner: (n,) the source of each row, ascending.

    Returns:
      y (n, V), the new states (n, S), and with which weights the first attention layer read the
      positions of the source (n, P), or None.
    """
    first: Floats | None = None
    place = 0

    def through(layers: Sequence[Any], x: NDArray[Any], h: Floats | None) -> NDArray[Any]:
        nonlocal place, first
        for layer in layers:
            if isinstance(layer, Attention):
                assert memory is not None
                q = x if layer.query == "input" or h is None else h
                c, weights = memory.read(layer, place, q, owner)
                if first is None:
                    first = weights
                x = np.concatenate([c, x], axis=1)
            else:
                x = layer.apply(x)
            place += 1
        return x

    stages, tail = decoder._stages
    after = np.empty_like(a, order="C")
    offset = 0
    for stage in stages:
        part = slice(offset, offset + stage.cell.state_size)
        offset = part.stop
        before = a[:, part]
        if stage.table is None:
            h = before[:, : stage.cell.hidden_size] if isinstance(stage.cell, Cell) else None
            x = through(stage.front, x, h)
        else:
            place += len(stage.front)
        place += 1
        x, after[:, part] = stage.step_fed(x, before)
    return through(tail, x, None), after, first
