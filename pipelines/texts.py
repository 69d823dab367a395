"""Events and the network: features that read events, words that come out."""

from typing import Any

import apache_beam as beam

import beam_rnn as rnn
from beam_rnn.features import Words
from pipelines.events import Event, Observed
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
