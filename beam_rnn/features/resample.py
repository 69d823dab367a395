"""Sound at one rate -> sound at another, chunk by chunk, with scipy's polyphase filter."""

import struct
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import OptionError, StateError

__all__ = ["Resampler"]

Floats = NDArray[np.float32]

_HEAD = struct.Struct("<QQ")  # samples given; index of the first sample that is kept


@dataclass(frozen=True)
class Resampler:
    """The result of ``scipy.signal.resample_poly``, for any cut of the sound into chunks.

    Its filter is a Kaiser window (beta 5) of 10 periods of the lower rate to each side: zero
    phase, so a sample waits for what comes that much later.

    Attributes:
      source_rate: samples per second that come.
      rate: samples per second that go.

    Raises:
      OptionError: scipy is not there.
    """

    source_rate: int
    rate: int

    def __post_init__(self) -> None:
        try:
            import scipy.signal  # noqa: F401
        except ImportError:
            raise OptionError("resampling needs scipy: pip install 'beam-rnn[audio]'") from None

    def feed(self, samples: Floats, memory: bytes = b"") -> tuple[Floats, bytes]:
        """Takes samples (n,); returns those that are complete, and the new memory."""
        given, begin, kept = self._recall(memory)
        known = np.concatenate([kept, samples])
        up, down, half, _ = _design(self.source_rate, self.rate)
        # Sample m needs those up to (m down + half) / up.
        ready = max(given, ((begin + len(known)) * up - 1 - half) // down + 1)
        made = self._filtered(known, begin, given, ready)
        # From the first one that the next sample needs, in steps of `down`.
        needed = max(0, ready * down - half) // up // down * down
        return made, _HEAD.pack(ready, needed) + known[needed - begin :].tobytes()

    def finish(self, memory: bytes) -> Floats:
        """The samples that remain when the sound is followed by silence."""
        given, begin, kept = self._recall(memory)
        up, down, *_ = _design(self.source_rate, self.rate)
        total = -(-(begin + len(kept)) * up // down)
        return self._filtered(kept, begin, given, total)

    def _filtered(self, known: Floats, begin: int, start: int, stop: int) -> Floats:
        from scipy.signal import upfirdn

        up, down, _, taps = _design(self.source_rate, self.rate)
        if stop <= start:
            return np.zeros(0, np.float32)
        delay = _delay(self.source_rate, self.rate) - begin * up // down
        need = stop + delay
        made = upfirdn(taps, known.astype(np.float64), up, down)
        if need > len(made):
            made = np.concatenate([made, np.zeros(need - len(made))])
        cut: Floats = made[start + delay : need].astype(np.float32)
        return cut

    def _recall(self, memory: bytes) -> tuple[int, int, Floats]:
        if not memory:
            return 0, 0, np.zeros(0, np.float32)
        if len(memory) < _HEAD.size or len(memory) % 4:
            raise StateError(f"the memory of a resampler has {len(memory)} bytes")
        given, begin = _HEAD.unpack_from(memory)
        if begin % _design(self.source_rate, self.rate)[1]:
            raise StateError(f"the memory of a resampler begins at sample {begin}")
        return given, begin, np.frombuffer(memory, "<f4", offset=_HEAD.size)


@lru_cache(maxsize=16)
def _design(source_rate: int, rate: int) -> tuple[int, int, int, Any]:
    """Up and down factors, half the length of the filter, its taps with zeros before them."""
    from scipy.signal import firwin

    divisor = gcd(source_rate, rate)
    up, down = rate // divisor, source_rate // divisor
    half = 10 * max(up, down)
    taps = up * firwin(2 * half + 1, 1 / max(up, down), window=("kaiser", 5.0))
    return up, down, half, np.concatenate([np.zeros(-half % down), taps])


def _delay(source_rate: int, rate: int) -> int:
    """Samples at the new rate by which the filter with its zeros is late."""
    _, down, half, _ = _design(source_rate, rate)
    return -(-half // down)
