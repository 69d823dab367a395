"""Who is running? From a video, a camera, or poses of motion capture, while it is being told.

    python -m beam_rnn detect-running [--input PATH] [--output FOLDER] [options of Beam]

Reads a video (or the number of a camera), or JSON lines with `stream`, `time` and `joints` (38 x
3 numbers) from a file, a growing folder, standard input or Kafka. Each person is a stream. Writes
answers/*.parquet, runs.jsonl (from when to when, how sure), strip.png, for a video marked.avi,
index.html and failed.jsonl.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam

import beam_rnn as rnn
from beam_rnn.features import Pose, Silhouette
from beam_rnn.report import Kind, Piece, Section
from pipelines import sinks, sources
from pipelines.application import Application, Rows, View
from pipelines.pages import Look
from pipelines.places import MODELS, SAMPLES
from pipelines.spells import RUNNING, Spell, find_spells
from pipelines.texts import Seen, is_last

ANSWERS, RUNS, STRIP, MARKED = "answers", "runs.jsonl", "strip.png", "marked.avi"
POSE_MODEL, VIDEO_MODEL = (
    MODELS / "detect_running.safetensors",
    MODELS / "detect_running_video.safetensors",
)


class Moment(NamedTuple):
    """A row of the output: a moment of a person. ``time`` is in microseconds since 1970."""

    stream: str
    time: int
    step: int
    label: str
    score: float


Answers = dict[str, list[tuple[float, str, float]]]
"""(seconds, label, score) of each stream, in order."""


def detector_of(path: str) -> tuple[rnn.Network, Seen]:
    """A detector of running, and the feature that feeds it with observations.

    Raises:
      rnn.WeightsError: the file cannot be read.
      rnn.ModelError: it holds another kind of network.
    """
    network = rnn.load(path)
    if network.labels is None or RUNNING not in network.labels:
        raise rnn.ModelError(f"{path} is no detector of running: it has no such label")
    if network.input_shape == (Pose.width,):
        return network, Seen(Pose(float(network.card.get("rate", 30))))
    if network.input_shape == (Silhouette.width,):
        from pipelines.video import unpack_mask

        return network, Seen(Silhouette(), unpack_mask)
    raise rnn.ModelError(
        f"{path} is no detector of running: it needs {Pose.width} or {Silhouette.width} numbers,"
        f" got {network.input_shape}"
    )


def _is_video(given: argparse.Namespace) -> bool:
    from pipelines.video import is_video

    return not given.batch and is_video(given.input)


def _model(given: argparse.Namespace) -> str:
    if Path(given.model) == POSE_MODEL and _is_video(given):
        return str(VIDEO_MODEL)
    return str(given.model)


def _field(given: argparse.Namespace) -> str:
    return "mask" if Path(_model(given)) == VIDEO_MODEL or _is_video(given) else "joints"


def _lines(given: argparse.Namespace) -> sources.Lines:
    if not _is_video(given):
        return sources.lines_of(given.input)
    from pipelines.video import People

    return People(given.input, given.silhouettes)


def _answer(events: Any, given: argparse.Namespace) -> Rows:
    model = _model(given)
    _, seen = detector_of(model)
    tagged = events | "Tag" >> rnn.Tag(model, x=seen, end=is_last, expire_after=given.expire_after)
    answers = tagged | "Answers" >> beam.Map(_as_moment).with_output_types(Moment)
    return {ANSWERS: answers}, [tagged.failed]


def _as_moment(tagged: tuple[str, Any], time: Any = beam.DoFn.TimestampParam) -> Moment:
    stream, answer = tagged
    return Moment(stream, time.micros, answer.step, answer.label, float(answer.score))


def _check(given: argparse.Namespace) -> None:
    if _is_video(given):
        from pipelines.video import check_video

        check_video(given.input)


def answers_in(folder: Path) -> Answers:
    """What was answered, stream by stream; a stream that began anew counts as another."""
    answers: Answers = {}
    begun: Counter[str] = Counter()
    for row in sinks.read_rows(folder, Moment):
        begun[row.stream] += row.step == 1
        again = begun[row.stream]
        name = f"{row.stream}\t{again}" if again > 1 else row.stream
        answers.setdefault(name, []).append((row.time / 1e6, row.label, row.score))
    return answers


def _finish(given: argparse.Namespace, output: Path) -> list[str]:
    from pipelines import strips

    answers = answers_in(output / ANSWERS)
    spells = {stream: find_spells(own) for stream, own in answers.items()}
    (output / RUNS).write_text("".join(f"{line}\n" for line in _run_lines(spells)))
    if _is_video(given) and not given.input.isdigit():
        video = strips.Video(given.input, given.silhouettes)
        strips.mark_video(output / MARKED, video, spells)
        strips.draw_video_strip(output / STRIP, video, answers, spells)
    elif given.input != "-" and not given.batch and Path(given.input).is_file():
        strips.draw_pose_strip(output / STRIP, given.input, answers, spells)
    runs = sum(map(len, spells.values()))
    seen = sum(map(len, answers.values()))
    return [f"{len(answers):,} people, {seen:,} moments, {runs:,} times somebody ran"]


def _run_lines(spells: dict[str, list[Spell]]) -> Iterator[str]:
    for stream, own in sorted(spells.items()):
        for spell in own:
            fields = {"stream": stream.partition("\t")[0], **spell._asdict()}
            fields = {k: round(v, 3) if isinstance(v, float) else v for k, v in fields.items()}
            yield json.dumps(fields)


def _section(stream: str, rows: Sequence[Moment]) -> Section:
    """What a page shows of a person: when he ran, and when not."""
    answers = [(row.time / 1e6, row.label, row.score) for row in rows]
    spells = find_spells(answers)
    at, pieces = answers[0][0], []
    for spell in spells:
        pieces.append(Piece(f"{at:,.1f} to {spell.start:,.1f} s  "))
        ran = f"running until {spell.stop:,.1f} s"
        pieces += [Piece(ran, RUNNING, f"{spell.score:.2f}"), Piece("\n")]
        at = spell.stop
    if at < answers[-1][0]:
        pieces.append(Piece(f"{at:,.1f} to {answers[-1][0]:,.1f} s"))
    return Section(stream, pieces, f"{len(rows):,} moments")


LOOK = Look(
    title="Who is running?",
    lead="Told by a recurrent network from each person's motion while it was seen.",
    kinds=[Kind(RUNNING, "times somebody ran", "running")],
    section=_section,
    rows="moments",
)


def _tell(row: Moment) -> str | None:
    """A line when somebody begins to run or stops, as far as one answer shows it."""
    before = _said.get(row.stream) if row.step > 1 else None
    _said[row.stream] = row.label
    if row.label == before or (before is None and row.label != RUNNING):
        return None
    return f"{row.time / 1e6:10.2f} s  {row.stream}  {row.label} ({row.score:.2f})"


_said: dict[str, str] = {}  # of this process: the last label of each stream that is shown


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--silhouettes",
        action="store_true",
        help="the video shows people light on dark, and nothing else",
    )


APPLICATION = Application(
    name="detect-running",
    summary="Tell who is running, from when to when, in a video or in poses.",
    inputs="a video, the number of a camera, or JSON lines of poses: a file, a folder that grows,"
    " or -",
    sample=SAMPLES / "poses.jsonl",
    model=POSE_MODEL,
    rows={ANSWERS: Moment},
    answer=_answer,
    lines=_lines,
    field=_field,
    cameras=True,
    needs=[("cv2", "OpenCV"), ("matplotlib", "Matplotlib")],
    check=_check,
    options=_options,
    finish=_finish,
    files=(RUNS, STRIP, MARKED),
    view=View(_tell),
    look=LOOK,
)

main = APPLICATION.main
