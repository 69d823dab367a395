"""What can go wrong, as one hierarchy: every error that the library raises on purpose."""

__all__ = [
    "InputError",
    "ModelError",
    "OptionError",
    "RnnError",
    "StateError",
    "WeightsError",
]


class RnnError(Exception):
    """Base class of the library's errors."""


class ModelError(RnnError, ValueError):
    """A layer or a network does not fit together; names the array and what was expected."""


class WeightsError(RnnError, ValueError):
    """A weight file is broken, foreign, or holds something that is not supported."""


class StateError(RnnError, ValueError):
    """State bytes are broken, of another format, model or number of shards."""


class InputError(RnnError, ValueError):
    """An observation cannot be an input of the network."""


class OptionError(RnnError, ValueError):
    """An option of a transform or of the pipeline would give wrong results or lose data."""
