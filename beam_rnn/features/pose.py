"""Poses -> vectors: where head, hands and feet are, in lengths of a leg, and how they move."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beam_rnn.errors import InputError, OptionError, StateError

__all__ = ["JOINTS", "PARENTS", "Pose"]

PARENTS = (
    *(-1, 0, 1, 2, 3, 4, 5, 0, 7, 8, 9, 10, 11, 0, 13, 14, 15, 16, 17),
    *(18, 15, 20, 21, 22, 23, 24, 25, 23, 27, 15, 29, 30, 31, 32, 33, 34, 32, 36),
)
"""The joint that each of the 38 joints of the CMU skeleton hangs on; -1: the pelvis."""

JOINTS = len(PARENTS)

_SEEN = np.array([3, 4, 5, 9, 10, 11, 18, 21, 22, 23, 30, 31, 32])
"""Both knees, ankles and toes, the head, both shoulders, elbows and wrists."""

_BONES = np.array([3, 4, 9, 10])  # shins and thighs: each joint and its parent
_PARENT = np.array(PARENTS)


class Pose:
    """A Feature: the joints of a body at one moment -> [(None, vector)].

    A value is (38, 3) or (114,): x, y and z of each joint of the CMU skeleton, in any unit, in the
    frame of the body (pelvis at the origin, facing +z, y up). The vector is float32, (78,): the
    places of thirteen joints in lengths of a leg, and how far each moved since the last value, as
    a speed in lengths of a leg per second; 0 at the first value.

    Args:
      rate: values in a second.

    Raises OptionError if rate is not above 0.
    """

    width = 2 * 3 * len(_SEEN)

    def __init__(self, rate: float = 30.0) -> None:
        if not 0 < rate < float("inf"):
            raise OptionError(f"rate is {rate!r}, expected values in a second")
        self.rate = rate

    def feed(self, value: ArrayLike, memory: bytes = b"") -> tuple[list[tuple[None, Any]], bytes]:
        """The vector of a pose; the new memory is where the joints are.

        Raises InputError if value has another shape, is not finite, or has no legs.
        """
        now = _places(value)[None]
        if memory and len(memory) != 4 * now.size:
            raise StateError("the memory of Pose is broken")
        before = np.frombuffer(memory, "<f4").reshape(now.shape) if memory else now
        x = self._vectors(np.concatenate([before, now]))
        return [(None, x[1])], now.astype("<f4").tobytes()

    def finish(self, memory: bytes) -> list[tuple[None, Any]]:
        """Nothing: no pose waits."""
        return []

    def rows(self, poses: ArrayLike) -> NDArray[np.float32]:
        """The vectors (T, 78) of the poses (T, 38, 3) of one stream."""
        places = [_places(pose) for pose in np.asarray(poses, np.float32)]
        if not places:
            return np.zeros((0, self.width), np.float32)
        return self._vectors(np.stack([places[0], *places]))[1:]

    def _vectors(self, places: NDArray[np.float32]) -> NDArray[np.float32]:
        moved = np.zeros_like(places)
        moved[1:] = (places[1:] - places[:-1]) * np.float32(self.rate)
        return np.concatenate([places, moved], axis=1)


def _places(value: ArrayLike) -> NDArray[np.float32]:
    """The places (39,) of the joints that are seen, in lengths of a leg."""
    try:
        joints = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise InputError(f"expected the numbers of a pose, got {type(value).__name__}") from None
    if joints.size != 3 * JOINTS or joints.ndim > 2:
        raise InputError(f"a pose has shape {joints.shape}, expected ({JOINTS}, 3)")
    joints = joints.reshape(JOINTS, 3)
    if not np.isfinite(joints).all():
        raise InputError("a pose has NaN or infinite values")
    bones = joints[_BONES] - joints[_PARENT[_BONES]]
    leg = np.float32(np.sqrt((bones * bones).sum(axis=1)).sum() / 2)
    if not leg > 0:
        raise InputError("a pose has legs of no length: no person was seen")
    return ((joints[_SEEN] - joints[0]) / leg).reshape(-1)
