"""Random numbers that are a function of (seed, stream, step): Philox counters, many rows at once.

A generator that lives in a worker would give a retried bundle other tokens. Here the number of a
step is computed from its place alone (Salmon et al., "Parallel random numbers: as easy as 1, 2,
3", SC 2011; Philox4x64 with 10 rounds), so that any worker, batch or retry draws the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from beam_rnn.nn.parameters import Ints

Words = NDArray[np.uint64]

_ROUNDS = 10
_FEW = 16  # rows for which NumPy's own generator is faster
_WEYL = np.array([[0x9E3779B97F4A7C15], [0xBB67AE8584CAA73B]], np.uint64)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_FACTORS = np.array([[0xD2E7470EE14C6C93], [0xCA5A826395121157]], np.uint64)
_FACTORS_HIGH, _FACTORS_LOW = _FACTORS >> _HALF, _FACTORS & _LOW


def stream_numbers(streams: Sequence[bytes]) -> Words:
    """A number (n,) for each stream: a stable hash of the bytes of its key."""
    digests = b"".join(blake2b(stream, digest_size=8).digest() for stream in streams)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def uniform(seed: int, streams: Words, steps: Ints) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) with 53 bits.

    Args:
      seed: of all streams, from 0; its lowest 64 bits count.
      streams: (n,) the number of each stream.
      steps: (n,) the place in the stream, from 0.

    Returns:
      (n,): what ``np.random.Generator(np.random.Philox(key=[seed, stream])).random()`` gives when
      it is called for the (step + 1)-th time.
    """
    keys = np.empty((2, len(steps)), np.uint64)
    keys[0] = seed & 0xFFFFFFFFFFFFFFFF
    keys[1] = streams
    blocks = (steps >> 2).astype(np.uint64)
    if len(steps) <= _FEW:
        pairs = zip(keys.T, blocks, strict=True)
        raw = [np.random.Philox(key=key, counter=block).random_raw(4) for key, block in pairs]
        block_words = np.array(raw, np.uint64).reshape(-1, 4).T
    else:
        block_words = philox(blocks + np.uint64(1), keys)  # numpy counts before it draws
    words = block_words[steps & 3, np.arange(len(steps))]
    result: NDArray[np.float64] = (words >> np.uint64(11)) * 2.0**-53
    return result


def philox(counters: Words, keys: Words) -> Words:
    """Philox4x64-10 of the counters (n, 0, 0, 0): counters (n,), keys (2, n) -> words (4, n)."""
    keys = keys.copy()
    even = np.stack([counters, np.zeros_like(counters)])  # words 0 and 2
    odd = np.zeros_like(even)  # words 1 and 3
    for _ in range(_ROUNDS):
        high, low = _multiply(even)
        even = high[::-1] ^ odd ^ keys
        odd = low[::-1]
        keys += _WEYL
    return np.stack([even[0], odd[0], even[1], odd[1]])


def _multiply(words: Words) -> tuple[Words, Words]:
    """The high and the low 64 bits of words 0 and 2 (2, n), each times its factor."""
    high, low = words >> _HALF, words & _LOW
    middle = low * _FACTORS_LOW
    middle >>= _HALF
    middle += high * _FACTORS_LOW
    low *= _FACTORS_HIGH
    low += middle & _LOW
    low >>= _HALF
    high *= _FACTORS_HIGH
    high += middle >> _HALF
    high += low
    return high, words * _FACTORS
