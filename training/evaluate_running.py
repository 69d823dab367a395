"""Recomputes the figures of models/detect_running*.safetensors with `Network.unroll`.

python training/evaluate_running.py models/detect_running.safetensors
python training/evaluate_running.py models/detect_running_video.safetensors [--walkers]
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import beam_rnn as rnn
from beam_rnn.features import Pose, Silhouette
from pipelines.people import shapes_in, silhouette_of
from pipelines.spells import find_spells
from pipelines.video import people_in
from training import motion, packages
from training.drawing import View, draw_mask, photograph
from training.motion import Clip

FOLDER = packages.CACHE / "video"
_WALKERS = "usr/share/doc/opencv-doc/examples/data/vtest.avi"
VIEWS = [View(degrees, height) for degrees in (0, 45, 90, 135) for height in (60, 120)]
NOISE = 25.0  # of a sensor, of 255


class Kind(NamedTuple):
    """What a network looks at."""

    rate: float  # answers in a second
    takes: Callable[[Clip], Iterator[NDArray[np.float32]]]  # of one clip


def poses_of(clip: Clip) -> Iterator[NDArray[np.float32]]:
    """The vectors of a clip: one take."""
    yield Pose(motion.RATE).rows(clip.poses)


def videos_of(clip: Clip) -> Iterator[NDArray[np.float32]]:
    """The vectors of eight videos of a clip: from four angles, in two sizes, with noise."""
    for number, view in enumerate(VIEWS):
        draw = np.random.default_rng(number)
        masks = []
        for pose in clip.poses[:: motion.RATE // 10]:
            picture = photograph(draw_mask(pose, view), NOISE, draw)
            masks += [mask for _, mask in shapes_in(silhouette_of(picture))[:1]]
        yield Silhouette().rows(masks)


POSES, VIDEO = Kind(motion.RATE, poses_of), Kind(10.0, videos_of)


@dataclass
class Figures:
    """How clips were answered; a take is a clip, or one video of it."""

    right: int = 0  # takes of running with an alarm
    missed: int = 0
    wrong: int = 0  # takes of something else with one
    alarms: int = 0  # in these
    seconds: float = 0.0  # of something else
    delays: list[float] = field(default_factory=list)
    where: list[str] = field(default_factory=list)  # what went wrong

    @property
    def f1(self) -> float:
        return 2 * self.right / max(2 * self.right + self.missed + self.wrong, 1)

    @property
    def false_per_minute(self) -> float:
        return 60 * self.alarms / max(self.seconds, 1e-9)

    @property
    def delay(self) -> float:
        """The longest time from the start of a clip of running to its alarm, in seconds."""
        return max(self.delays, default=float("nan"))


def evaluate(network: rnn.Network, clips: list[Clip], kind: Kind) -> Figures:
    """Each take of each clip as one stream."""
    figures = Figures()
    for clip in clips:
        for number, rows in enumerate(kind.takes(clip)):
            spells = find_spells(answers(network, rows, kind.rate))
            if clip.runs:
                figures.right += bool(spells)
                figures.missed += not spells
                figures.delays += [spells[0].known] if spells else []
            else:
                figures.wrong += bool(spells)
                figures.alarms += len(spells)
                figures.seconds += len(rows) / kind.rate
            if bool(spells) != clip.runs:
                figures.where.append(f"{clip.name} take {number}")
    return figures


def answers(
    network: rnn.Network, rows: NDArray[np.float32], rate: float
) -> Iterator[tuple[float, str, float]]:
    """(seconds, label, score) of each row."""
    y, _ = network.unroll(rows)
    labels: Any = network.labels
    for step, row in enumerate(y):
        yield step / rate, labels[row.argmax()], float(row.max())


def alarms_among_walkers(network: rnn.Network, folder: Path = FOLDER) -> tuple[int, int]:
    """(people, times that one is said to run) in a video of people who walk (Debian opencv-doc)."""
    data = packages.read_debian(packages.debian("opencv-doc", folder), _WALKERS)
    masks: dict[int, list[NDArray[np.uint8]]] = {}
    with tempfile.NamedTemporaryFile(suffix=".avi") as file:
        file.write(data)
        file.flush()
        for _, _, seen, _ in people_in(file.name, silhouettes=False):
            for one in seen:
                masks.setdefault(one.person, []).append(one.mask)
    spells = [
        find_spells(answers(network, Silhouette().rows(own), VIDEO.rate)) for own in masks.values()
    ]
    return len(masks), sum(map(len, spells))


def table_lines(figures: Figures) -> list[str]:
    """The figures as rows of a table."""
    return [
        "| clip-level F1 | right | missed | wrong | false alarms a minute | longest delay |",
        "|---|---|---|---|---|---|",
        f"| {figures.f1:.3f} | {figures.right} | {figures.missed} | {figures.wrong} | "
        f"{figures.false_per_minute:.2f} in {figures.seconds / 60:.1f} min | "
        f"{figures.delay:.2f} s |",
        *figures.where,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, default=motion.DATA, help="the motion capture")
    parser.add_argument("--split", default="test", choices=["train", "test"])
    parser.add_argument("--walkers", action="store_true", help="a video of people who walk instead")
    options = parser.parse_args()
    network = rnn.load(options.model)
    if options.walkers:
        people, alarms = alarms_among_walkers(network)
        print(f"{people} people who walk, {alarms} alarms")
        return
    kind = POSES if network.input_shape == (Pose.width,) else VIDEO
    clips = [clip for clip in motion.read_clips(options.data) if clip.split == options.split]
    print("\n".join(table_lines(evaluate(network, clips, kind))))


if __name__ == "__main__":
    main()
