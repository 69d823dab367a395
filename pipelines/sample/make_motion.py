"""Makes poses.jsonl and running.avi, the committed samples of people who move.

    python pipelines/sample/make_motion.py

takes the test clips of the motion capture (shared/data/cmu_mocap), which training never saw. The
same data and OpenCV give the same files.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from training import motion
from training.drawing import View, draw_mask, photograph

PLAY = ["walking_12x", "running_1", "jumping_1", "running_1", "soccer_1", "washwindow_1"]
LONGEST = 75  # frames of an action of the play
ALONE = 30  # frames of each clip that is a stream of its own
PIXELS = 72  # that the person in the video is high
NOISE = 12.0


def play(clips: list[motion.Clip]) -> motion.Poses:
    """One action after the other, as one person might do them."""
    named = {clip.name.partition("/")[2]: clip.poses for clip in clips}
    parts: list[motion.Poses] = []
    for name in PLAY:
        poses = named[name][:LONGEST]
        if name.startswith("running"):  # there and back: it is short
            poses = np.concatenate([poses, poses[::-1]])
        if parts:
            parts.append(motion.between(parts[-1][-1], poses[0]))
        parts.append(poses)
    return np.concatenate(parts)


def main() -> None:
    """Writes both files beside this one."""
    folder = Path(__file__).parent
    clips = [clip for clip in motion.read_clips() if clip.split == "test"]
    scene = play(clips)
    streams = {"play": scene} | {clip.name.partition("/")[2]: clip.poses[:ALONE] for clip in clips}
    events = [
        (frame / motion.RATE, number, name, pose)
        for number, (name, poses) in enumerate(streams.items())
        for frame, pose in enumerate(poses)
    ]
    with (folder / "poses.jsonl").open("w") as out:
        for time, _, name, pose in sorted(events, key=lambda event: event[:2]):
            joints = [round(float(v), 1) + 0.0 for v in pose.reshape(-1)]
            fields = {"stream": name, "time": round(time, 3), "joints": joints}
            out.write(json.dumps(fields, separators=(",", ":")) + "\n")
    draw = np.random.default_rng(0)
    view = View(degrees=80, height=PIXELS, down=5)
    size = len(draw_mask(scene[0], view))
    code = cv2.VideoWriter.fourcc(*"MJPG")
    video = cv2.VideoWriter(str(folder / "running.avi"), code, 10, (size, size))
    for pose in scene[:: motion.RATE // 10]:
        picture = photograph(draw_mask(pose, view), NOISE, draw)
        video.write(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR))
    video.release()
    print(f"{len(streams)} streams, {len(events)} poses")


if __name__ == "__main__":
    main()
