"""Who is running? From a video, a camera, or poses of motion capture, while it is being told.

    python -m beam_rnn detect-running [--input PATH] [--output FOLDER] [options of Beam]

Reads a video (or the number of a camera), or JSON lines with `stream`, `time` and `joints` (38 x
3 numbers) from a file, a growing folder or standard input. Each person is a stream. Writes
answers/*.parquet, runs.jsonl (from when to when, how sure), strip.png, for a video marked.avi,
index.html and failed.jsonl.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa

import beam_rnn as rnn
from beam_rnn.features import Pose, Silhouette
from beam_rnn.report import Kind, Piece, Section
from pipelines import batch, sinks, sources
from pipelines.application import Application, Rows, as_answer, need
from pipelines.events import Failed, Observed
from pipelines.pages import Look
from pipelines.places import MODELS, SAMPLES
from pipelines.spells import RUNNING, Spell, find_spells
from pipelines.texts import Seen, as_failed, by_stream, is_last

ANSWERS, RUNS, STRIP, MARKED = "answers", "runs.jsonl", "strip.png", "marked.avi"
POSE_MODEL, VIDEO_MODEL = (
    MODELS / "detect_running.safetensors",
    MODELS / "detect_running_video.safetensors",
)

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


def _field(arguments: argparse.Namespace) -> str:
    return "mask" if _takes_masks(arguments) else "joints"


def _takes_masks(arguments: argparse.Namespace) -> bool:
    return Path(arguments.model) == VIDEO_MODEL or _is_video(arguments)


def _is_video(arguments: argparse.Namespace) -> bool:
    from pipelines.video import is_video

    return not arguments.batch and is_video(arguments.input)


def _model(arguments: argparse.Namespace) -> str:
    if Path(arguments.model) == POSE_MODEL and _is_video(arguments):
        return str(VIDEO_MODEL)
    return str(arguments.model)


def _live(pipeline: beam.Pipeline, arguments: argparse.Namespace) -> Rows:
    _, feature = detector_of(_model(arguments))
    lines: sources.Lines = sources.lines_of(arguments.input)
    if _is_video(arguments):
        from pipelines.video import People

        lines = People(arguments.input, arguments.silhouettes)
    read = sources.ReadEvents(
        lines, arguments.speed or None, arguments.until_idle, _field(arguments)
    )
    events = pipeline | "Read" >> read
    tagged = (
        events
        | "ByStream" >> beam.Map(by_stream).with_output_types(tuple[str, Observed])
        | "Tag" >> rnn.Tag(_model(arguments), x=feature, end=is_last)
    )
    untagged = tagged.failed | "Untagged" >> beam.Map(_as_failed).with_output_types(Failed)
    return {ANSWERS: _rows(tagged)}, (events.failed, untagged)


def _batch(pipeline: beam.Pipeline, arguments: argparse.Namespace) -> Rows:
    model = _model(arguments)
    detector_of(model)  # so that a wrong one is refused here, not in a worker
    events = pipeline | "Read" >> batch.ReadEvents(arguments.input, _field(arguments))
    tagged = events | "Tag" >> batch.TagWhole(model, detector_of)
    return {ANSWERS: _rows(tagged)}, (events.failed,)


def _rows(tagged: Any) -> Any:
    return tagged | "Rows" >> beam.Map(as_answer).with_output_types(sinks.Answer)


def _as_failed(bad: Any) -> Failed:
    """What the network could not take; of a long value the beginning."""
    failed = as_failed(bad)
    return failed._replace(input=failed.input[:200])


def _check(arguments: argparse.Namespace) -> None:
    need("cv2", "OpenCV")
    need("matplotlib", "Matplotlib")
    if _is_video(arguments) and not arguments.input.isdigit():
        from pipelines.video import check_video

        check_video(arguments.input)


def answers_in(folder: Path) -> Answers:
    """What was answered, stream by stream; a stream that began anew counts as another."""
    parts = list(sinks.read_parts(folder, sinks.schema_of(sinks.Answer)))
    answers: Answers = {}
    if not parts:
        return answers
    table = pa.concat_tables(parts)
    columns = [table.column(name).to_pylist() for name in ("stream", "step", "label", "score")]
    seconds = (table.column("time").cast(pa.int64()).to_numpy() / 1e6).tolist()
    names: dict[str, str] = {}
    for stream, step, label, score, time in zip(*columns, seconds, strict=True):
        if step == 1:
            again = sum(1 for name in names.values() if name.partition("\t")[0] == stream)
            names[stream] = f"{stream}\t{again + 1}" if stream in answers else stream
        answers.setdefault(names[stream], []).append((time, label, score))
    return answers


def _finish(arguments: argparse.Namespace, output: Path) -> list[str]:
    from pipelines import strips

    answers = answers_in(output / ANSWERS)
    spells = {stream: find_spells(own) for stream, own in answers.items()}
    (output / RUNS).write_text("".join(f"{line}\n" for line in _run_lines(spells)))
    if _is_video(arguments) and not arguments.input.isdigit():
        video = strips.Video(arguments.input, arguments.silhouettes)
        strips.mark_video(output / MARKED, video, spells)
        strips.draw_video_strip(output / STRIP, video, answers, spells)
    elif arguments.input != "-" and not arguments.batch and Path(arguments.input).is_file():
        strips.draw_pose_strip(output / STRIP, arguments.input, answers, spells)
    runs = sum(map(len, spells.values()))
    seen = sum(map(len, answers.values()))
    return [f"{len(answers):,} people, {seen:,} moments, {runs:,} times somebody ran"]


def _run_lines(spells: dict[str, list[Spell]]) -> Iterator[str]:
    for stream, own in sorted(spells.items()):
        for spell in own:
            fields = {"stream": stream.partition("\t")[0], **spell._asdict()}
            fields = {k: round(v, 3) if isinstance(v, float) else v for k, v in fields.items()}
            yield json.dumps(fields)


def _section(stream: str, rows: Sequence[sinks.Answer]) -> Section:
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


def _tell(row: sinks.Answer) -> str | None:
    """A line when somebody begins to run or stops, as far as one answer shows it."""
    before = _said.get(row.stream)
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
    rows={ANSWERS: sinks.Answer},
    live=_live,
    batch=_batch,
    finish=_finish,
    files=(RUNS, STRIP, MARKED),
    check=_check,
    options=_options,
    tell=_tell,
    look=LOOK,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit code: 0, 2 if it could not start, 130 if it was aborted."""
    _said.clear()
    return APPLICATION.main(argv)


if __name__ == "__main__":
    sys.exit(main())
