"""Texts and the network: pieces of text in, tagged words out, live or a whole text at once."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.utils.timestamp import Timestamp

import beam_rnn as rnn
from beam_rnn.features import Words
from pipelines.events import Event, Failed, Observed
from pipelines.sinks import Word


def tagger_of(path: str) -> tuple[rnn.Network, "TextOf"]:
    """A tagger of words, and the feature that feeds it with events.

    Raises:
      rnn.WeightsError: the file cannot be read.
      rnn.ModelError: it holds another kind of network.
    """
    network = rnn.load(path)
    if network.vocabulary is None or network.input_shape != (Words.width,):
        raise rnn.ModelError(
            f"{path} is no tagger of words: it needs a vocabulary and takes rows of"
            f" {Words.width} ids, got {network.input_shape}"
        )
    return network, TextOf(Words(network.vocabulary))


class TextOf:
    """A feature of texts that reads the text of an event."""

    def __init__(self, feature: Any) -> None:
        self._feature = feature

    def feed(self, value: Event, memory: bytes) -> tuple[list[tuple[Any, Any]], bytes]:
        """See ``rnn.Feature``."""
        return self._feature.feed(value.text, memory)

    def finish(self, memory: bytes) -> list[tuple[Any, Any]]:
        """See ``rnn.Feature``."""
        return self._feature.finish(memory)


class Seen:
    """A feature of observations: what another feature makes of their values."""

    def __init__(self, feature: Any, unpack: Any = None) -> None:
        self._feature = feature
        self._unpack = unpack

    def feed(self, value: Observed, memory: bytes) -> tuple[list[tuple[Any, Any]], bytes]:
        """See ``rnn.Feature``."""
        if value.value is None:
            return [], memory
        seen = value.value if self._unpack is None else self._unpack(value.value)
        return self._feature.feed(seen, memory)

    def finish(self, memory: bytes) -> list[tuple[Any, Any]]:
        """See ``rnn.Feature``."""
        return self._feature.finish(memory)


def by_stream(event: Any) -> tuple[str, Any]:
    """Keys an event by its stream."""
    return event.stream, event


def is_last(event: Any) -> bool:
    """Whether the event ends its stream."""
    return event.end


def as_word(tagged: tuple[str, Any], time: Any = beam.DoFn.TimestampParam) -> Word:
    """An answer as a row of the output."""
    stream, answer = tagged
    token = answer.input
    return Word(
        stream, time.micros, answer.step, token.text, token.before, str(answer.label),
        float(answer.score),
    )  # fmt: skip


def as_failed(bad: Any) -> Failed:
    """An event that the network could not take as a row of the failed output."""
    value = bad.input
    if isinstance(value, Event):
        fields = {"stream": value.stream, "time": value.time.to_rfc3339(), "text": value.text}
        value = json.dumps(fields, ensure_ascii=False)
    return Failed(str(bad.stream), bad.reason, str(value))


def unroll(
    network: rnn.Network, feature: Any, events: Iterable[Event]
) -> Iterator[tuple[Timestamp, rnn.Tagged]]:
    """The answers for the whole text of one stream, as the live job gives them.

    Args:
      network: a tagger.
      feature: of events, such as ``TextOf``.
      events: of one stream, in order. An event with ``end`` ends a sequence, and the last one does.

    Returns:
      (time of the event that gave the word, rnn.Tagged), one for each word.
    """
    inputs: list[tuple[Timestamp, Any, Any]] = []
    memory, last = b"", None
    for event in events:
        pairs, memory = feature.feed(event, memory)
        inputs += [(event.time, echo, x) for echo, x in pairs]
        last = event.time
        if event.end:
            inputs += [(event.time, echo, x) for echo, x in feature.finish(memory)]
            yield from _answers(network, inputs)
            inputs, memory, last = [], b"", None
    if last is not None:
        inputs += [(last, echo, x) for echo, x in feature.finish(memory)]
        yield from _answers(network, inputs)


def _answers(
    network: rnn.Network, inputs: list[tuple[Timestamp, Any, Any]]
) -> Iterator[tuple[Timestamp, rnn.Tagged]]:
    if not inputs:
        return
    x = np.stack([x for _, _, x in inputs])
    after = np.zeros((network.lookahead, *x.shape[1:]), x.dtype)
    y, _ = network.unroll(np.concatenate([x, after]))
    y = y[network.lookahead :]
    best = y.argmax(axis=1)
    for step, ((time, echo, _), row, k) in enumerate(zip(inputs, y, best, strict=True), 1):
        label = network.labels[k] if network.labels else int(k)
        yield time, rnn.Tagged(echo, label, float(row[k]), step)
