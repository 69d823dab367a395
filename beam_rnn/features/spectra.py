"""Frames of sound -> log-mel spectra and cepstra, as librosa makes them."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import OptionError
from beam_rnn.features.audio import Floats, Frames, Rows, RowsOf

__all__ = ["LogMel", "MFCC"]

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class LogMel(RowsOf):
    """A Feature: chunks of sound -> the logarithm of the energy in mel bands, (bands,).

    The conventions are those of ``librosa.feature.melspectrogram``: periodic window, power of the
    magnitude, triangles on the mel scale.

    Attributes:
      frames: how the sound is cut.
      bands: mel bands.
      fft_size: points of the transform; default: the next power of two from the frame size on.
      low: Hz where the first band begins.
      high: Hz where the last band ends; default: half of the rate.
      window: "hann", "hamming" or "rectangular".
      power: 2 for energy, 1 for magnitude.
      htk: the mel scale of HTK, 2595 log10(1 + f / 700), instead of Slaney's.
      norm: whether each triangle has area 1 (Slaney) instead of height 1.
      floor: the least value whose logarithm is taken.
      decibels: 10 log10 instead of the natural logarithm.

    Raises:
      OptionError: a number is out of its range, or a band has no point of the transform.
    """

    frames: Frames
    bands: int = 80
    fft_size: int | None = None
    low: float = 0.0
    high: float | None = None
    window: str = "hann"
    power: float = 2.0
    htk: bool = False
    norm: bool = True
    floor: float = 1e-10
    decibels: bool = False

    def __post_init__(self) -> None:
        size = self.frames.size
        if self.fft_size is None:
            object.__setattr__(self, "fft_size", 1 << (size - 1).bit_length())
        if self.points < size:
            raise OptionError(f"fft_size is {self.fft_size}, expected at least {size}")
        if self.high is None:
            object.__setattr__(self, "high", self.frames.rate / 2)
        if not 0 <= self.low < self.top <= self.frames.rate / 2:
            raise OptionError(
                f"bands from {self.low} to {self.high} Hz, expected 0 <= low < high <= "
                f"{self.frames.rate / 2}"
            )
        if self.window not in _WINDOWS:
            raise OptionError(f"window is {self.window!r}, expected one of {', '.join(_WINDOWS)}")
        if self.bands < 1 or self.floor <= 0 or self.power <= 0:
            raise OptionError("bands, floor and power must be positive")
        self._filters()

    @property
    def points(self) -> int:
        return self.fft_size or 0

    @property
    def top(self) -> float:
        return self.high or 0.0

    @property
    def below(self) -> Rows:
        return self.frames

    @property
    def width(self) -> int:
        return self.bands

    def of_rows(self, rows: Floats) -> Floats:
        windowed = rows * _window(self.window, self.frames.size)
        magnitude = np.abs(np.fft.rfft(windowed, self.points))
        if self.power != 1:
            magnitude **= self.power
        bins, weights, starts = self._filters()
        energy = np.maximum(
            np.add.reduceat(magnitude[:, bins] * weights, starts, axis=1), self.floor
        )
        logs = 10 * np.log10(energy) if self.decibels else np.log(energy)
        return logs.astype(np.float32)

    def _filters(self) -> tuple[Any, Doubles, Any]:
        return _mel_filters(
            self.frames.rate, self.points, self.bands, self.low, self.top, self.htk, self.norm
        )


@dataclass(frozen=True)
class MFCC(RowsOf):
    """A Feature: chunks of sound -> mel-frequency cepstral coefficients (Davis, Mermelstein, 1980).

    The orthonormal DCT-II of a row of ``mel``, as ``librosa.feature.mfcc``.

    Attributes:
      mel: the log-mel rows.
      number: coefficients kept.

    Raises:
      OptionError: there are fewer bands than coefficients.
    """

    mel: LogMel
    number: int = 13

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.mel.bands:
            raise OptionError(f"number is {self.number}, expected 1 to {self.mel.bands} bands")

    @property
    def below(self) -> Rows:
        return self.mel

    @property
    def width(self) -> int:
        return self.number

    def of_rows(self, rows: Floats) -> Floats:
        # No BLAS: the bits of a row must not depend on how many there are.
        cosines = _cosines(self.number, self.mel.bands)
        doubles = rows.astype(np.float64)
        return np.einsum("nk,ck->nc", doubles, cosines, optimize=False).astype(np.float32)


_WINDOWS = {"hann": (0.5, 0.5), "hamming": (0.54, 0.46), "rectangular": (1.0, 0.0)}


@lru_cache(maxsize=16)
def _window(name: str, size: int) -> Doubles:
    a, b = _WINDOWS[name]
    return a - b * np.cos(2 * np.pi * np.arange(size) / size)


@lru_cache(maxsize=16)
def _cosines(number: int, bands: int) -> Doubles:
    """The orthonormal DCT-II: (number, bands)."""
    k, n = np.arange(number)[:, None], np.arange(bands)
    rows = np.cos(np.pi * k * (2 * n + 1) / (2 * bands)) * np.sqrt(2 / bands)
    rows[0] /= np.sqrt(2)
    return rows


@lru_cache(maxsize=16)
def _mel_filters(
    rate: int, points: int, bands: int, low: float, high: float, htk: bool, norm: bool
) -> tuple[NDArray[np.int64], Doubles, NDArray[np.int64]]:
    """The triangles, only where they are not zero: bins, weights, where each band begins.

    Raises:
      OptionError: a band has no bin.
    """
    bottom, top = _to_mel(np.array([low, high]), htk)
    edges = _to_hertz(np.linspace(bottom, top, bands + 2), htk)
    hertz = np.arange(points // 2 + 1) * rate / points
    rising = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    weights = np.maximum(0, np.minimum(rising, falling))
    if norm:
        weights *= (2 / (edges[2:] - edges[:-2]))[:, None]
    empty = np.flatnonzero(~weights.any(axis=1))
    if len(empty):
        raise OptionError(
            f"band {empty[0]} of {bands} has no point of a transform of {points}: "
            "fewer bands or a larger fft_size"
        )
    band, bins = np.nonzero(weights)
    return bins, weights[band, bins], np.searchsorted(band, np.arange(bands))


_LINEAR_UP_TO = 1000.0  # Hz; Slaney's scale is linear below and logarithmic above
_HERTZ_PER_MEL = 200 / 3
_LOG_STEP = np.log(6.4) / 27


def _to_mel(hertz: Doubles, htk: bool) -> Doubles:
    if htk:
        return 2595 * np.log10(1 + hertz / 700)
    logarithmic = np.log(np.maximum(hertz, _LINEAR_UP_TO) / _LINEAR_UP_TO) / _LOG_STEP
    return np.minimum(hertz, _LINEAR_UP_TO) / _HERTZ_PER_MEL + logarithmic


def _to_hertz(mel: Doubles, htk: bool) -> Doubles:
    if htk:
        return 700 * (10 ** (mel / 2595) - 1)
    straight = _LINEAR_UP_TO / _HERTZ_PER_MEL
    above = np.exp(_LOG_STEP * np.maximum(mel - straight, 0))
    return np.minimum(mel, straight) * _HERTZ_PER_MEL * above
