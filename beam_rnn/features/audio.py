"""Sound -> overlapping frames: the same however the sound is cut into chunks."""

import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beam_rnn.errors import InputError, OptionError, StateError
from beam_rnn.features.resample import Resampler

__all__ = ["Frames", "Sound"]

Floats = NDArray[np.float32]

_SCALE = np.float32(1 / 32768)
HEAD = struct.Struct("<QI")  # frames given, bytes of the inner memory


class Sound(NamedTuple):
    """A chunk of one channel that says its rate.

    Attributes:
      samples: bytes of signed 16-bit little-endian PCM, or a 1-d array of int16 or of floats, in
        which 1.0 is full scale.
      rate: samples per second.
    """

    samples: bytes | NDArray[Any]
    rate: int


def samples_of(value: "Sound | bytes | ArrayLike", rate: int) -> Floats:
    """Returns a chunk as float32, 16-bit samples divided by 32768.

    Raises:
      InputError: it has another rate, an odd number of bytes, more than one channel, the header
        of a file, a value that is not finite, or is no sound at all.
    """
    if isinstance(value, Sound):
        if value.rate != rate:
            raise InputError(f"sound of {value.rate} samples per second, expected {rate}")
        value = value.samples
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        if data[:4] == b"RIFF":
            raise InputError("sound with the header of a WAV file, expected its samples")
        if len(data) % 2:
            raise InputError(f"{len(data)} bytes of sound, expected 2 for each sample")
        value = np.frombuffer(data, "<i2")
    array = np.asarray(value)
    if array.ndim != 1:
        raise InputError(f"sound of shape {array.shape}, expected one channel: (samples,)")
    if array.dtype == np.int16:
        scaled: Floats = np.multiply(array, _SCALE, dtype=np.float32)
        return scaled
    if array.dtype.kind != "f":
        raise InputError(f"sound of type {array.dtype}, expected int16 or floats")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    finite = np.isfinite(array)
    if not finite.all():
        at = int(np.argmin(finite))
        raise InputError(f"sound with the value {array[at]} at sample {at}, expected finite ones")
    return array


class Rows:
    """Base of the audio features: rows (n, width) of consecutive frames, from an index on."""

    echoes = float

    @property
    def width(self) -> int:
        """Numbers of a row: what a network for these rows takes."""
        raise NotImplementedError

    def rows(self, value: Any, memory: bytes) -> tuple[int, Floats, bytes]:
        """Takes a chunk; returns the index of the first new row, the rows and the new memory."""
        raise NotImplementedError

    def last_rows(self, memory: bytes) -> tuple[int, Floats]:
        """The rows that the end of the sound gives."""
        raise NotImplementedError

    @property
    def seconds(self) -> float:
        """From the begin of a frame to that of the next."""
        raise NotImplementedError

    def start(self, index: int) -> float:
        """Where a frame begins, in seconds of its sequence."""
        raise NotImplementedError

    def feed(self, value: Any, memory: bytes = b"") -> tuple[list[tuple[float, Floats]], bytes]:
        """Takes a chunk of sound; returns [(seconds, x (width,) float32), ...] and the memory.

        Raises:
          InputError: the chunk is no sound of this rate; see ``Sound``.
        """
        first, rows, memory = self.rows(value, memory)
        return [(self.start(i), row) for i, row in enumerate(rows, first)], memory

    def finish(self, memory: bytes) -> list[tuple[float, Floats]]:
        """The frames that the end of the sound gives, as ``feed`` does.

        Raises:
          InputError: the sound ends before its first frame.
        """
        first, rows = self.last_rows(memory)
        return [(self.start(i), row) for i, row in enumerate(rows, first)]


class RowsOf(Rows):
    """Base of the features that make a row of each row of another one, ``below``.

    Those that need only the row itself define ``of_rows``.
    """

    @property
    def below(self) -> Rows:
        """Whose rows they are made of."""
        raise NotImplementedError

    def of_rows(self, rows: Floats) -> Floats:
        """Rows (n, below.width) -> (n, width); each is the same bits in any company."""
        raise NotImplementedError

    @property
    def width(self) -> int:
        return self.below.width

    @property
    def seconds(self) -> float:
        return self.below.seconds

    def start(self, index: int) -> float:
        return self.below.start(index)

    def rows(self, value: Any, memory: bytes) -> tuple[int, Floats, bytes]:
        index, rows, memory = self.below.rows(value, memory)
        return index, self.of_rows(rows), memory

    def last_rows(self, memory: bytes) -> tuple[int, Floats]:
        index, rows = self.below.last_rows(memory)
        return index, self.of_rows(rows)


def parts_of(memory: bytes) -> tuple[int, bytes, bytes]:
    """Frames given, the inner memory, and the rest."""
    if len(memory) < HEAD.size:
        raise StateError(f"the memory of an audio feature has {len(memory)} bytes")
    index, size = HEAD.unpack_from(memory)
    end = HEAD.size + size
    if end > len(memory):
        raise StateError("the memory of an audio feature is truncated")
    return index, memory[HEAD.size : end], memory[end:]


