"""Motion capture: clips of people who run, walk, jump ..., and scenes made of them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "cmu_mocap" / "cmu_mocap.parquet"
RATE = 30  # frames in a second
_LEFT, _RIGHT = (1, 2, 3, 4, 5, 6), (7, 8, 9, 10, 11, 12)
_LEFT_ARM, _RIGHT_ARM = tuple(range(20, 29)), tuple(range(29, 38))
_BLEND = 6  # frames from one clip to the next

Poses = NDArray[np.float32]


class Clip(NamedTuple):
    """A recording of one person."""

    name: str
    split: str  # "train" or "test"
    action: str
    poses: Poses  # (T, 38, 3)

    @property
    def runs(self) -> bool:
        return self.action == "running"


def read_clips(path: Path = DATA) -> list[Clip]:
    """All clips, frames in their order, without the first: a pose of rest, not of the person."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    joints = np.asarray(table["joints"].combine_chunks().flatten()).reshape(-1, 38, 3)
    names, frames = (np.array(table[name].to_pylist()) for name in ("clip", "frame"))
    split, action = table["split"].to_pylist(), table["action"].to_pylist()
    clips = []
    for name in sorted(set(names.tolist())):
        own = np.flatnonzero(names == name)
        own = own[np.argsort(frames[own])]
        poses = joints[own[1:]].astype(np.float32)
        clips.append(Clip(name, split[own[0]], action[own[0]], poses))
    return clips


def mirrored(poses: Poses) -> Poses:
    """Left and right exchanged."""
    order = np.arange(38)
    for left, right in ((_LEFT, _RIGHT), (_LEFT_ARM, _RIGHT_ARM)):
        order[list(left)], order[list(right)] = right, left
    return poses[:, order] * np.float32([-1, 1, 1])


def stretched(poses: Poses, factor: float) -> Poses:
    """The same motion in `factor` times the time."""
    at = np.arange(0, len(poses) - 1, 1 / factor)
    first = at.astype(int)
    share = (at - first)[:, None, None].astype(np.float32)
    return poses[first] * (1 - share) + poses[first + 1] * share


def turned(poses: Poses, degrees: float) -> Poses:
    """The bodies turned about the upright axis."""
    angle = np.deg2rad(degrees)
    turn = [[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]]
    return poses @ np.array(turn, np.float32)


def changed(poses: Poses, draw: np.random.Generator) -> Poses:
    """Another person, who does the same: mirrored or not, faster or slower, not quite straight."""
    if draw.random() < 0.5:
        poses = mirrored(poses)
    poses = turned(stretched(poses, draw.uniform(0.8, 1.25)), draw.normal(0, 8))
    size = draw.normal(1, 0.04, (1, 38, 1)) * np.float32([1, 1, 1])
    noise = draw.normal(0, draw.uniform(0, 0.15), poses.shape)
    return (poses * size + noise).astype(np.float32)


def between(last: Poses, first: Poses) -> Poses:
    """The way from one pose to the next."""
    share = (np.arange(1, _BLEND + 1) / (_BLEND + 1)).astype(np.float32)[:, None, None]
    return last * (1 - share) + first * share


def scene(
    clips: list[Clip], length: int, draw: np.random.Generator
) -> tuple[Poses, NDArray[np.bool_]]:
    """Clips one after the other: poses (length, 38, 3), and whether the person runs.

    A third of the clips are of running; where one goes over into the next, it is the later.
    """
    actions = sorted({clip.action for clip in clips if not clip.runs})
    poses, runs = np.zeros((0, 38, 3), np.float32), np.zeros(0, bool)
    while len(poses) < length:
        run = draw.random() < 1 / 3
        action = "running" if run else actions[draw.integers(len(actions))]
        own = [clip for clip in clips if clip.action == action]
        clip = own[draw.integers(len(own))]
        part = changed(clip.poses, draw)
        if not run:
            size = int(draw.integers(20, 120))
            first = int(draw.integers(max(len(part) - size, 0) + 1))
            part = part[first : first + size]
        elif draw.random() < 0.5:  # running that goes on: there and back is close enough
            part = np.concatenate([part, part[::-1]])
        if len(poses):
            poses = np.concatenate([poses, between(poses[-1], part[0])])
            runs = np.concatenate([runs, np.full(_BLEND, run)])
        poses = np.concatenate([poses, part])
        runs = np.concatenate([runs, np.full(len(part), run)])
    return poses[:length], runs[:length]
