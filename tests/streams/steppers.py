"""Steppers as the tests want them."""

from typing import Any

import beam_rnn as rnn
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.labels import Labelling
from beam_rnn.streams.stepper import Stepper

_OF_STEPPER = ("feature", "expire_after", "patience", "in_time", "numbers")


def labelling(network: rnn.Network, shards: int, codec: Codec, **options: Any) -> Stepper:
    """A stepper that labels, as Tag and Classify do."""
    of_stepper = {name: options.pop(name) for name in _OF_STEPPER if name in options}
    return Stepper(Labelling(network, codec, **options), shards, **of_stepper)