@dataclass(frozen=True)
class Frames(Rows):
    """A Feature: chunks of sound -> overlapping frames (size,) of samples.

    What an answer echoes is where its frame begins, in seconds of its sequence.

    Attributes:
      rate: samples per second of the frames.
      size: samples of a frame.
      hop: samples from the begin of a frame to that of the next, at most ``size``.
      source_rate: samples per second of the sound, if it is not ``rate``: it is resampled
        (``scipy``, extra ``audio``).
      preemphasis: p of y[t] = x[t] - p x[t-1], the sample before the first one being 0.
      center: whether frame t is centred on sample t hop (``size`` / 2 zeros before the sound and
        behind it, as ``librosa``), instead of beginning there.
      before: zeros before the sound, where ``center`` does not say how many.
      pad: whether the last, incomplete frame is filled up with zeros; else it is dropped.

    Raises:
      OptionError: a number is out of its range.
    """

    rate: int
    size: int
    hop: int
    source_rate: int | None = None
    preemphasis: float = 0.0
    center: bool = False
    pad: bool = False
    before: int = 0

    def __post_init__(self) -> None:
        if self.rate < 1 or (self.source_rate is not None and self.source_rate < 1):
            raise OptionError(f"rates of {self.rate} and {self.source_rate}, expected 1 or more")
        if not 1 <= self.hop <= self.size:
            raise OptionError(f"hop is {self.hop}, expected 1 to size = {self.size} samples")
        if not 0 <= self.before < self.size or (self.before and self.center):
            raise OptionError(
                f"before is {self.before}, expected 0 to size - 1 = {self.size - 1} zeros, and "
                "none with center"
            )
        if not 0 <= self.preemphasis < 1:
            raise OptionError(f"preemphasis is {self.preemphasis}, expected 0 <= p < 1")

    @property
    def width(self) -> int:
        return self.size

    @property
    def seconds(self) -> float:
        return self.hop / self.rate

    def start(self, index: int) -> float:
        return (index * self.hop - self._zeros) / self.rate

    @property
    def _zeros(self) -> int:
        """Zeros before the sound."""
        return self.size // 2 if self.center else self.before

    def rows(self, value: Any, memory: bytes) -> tuple[int, Floats, bytes]:
        index, inner, last, tail = self._recall(memory)
        samples = samples_of(value, self.source_rate or self.rate)
        if self._resampler is not None:
            samples, inner = self._resampler.feed(samples, inner)
        heard, last = self._emphasised(samples, last)
        rows, tail = self._cut(np.concatenate([tail, heard]) if len(tail) else heard)
        head = HEAD.pack(index + len(rows), len(inner)) + inner
        return index, rows, head + last.tobytes() + tail.tobytes()

    def last_rows(self, memory: bytes) -> tuple[int, Floats]:
        index, inner, last, tail = self._recall(memory)
        if self._resampler is not None:
            heard, _ = self._emphasised(self._resampler.finish(inner), last)
            tail = np.concatenate([tail, heard])
        rest = self.size // 2 if self.center else 0
        rows, left = self._cut(np.concatenate([tail, np.zeros(rest, np.float32)]))
        unheard = len(left) - (self.size - self.hop if index + len(rows) else 0)
        if self.pad and unheard > 0:
            missing = np.zeros(self.size - len(left), np.float32)
            rows = np.concatenate([rows, np.concatenate([left, missing])[None]])
        if not index and not len(rows):
            raise InputError(
                f"the sound ended after {len(tail) - self._zeros} samples, before its first frame "
                f"of {self.size}"
            )
        return index, rows

    @property
    def _resampler(self) -> Resampler | None:
        if self.source_rate in (None, self.rate):
            return None
        return Resampler(self.source_rate, self.rate)

    def _recall(self, memory: bytes) -> tuple[int, bytes, Floats, Floats]:
        """Frames given, what the resampler remembers, the last sample, those of the next frame."""
        if not memory:
            begin = np.zeros(self._zeros, np.float32)
            return 0, b"", np.zeros(1, np.float32), begin
        index, inner, rest = parts_of(memory)
        if len(rest) % 4 or not 4 <= len(rest) <= 4 * self.size:
            raise StateError(f"the memory of frames of {self.size} has {len(rest)} bytes of sound")
        samples = np.frombuffer(rest, "<f4")
        return index, inner, samples[:1], samples[1:]

    def _emphasised(self, samples: Floats, last: Floats) -> tuple[Floats, Floats]:
        """y[t] = x[t] - p x[t-1], and the last x."""
        if not self.preemphasis:
            return samples, samples[-1:] if len(samples) else last
        known = np.concatenate([last, samples])
        heard: Floats = np.subtract(samples, np.float32(self.preemphasis) * known[:-1])
        return heard, known[-1:]

    def _cut(self, samples: Floats) -> tuple[Floats, Floats]:
        """Cuts off all complete frames: (n, size), and the samples from the next one on."""
        n = max(0, (len(samples) - self.size) // self.hop + 1)
        if not n:
            return np.zeros((0, self.size), np.float32), samples
        # A view, as sliding_window_view gives, in a hundredth of its time.
        samples = np.ascontiguousarray(samples)
        step = samples.itemsize
        frames: Floats = np.ndarray((n, self.size), np.float32, samples, 0, (self.hop * step, step))
        return frames, samples[n * self.hop :]
