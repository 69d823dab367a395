"""Poses drawn as silhouettes: a body of limbs, seen from an angle, with the noise of a camera."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from beam_rnn.features.pose import PARENTS

_TALL = 27.0  # units from sole to crown
# Half the thickness of the limb that ends at a joint, in units.
_THICK = {
    **dict.fromkeys([3, 9], 1.35), **dict.fromkeys([4, 10], 0.95), **dict.fromkeys([5, 11], 0.7),
    **dict.fromkeys([6, 12], 0.6), **dict.fromkeys([14, 15], 2.0), **dict.fromkeys([17, 18], 0.9),
    **dict.fromkeys([21, 30], 1.2), **dict.fromkeys([22, 31], 0.85),
    **dict.fromkeys([23, 32], 0.65), **dict.fromkeys([24, 33, 25, 34], 0.6),
}  # fmt: skip
_TORSO = [2, 8, 30, 21]
_HEAD, _CROWN = 18, 19

Image = NDArray[np.uint8]


class View(NamedTuple):
    """From where and how a person is seen."""

    degrees: float  # 0: from the front, 90: from the side
    height: float  # of the person, in pixels
    down: float = 0.0  # degrees that the camera looks down
    stout: float = 1.0  # thickness of the limbs


def draw_mask(pose: NDArray[np.float32], view: View) -> Image:
    """The silhouette of one pose (38, 3): 255 where the body is; the pelvis is in the middle."""
    size = int(view.height * 1.5)
    image = np.zeros((size, size), np.uint8)
    unit = view.height / _TALL
    turn, down = np.deg2rad(view.degrees), np.deg2rad(view.down)
    x = pose[:, 0] * np.cos(turn) + pose[:, 2] * np.sin(turn)
    depth = pose[:, 2] * np.cos(turn) - pose[:, 0] * np.sin(turn)
    y = pose[:, 1] * np.cos(down) - depth * np.sin(down)
    points = np.stack([size / 2 + unit * x, size * 0.46 - unit * y], axis=1)
    points = (points * 16).round().astype(np.int32)  # sixteenths of a pixel
    for joint, half in _THICK.items():
        a, b = points[PARENTS[joint]], points[joint]
        thick = max(round(2 * half * unit * view.stout), 1)
        cv2.line(image, a.tolist(), b.tolist(), 255, thick, cv2.LINE_8, 4)
    cv2.fillConvexPoly(image, points[_TORSO], 255, cv2.LINE_8, 4)
    crown = ((points[_HEAD] + points[_CROWN]) // 2).tolist()
    cv2.circle(image, crown, int(1.7 * unit * 16), 255, -1, cv2.LINE_8, 4)
    return image


def photograph(mask: Image, noise: float, draw: np.random.Generator) -> Image:
    """A grey picture of a mask: a light person on dark, with the noise of a sensor."""
    picture = np.where(mask > 0, 190.0, 60.0) + draw.normal(0, noise, mask.shape)
    return cv2.GaussianBlur(picture.clip(0, 255).astype(np.uint8), (3, 3), 0)


def roughened(mask: Image, draw: np.random.Generator) -> Image:
    """The mask as background subtraction leaves it: fringed, with holes, thicker or thinner."""
    size = len(mask)
    if draw.random() < 0.5:
        kernel = np.ones((3, 3), np.uint8)
        mask = (cv2.dilate if draw.random() < 0.7 else cv2.erode)(mask, kernel)
    field = cv2.resize(
        draw.normal(0, 1, (size // 4 + 1, size // 4 + 1)).astype(np.float32), (size, size)
    )
    edge = cv2.GaussianBlur(mask, (5, 5), 0).astype(np.float32) / 255
    rough = edge + draw.uniform(0, 0.35) * field > 0.5
    near = cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0
    return np.where(rough & near, 255, 0).astype(np.uint8)
