"""Sound as a stream of events: files, a folder of files that come or grow, live PCM.

Each chunk is a JSON line with `stream`, `time` (seconds of its recording) and `sound` (base64 of
16-bit little-endian PCM, one channel). A recording that cannot be used is a line whose `sound`
says why.
"""

import base64
import binascii
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from beam_rnn import InputError
from pipelines import sources
from pipelines.job import Refused
from pipelines.sources import Line

SUFFIXES = (".wav", ".flac")
CHUNK = 0.1  # seconds
CHUNKS_AT_ONCE = 50  # of one file
SETTLED = 2.0  # seconds after which a file that did not change is complete

_DATA = re.compile(r"data\s*:\s*(\d+) \(should be (\d+)\)")
_ENDLESS = 0x7FF00000  # a header says at least so many bytes where the length was not known


def is_recording(path: str) -> bool:
    """Whether a path is a recording by its name."""
    return Path(path).suffix.lower() in SUFFIXES


def opened(path: str, rate: int) -> soundfile.SoundFile:
    """Opens a recording.

    Raises:
      ValueError: it is none, or has another rate, several channels or no sound; says which.
    """
    try:
        if not os.path.getsize(path):
            raise ValueError("an empty file")
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError) as error:
        reason = getattr(error, "error_string", None) or str(error)
        raise ValueError(f"no WAV or FLAC file that can be read ({reason.strip(' .')})") from None
    if file.channels == 1 and file.samplerate == rate and file.frames:
        return file
    file.close()
    if file.channels != 1:
        raise ValueError(f"sound of {file.channels} channels, expected one")
    if (own := file.samplerate) != rate:
        raise ValueError(f"sound of {own} samples per second, expected {rate}: say --rate {own}")
    raise ValueError("a file without sound")


def samples_of(value: Any) -> bytes:
    """The samples of what an event holds.

    Raises:
      InputError: it holds none.
    """
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict) and isinstance(value.get("failed"), str):
        raise InputError(value["failed"])
    if not isinstance(value, str):
        raise InputError(f"sound is a {type(value).__name__}, expected base64 of 16-bit PCM")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise InputError("sound is not base64 of 16-bit PCM") from None


def line_of(stream: str, seconds: float, samples: bytes) -> bytes:
    """A chunk of sound as a line of JSON."""
    sound = base64.b64encode(samples).decode()
    return _json(stream, seconds, sound=sound)


def _json(stream: str, seconds: float, **fields: Any) -> bytes:
    return json.dumps({"stream": stream, "time": round(seconds, 6), **fields}).encode()


