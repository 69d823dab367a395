"""People in a video: what moves, cut out frame by frame, each person a stream of masks."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

RATE = 10.0  # frames in a second that are looked at
SMALLEST = 24  # pixels that a person is high
_NARROWEST, _WIDEST = 0.15, 1.3  # widths of a person in heights
_LOST = 5  # frames without a person after which he has left
_BORDER = 2  # pixels: who touches the border is cut off
_LEARN = 2.0  # seconds in which the background is learnt

Image = NDArray[np.uint8]


class Box(NamedTuple):
    """A rectangle of a frame, in pixels."""

    x: int
    y: int
    width: int
    height: int


class Seen(NamedTuple):
    """A person in a frame."""

    person: int  # counted from 1
    box: Box
    mask: Image  # of the box: 255 where the person is


def silhouette_of(frame: Image) -> Image:
    """The mask of a picture that shows people light on dark (or in colours on black)."""
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) if frame.ndim == 3 else frame
    smooth = cv2.GaussianBlur(grey, (5, 5), 0)
    if int(smooth.max()) - int(smooth.min()) < 48:
        return np.zeros_like(grey)  # nobody: one level alone
    _, mask = cv2.threshold(smooth, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return mask.astype(np.uint8)


class Foreground:
    """What moves before a camera that stands still."""

    def __init__(self) -> None:
        self._model = cv2.createBackgroundSubtractorMOG2(
            history=int(20 * RATE), varThreshold=30, detectShadows=True
        )
        self._seen = 0
        self._kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))

    def __call__(self, frame: Image) -> Image:
        """The mask of the next frame; empty while the background is being learnt."""
        mask = self._model.apply(frame)
        self._seen += 1
        if self._seen <= _LEARN * RATE:
            return np.zeros_like(mask)
        mask = np.where(mask == 255, 255, 0).astype(np.uint8)  # 127: shadows
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, self._kernel)
        return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, self._kernel, iterations=2).astype(np.uint8)


def shapes_in(mask: Image) -> list[tuple[Box, Image]]:
    """The parts of a mask that are as high and wide as people, the largest first."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    rows, columns = mask.shape
    shapes = []
    for number in np.argsort(-stats[1:count, cv2.CC_STAT_AREA]) + 1:
        x, y, width, height, area = (int(v) for v in stats[number])
        inside = x >= _BORDER and y >= _BORDER
        inside &= x + width <= columns - _BORDER and y + height <= rows - _BORDER
        like = height >= SMALLEST and _NARROWEST <= width / height <= _WIDEST
        if inside and like and area >= 0.15 * width * height:
            part = np.where(labels[y : y + height, x : x + width] == number, 255, 0)
            shapes.append((Box(x, y, width, height), part.astype(np.uint8)))
    return shapes


@dataclass
class Tracks:
    """Who is who from frame to frame: boxes that overlap belong to one person."""

    _last: dict[int, tuple[Box, int]] = field(default_factory=dict)  # box, frames ago
    _count: int = 0

    def follow(self, shapes: list[tuple[Box, Image]]) -> tuple[list[Seen], list[int]]:
        """The people of the next frame, and those who have left."""
        seen: list[Seen] = []
        free = dict(self._last)
        for box, mask in shapes:
            person = max(free, key=lambda p: _overlap(free[p][0], box), default=0)
            if person and _overlap(free[person][0], box) > 0.2:
                del free[person]
            else:
                self._count += 1
                person = self._count
            self._last[person] = (box, 0)
            seen.append(Seen(person, box, mask))
        left = []
        for person, (box, ago) in free.items():
            if ago + 1 >= _LOST:
                del self._last[person]
                left.append(person)
            else:
                self._last[person] = (box, ago + 1)
        return seen, left


def _overlap(a: Box, b: Box) -> float:
    """Area of both over area of either."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / (a.width * a.height + b.width * b.height - both)


def frames_at_rate(path: str) -> Iterator[tuple[float, Any]]:
    """(seconds, frame) of a video or camera, RATE times a second or as often as it has frames.

    Raises:
      ValueError: it cannot be opened, or has fewer frames a second than are needed.
    """
    video = cv2.VideoCapture(int(path) if path.isdigit() else path)
    try:
        if not video.isOpened():
            raise ValueError("no video that OpenCV can open")
        rate = video.get(cv2.CAP_PROP_FPS) or 30.0
        if rate < 0.8 * RATE:
            raise ValueError(f"{rate:g} frames a second, expected at least {RATE:g}")
        due, number = 0.0, 0
        while True:
            there, frame = video.read()
            if not there:
                return
            if number / rate >= due - 1e-6:
                yield number / rate, frame
                due += 1 / RATE
            number += 1
    finally:
        video.release()
