"""What leaves a stream: answers, and events that could not be one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Tagged(NamedTuple):
    """The label of one event (many-to-many, Tx = Ty).

    Attributes:
      input: the event's value, or what its feature made of it.
      label: a name of the network's labels, or the index of the class.
      score: y of this label: its probability under a softmax.
      step: the place of the event in its sequence, from 1.
    """

    input: Any
    label: Any
    score: float
    step: int


class Classified(NamedTuple):
    """The label of a sequence (many-to-one), of all its events or of those so far.

    Attributes:
      label: a name of the network's labels, or the index of the class.
      score: y of this label: its probability under a softmax.
      steps: how many inputs were read.
    """

    label: Any
    score: float
    steps: int


class Translated(NamedTuple):
    """What was written for a sequence (encoder-decoder).

    Attributes:
      output: its tokens, names of the decoder's vocabulary or ids.
      score: the sum of the logarithms of their probabilities, after length normalisation.
      rank: 1 for the best of its sequence.
      alignment: for each token the place of the input that was read most, from 1, those that close
        a source among them; empty without attention.
      steps: how many inputs the sequence had.
      source: its inputs, names of the encoder's vocabulary or ids; empty unless asked for.
    """

    output: Sequence[Any]
    score: float
    rank: int
    alignment: Sequence[int]
    steps: int
    source: Sequence[Any] = ()


class Generated(NamedTuple):
    """What was drawn (one-to-many): a whole sequence, or its next tokens.

    Attributes:
      output: the tokens, names of the vocabulary or ids, without the stop token.
      score: the sum of the logarithms of their probabilities, that of the stop token among them.
      step: the place of the last token in its sequence, inputs among them, from 1.
      stopped: whether the stop token came, which ends the sequence.
    """

    output: Sequence[Any]
    score: float
    step: int
    stopped: bool


class Transcribed(NamedTuple):
    """The text of a piece of speech (many-to-many, Ty < Tx).

    Attributes:
      text: what was said.
      final: whether the piece has ended: another text begins. Else it may change.
      score: ln P of the text given the frames, with the weight of the decoder's n-gram model.
      start: seconds of the sequence where the first word begins.
      end: seconds of the sequence up to which frames were read.
      times: seconds of the sequence at which each word begins.
      step: how many frames of the sequence were read.
    """

    text: str
    final: bool
    score: float
    start: float
    end: float
    times: Sequence[float]
    step: int


class BadEvent(NamedTuple):
    """An event that was not stepped; the state of its stream is as before.

    Attributes:
      stream: the key of its stream.
      reason: what was wrong and what was expected.
      input: the event's value; None where it is too large, or of a type that cannot be written.
    """

    stream: Any
    reason: str
    input: Any


_LONGEST = 1000  # characters of a reason: errors may quote the whole value


def why(error: Exception) -> str:
    """What an error says, so that it can be written: not too long, no lone surrogates."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # an error that cannot be told
        text = type(error).__name__
    return text[:_LONGEST].encode("utf-8", "backslashreplace").decode()