@dataclass(frozen=True)
class Recordings:
    """A recording, or those of a folder; see ``pipelines.sources.Lines``. Offsets are samples.

    Each file is a stream of its name. In a folder, files that are still written are read as they
    grow (WAV) or when they are complete (FLAC); one that did not change for ``SETTLED`` seconds
    has ended, and what is appended later begins a new sequence of its stream.

    Attributes:
      path: of the file or folder.
      rate: samples per second that they must have.
    """

    path: str
    rate: int

    def read(self, offsets: dict[str, int], closing: bool) -> tuple[list[Line], bool]:
        """Reads on; see ``Lines``."""
        if sources.stopped():
            return [], True
        lines: list[tuple[float, Line]] = []
        folder = os.path.isdir(self.path)
        for path in self.paths():
            status = os.stat(path)
            ended = f"{path} ended"
            if offsets.get(ended) == status.st_mtime_ns:
                continue
            whole = closing or not folder or time.time() - status.st_mtime > SETTLED
            more, over = self._read(path, offsets.get(path, 0), whole)
            lines += more
            if over:
                # An empty line, which is nothing: that the file has ended.
                lines.append((lines[-1][0], Line(ended, status.st_mtime_ns, b"")))
            if len(lines) >= sources.LINES_AT_ONCE:
                break
        lines.sort(key=lambda line: line[0])  # as they would come if all were told at once
        return [line for _, line in lines], not folder and not lines

    def check(self) -> None:
        """Raises ``Refused`` if it is one recording that cannot be read."""
        if not os.path.isdir(self.path):
            try:
                opened(self.path, self.rate).close()
            except ValueError as error:
                raise Refused(f"the input {self.path} is {error}") from None

    def paths(self) -> list[str]:
        """The recordings that are there, by name."""
        if not os.path.isdir(self.path):
            return [self.path]
        with os.scandir(self.path) as entries:
            return sorted(
                entry.path
                for entry in entries
                if entry.is_file() and not entry.name.startswith(".") and is_recording(entry.name)
            )

    def _read(self, path: str, first: int, whole: bool) -> tuple[list[tuple[float, Line]], bool]:
        """The next chunks of a file from a sample on, and whether it has ended with them."""
        stream = Path(path).name
        lines: list[tuple[float, Line]] = []
        reason, at = "", first
        try:
            with opened(path, self.rate) as file:
                size = round(CHUNK * self.rate)
                for samples in _chunks(file, path, first, size):
                    if len(samples) < 2 * size and not whole:
                        break  # more of it will come
                    seconds = at / self.rate
                    at += len(samples) // 2
                    lines.append((seconds, Line(path, at, line_of(stream, seconds, samples))))
                    if len(lines) == CHUNKS_AT_ONCE:
                        return lines, False
                reason = _missing(file, at)
        except ValueError as error:
            reason = str(error)
        if not whole:
            return lines, False
        seconds = at / self.rate
        if reason:
            failed = _json(stream, seconds, sound={"failed": reason})
            lines.append((seconds, Line(path, at, failed)))
        if at:
            lines.append((seconds, Line(path, at, _json(stream, seconds, end=True))))
        return lines, True


def _chunks(file: soundfile.SoundFile, path: str, first: int, size: int) -> Iterator[bytes]:
    """The samples from one on, as far as they can be read."""
    try:
        if first:
            file.seek(first)
    except soundfile.LibsndfileError:  # a FLAC file that is cut off: it can only be read through
        with soundfile.SoundFile(path) as again:
            for _ in range(first // size):
                again.read(size, "int16")
            yield from _rest(again, size)
    else:
        yield from _rest(file, size)


def _rest(file: soundfile.SoundFile, size: int) -> Iterator[bytes]:
    try:
        while len(samples := file.read(size, "int16")):
            yield samples.astype("<i2").tobytes()
    except soundfile.LibsndfileError:
        return


def _missing(file: soundfile.SoundFile, at: int) -> str:
    """What is missing of a file that was read up to a sample, or ""."""
    says, found = file.frames, _DATA.search(file.extra_info)
    if found and int(found[1]) < _ENDLESS:
        width = max(int(found[2]) // max(file.frames, 1), 1)
        says = int(found[1]) // width
    if at >= says:
        return ""
    rate = file.samplerate
    told = f"of {says / rate:.1f}" if says < 1 << 62 else "of an unknown number of"
    return f"the file stops in the middle, after {at / rate:.1f} {told} seconds"


@dataclass(frozen=True)
class Microphone:
    """16-bit PCM on standard input, as it comes; see ``pipelines.sources.Lines``.

    Attributes:
      rate: samples per second.
    """

    rate: int

    def read(self, offsets: dict[str, int], closing: bool) -> tuple[list[Line], bool]:
        """Reads on; see ``Lines``. Half a sample at the end is nothing."""
        size = round(CHUNK * self.rate)
        lines = []
        chunks, ended = sources.standard_input(2 * size).take()
        for file, number, data in chunks:
            seconds = (number - 1) * size / self.rate
            lines.append(
                Line(file, number, line_of(sources.STANDARD_INPUT, seconds, data[: len(data) & ~1]))
            )
        return lines, ended


def sound_in(path: str, rate: int, seconds: float) -> Any:
    """The first seconds of a recording, -1 to 1, as far as they can be read."""
    parts = []
    try:
        with opened(path, rate) as file:
            for samples in _chunks(file, path, 0, round(CHUNK * rate)):
                parts.append(np.frombuffer(samples, "<i2") / 32768)
                if len(parts) * CHUNK >= seconds:
                    break
    except ValueError:
        pass  # it is among the failed
    return np.concatenate([np.zeros(0), *parts])
