"""Pictures of running: a film strip of each person, the answers over time, a marked video."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from beam_rnn.features.pose import JOINTS, PARENTS
from pipelines.people import RATE
from pipelines.spells import RUNNING, Spell
from pipelines.video import people_in, stream_of

FIGURES = 24  # of a person in a strip
PEOPLE = 6  # that are drawn, those who run first
RUN, REST = "#b3261e", "#555555"
_RED, _GREY = (30, 38, 179), (150, 150, 150)  # BGR, as OpenCV has it

Answers = dict[str, list[tuple[float, str, float]]]


class Video(NamedTuple):
    """A video and how it is looked at."""

    path: str
    silhouettes: bool


def _chosen(answers: Answers, spells: dict[str, list[Spell]]) -> list[str]:
    """Those who are drawn: first who ran, then who was seen longest."""
    order = sorted(answers, key=lambda s: (not spells.get(s), -len(answers[s]), s))
    return order[:PEOPLE]


def _runs_at(spells: Sequence[Spell], seconds: float) -> bool:
    return any(spell.start <= seconds <= spell.stop for spell in spells)


def draw_pose_strip(
    path: Path, source: str, answers: Answers, spells: dict[str, list[Spell]]
) -> None:
    """Draws the stick figures of a JSON lines file of poses, and how sure running is, as PNG."""
    chosen = _chosen(answers, spells)
    poses: dict[str, list[tuple[float, Any]]] = {stream: [] for stream in chosen}
    for line in Path(source).read_bytes().splitlines():
        try:
            fields = json.loads(line)
            if fields["stream"] in poses and fields.get("joints") is not None:
                joints = np.asarray(fields["joints"], float).reshape(JOINTS, 3)
                poses[fields["stream"]].append((len(poses[fields["stream"]]), joints))
        except (ValueError, KeyError, TypeError):
            continue  # it is among the failed
    panels = {}
    for stream in chosen:
        times = [seconds for seconds, _, _ in answers[stream]]
        own = [pose for _, pose in poses[stream]][: len(times)]
        step = max(len(own) // FIGURES, 1)
        panels[stream] = [
            (times[i], ("pose", own[i])) for i in range(0, min(len(own), step * FIGURES), step)
        ]
    _draw(path, chosen, panels, answers, spells)


def draw_video_strip(
    path: Path, video: Video, answers: Answers, spells: dict[str, list[Spell]]
) -> None:
    """Draws what was cut out of a video of each person, and how sure running is, as PNG."""
    chosen = _chosen(answers, spells)
    cut: dict[str, list[tuple[float, Any]]] = {stream: [] for stream in chosen}
    for seconds, frame, seen, _ in people_in(*video):
        for one in seen:
            stream = stream_of(video.path, one.person)
            if stream in cut:
                box = one.box
                part = frame[box.y : box.y + box.height, box.x : box.x + box.width]
                cut[stream].append((seconds, ("image", part[..., ::-1].copy())))
    panels = {}
    for stream, own in cut.items():
        step = max(len(own) // FIGURES, 1)
        panels[stream] = own[: step * FIGURES : step]
    _draw(path, chosen, panels, answers, spells)


def _draw(
    path: Path,
    chosen: list[str],
    panels: dict[str, list[tuple[float, Any]]],
    answers: Answers,
    spells: dict[str, list[Spell]],
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = max(len(chosen), 1)
    height = 0.8 + 1.75 * rows
    figure = pyplot.figure(figsize=(13, height))
    grid = figure.add_gridspec(
        2 * rows, FIGURES, height_ratios=[1.5, 1] * rows, hspace=0.45, top=1 - 0.7 / height
    )
    for row, stream in enumerate(chosen):
        for column, (seconds, (kind, content)) in enumerate(panels[stream][:FIGURES]):
            axis = figure.add_subplot(grid[2 * row, column])
            colour = RUN if _runs_at(spells[stream], seconds) else REST
            _stick(axis, content, colour) if kind == "pose" else axis.imshow(content)
            axis.set(xticks=[], yticks=[])
            for side in axis.spines.values():
                side.set(color=colour, linewidth=2 if colour == RUN else 0.4)
            if column == 0:
                axis.set_title(f"{stream}", fontsize=9, loc="left")
        axis = figure.add_subplot(grid[2 * row + 1, :])
        times = [seconds for seconds, _, _ in answers[stream]]
        sure = [score if label == RUNNING else 1 - score for _, label, score in answers[stream]]
        axis.plot(times, sure, color=RUN, lw=1)
        for spell in spells[stream]:
            axis.axvspan(spell.start, spell.stop, color=RUN, alpha=0.15, lw=0)
            axis.axvline(spell.known, color=RUN, lw=0.8, ls=":")
        last = max(times[-1], times[0] + 0.1)
        axis.set(ylim=(-0.05, 1.05), yticks=[0, 1], xlim=(times[0], last))
        axis.tick_params(labelsize=7)
        axis.set_ylabel("running", fontsize=7)
    figure.suptitle(
        "Who is running (seconds): red where it was found, dotted where it was sure",
        fontsize=10,
        x=0.12,
        ha="left",
        y=1 - 0.2 / height,
    )
    figure.savefig(path, dpi=100, bbox_inches="tight")
    pyplot.close(figure)


def _stick(axis: Any, joints: Any, colour: str) -> None:
    """A stick figure, seen from the side and a little from the front."""
    x = joints[:, 2] * 0.85 + joints[:, 0] * 0.5
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            axis.plot(x[[parent, joint]], joints[[parent, joint], 1], color=colour, lw=1.2)
    axis.set(xlim=(-13, 13), ylim=(-20, 13), aspect="equal")


def mark_video(path: Path, video: Video, spells: dict[str, list[Spell]]) -> None:
    """Writes the video with a box around each person, red while he runs (Motion JPEG)."""
    writer = None
    for seconds, frame, seen, _ in people_in(*video):
        shown = frame if frame.ndim == 3 else cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
        if writer is None:
            size = (shown.shape[1], shown.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, size)
        for one in seen:
            stream = stream_of(video.path, one.person)
            runs = _runs_at(spells.get(stream, []), seconds)
            colour = _RED if runs else _GREY
            corner = (one.box.x + one.box.width, one.box.y + one.box.height)
            cv2.rectangle(shown, (one.box.x, one.box.y), corner, colour, 2 if runs else 1)
            if runs:
                above = (one.box.x, max(one.box.y - 4, 10))
                cv2.putText(shown, "running", above, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1)
        writer.write(shown)
    if writer is not None:
        writer.release()
