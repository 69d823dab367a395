"""A video or a camera as a stream of events: the masks of the people in it, ten times a second."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from beam_rnn import InputError
from pipelines.job import Refused, is_here
from pipelines.people import (
    RATE,
    Foreground,
    Image,
    Seen,
    Tracks,
    frames_at_rate,
    shapes_in,
    silhouette_of,
)
from pipelines.sources import Line, stopped

SUFFIXES = (".avi", ".mp4", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg")
FRAMES_AT_ONCE = 10


def is_video(path: str) -> bool:
    """Whether a path of this machine is a video by its name, or the number of a camera."""
    return path.isdigit() or (is_here(path) and Path(path).suffix.lower() in SUFFIXES)


def check_video(path: str) -> None:
    """Raises ``Refused`` if the video cannot be opened, or has no frame."""
    try:
        first = next(frames_at_rate(path), None)
    except ValueError as error:
        raise Refused(f"the input {path} is {error}") from None
    if first is None:
        raise Refused(f"the input {path} has no frame that can be read")


def stream_of(path: str, person: int) -> str:
    """The name of the stream of a person in a video."""
    return f"{Path(path).name}#{person}"


def people_in(path: str, silhouettes: bool) -> Iterator[tuple[float, Image, list[Seen], list[int]]]:
    """(seconds, frame, people in it, people who have left) of each frame that is looked at."""
    tracks, foreground = Tracks(), Foreground()
    for seconds, frame in frames_at_rate(path):
        mask = silhouette_of(frame) if silhouettes else foreground(frame)
        yield seconds, frame, *tracks.follow(shapes_in(mask))


def pack_mask(mask: Image) -> str:
    """A mask as base64 of a PNG file."""
    return base64.b64encode(cv2.imencode(".png", mask)[1].tobytes()).decode()


def unpack_mask(text: object) -> Image:
    """The mask of a base64 PNG file.

    Raises:
      InputError: it is none.
    """
    if not isinstance(text, str):
        raise InputError(f"a mask is a {type(text).__name__}, expected base64 of a PNG file")
    try:
        data = base64.b64decode(text, validate=True)
        mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    except (ValueError, cv2.error):
        mask = None
    if mask is None:
        raise InputError("a mask is not base64 of a PNG file")
    return mask.astype(np.uint8)


@dataclass(frozen=True)
class People:
    """The people of a video as JSON lines of events; see ``pipelines.sources.Lines``.

    Attributes:
      path: of the video, or the number of a camera.
      silhouettes: whether it shows people light on dark, and nothing else.
    """

    path: str
    silhouettes: bool = False

    def read(self, offsets: dict[str, int], closing: bool) -> tuple[list[Line], bool]:
        """Reads on; see ``Lines``. Offsets are frames."""
        if stopped():
            return [], True
        reader = _reader(self.path, self.silhouettes)
        first = offsets.get(self.path, 0)
        if reader.number > first:  # begun anew
            _reader.cache_clear()
            reader = _reader(self.path, self.silhouettes)
        return reader.read(first)


class _Reader:
    """Where a video has been read to."""

    def __init__(self, path: str, silhouettes: bool) -> None:
        self._path = path
        self._frames = people_in(path, silhouettes)
        self.number = 0

    def read(self, first: int) -> tuple[list[Line], bool]:
        lines: list[Line] = []
        while self.number < first + FRAMES_AT_ONCE:
            now = next(self._frames, None)
            if now is None:
                return lines, not lines
            seconds, _, seen, left = now
            self.number += 1
            if self.number <= first:
                continue
            lines += [
                Line(self._path, self.number, data) for data in self._events(seconds, seen, left)
            ]
        if not lines:  # nobody: an empty line, so that it is known how far it was read
            lines.append(Line(self._path, self.number, b""))
        return lines, False

    def _events(self, seconds: float, seen: list[Seen], left: list[int]) -> Iterator[bytes]:
        for person in left:
            fields = {"stream": stream_of(self._path, person), "time": seconds, "end": True}
            yield json.dumps(fields).encode()
        for one in seen:
            fields = {
                "stream": stream_of(self._path, one.person),
                "time": seconds,
                "mask": pack_mask(one.mask),
            }
            yield json.dumps(fields).encode()


@lru_cache(maxsize=1)
def _reader(path: str, silhouettes: bool) -> _Reader:
    return _Reader(path, silhouettes)


__all__ = ["RATE", "People", "check_video", "is_video", "people_in", "stream_of", "unpack_mask"]
