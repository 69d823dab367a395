"""The main job: names of people, places and organisations marked in many live texts at once.

    python -m beam_rnn tag-names [--input PATH] [--output FOLDER] [options of Beam]

Reads JSON with `stream`, `time` and `text` from files, standard input or Kafka, keeps the hidden
state of every stream in Beam state, shows the texts as they come, and writes words/*.parquet,
failed.jsonl and index.html.
Ctrl-C ends the input: what has been read is finished and written. A second Ctrl-C aborts.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

import beam_rnn as rnn
from pipelines import batch, job, live, names, pages, serve, sinks, sources, topics
from pipelines.events import Event, Failed
from pipelines.kafka import ReadTopic, WriteTopic
from pipelines.places import MODELS, SAMPLES
from pipelines.texts import as_failed, as_word, by_stream, is_last, tagger_of
from pipelines.watch import Watch

SAMPLE = SAMPLES / "texts.jsonl"
SAMPLE_SPEED = 40.0  # its quarter of an hour in about 20 seconds
MODEL = MODELS / "tag_names.safetensors"

TOPIC = "kafka://HOST:PORT/TOPIC"
WORDS = "words"
WRITES = (WORDS, sinks.FAILED_FILES, pages.PAGE)


def build(
    events: beam.PCollection[Event],
    model: str,
    output: str,
    options: PipelineOptions,
    *,
    expire_after: float | None = None,
    answers: WriteTopic | None = None,
    watch: Watch | None = None,
) -> None:
    """Adds the live job to a pipeline.

    Args:
      events: pieces of text, with failed inputs as `events.failed`.
      model: path of the tagger's weights.
      output: the folder that is written.
      options: the pipeline's; they say where it runs.
      expire_after: seconds of event time without a piece after which a text has ended.
      answers: writes the words to a topic as well.
      watch: shows the words on its live page.
    """
    _, text = tagger_of(model)
    tagged = (
        events
        | "ByStream" >> beam.Map(by_stream).with_output_types(tuple[str, Event])
        | "Tag" >> rnn.Tag(model, x=text, end=is_last, expire_after=expire_after)
    )
    untagged = tagged.failed | "Untagged" >> beam.Map(as_failed).with_output_types(Failed)
    _write(tagged, (events.failed, untagged), output, options, answers, watch)


def build_batch(
    pipeline: beam.Pipeline,
    path: str,
    model: str,
    output: str,
    options: PipelineOptions,
    watch: Watch | None = None,
) -> None:
    """Adds the batch twin: the same answers, to the bit, for a Parquet file of events."""
    tagger_of(model)  # so that a wrong one is refused here, not in a worker
    events = pipeline | "Read" >> batch.ReadEvents(path)
    tagged = events | "Tag" >> batch.TagWhole(model)
    _write(tagged, (events.failed,), output, options, watch=watch)


def _write(
    tagged: Any,
    failed: tuple[Any, ...],
    output: str,
    options: PipelineOptions,
    answers: WriteTopic | None = None,
    watch: Watch | None = None,
) -> None:
    local = job.is_local(options)
    words = tagged | "Words" >> beam.Map(as_word).with_output_types(sinks.Word)
    words | "WriteWords" >> sinks.WriteRows(sinks.Word, os.path.join(output, WORDS), local)
    failed | "WriteFailed" >> sinks.WriteFailed(output, local)
    if answers is not None:
        words | "WriteAnswers" >> topics.WriteWords(answers)
    if watch is not None:
        watch.see(words, failed)
    if job.is_seen(options):
        words | "ShowWords" >> beam.Map(live.show_word)
        for number, inputs in enumerate(failed):
            inputs | f"ShowFailed{number}" >> beam.Map(live.show_failed)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit code: 0, 2 if it could not start, 130 if it was aborted."""
    arguments, beam_arguments = parser().parse_known_args(argv)
    output = arguments.output
    try:
        options = job.options_of(beam_arguments, streaming=not arguments.batch)
        _check(arguments)
        pipeline = beam.Pipeline(options=options)
        watch = Watch(names.LOOK, "tag-names", argv, options, arguments.serve)
        if arguments.batch:
            build_batch(pipeline, arguments.input, arguments.model, output, options, watch)
        else:
            build(
                pipeline | "Read" >> _source(arguments),
                arguments.model,
                output,
                options,
                expire_after=arguments.expire_after,
                answers=_answers(arguments),
                watch=watch,
            )
        if job.is_here(output):
            job.prepare_output(output, WRITES, overwrite=arguments.overwrite)
            Path(output, WORDS).mkdir()
    except (job.Refused, rnn.RnnError, OSError) as error:
        return job.refuse("tag-names", error)

    console = Console(soft_wrap=True, highlight=False)
    aborted = False
    try:
        view = arguments.view and job.is_seen(options)
        with watch.running(console.print), live.shown(console, view) as board:
            aborted = job.run(pipeline, options, board.end, watch.started)
    finally:  # what was finished before a failure is shown too
        if job.is_seen(options):
            console.print(board.figures(overall=True))
        if job.is_here(output):
            watch.write(Path(output), {WORDS: sinks.Word})
            written = [path for name in WRITES for path in sorted(Path(output).glob(name))]
            console.print("Written: " + ", ".join(map(str, written)))
    return 130 if aborted else 0


def _source(arguments: argparse.Namespace) -> beam.PTransform:
    if not topics.is_topic(arguments.input):
        lines = sources.lines_of(arguments.input)
        return sources.ReadEvents(lines, _speed(arguments), arguments.until_idle)
    read = ReadTopic(
        topics.topic_of(arguments.input),
        until_idle=arguments.until_idle,
        java=arguments.kafka_java,
        expansion_service=arguments.expansion_service,
    )
    return topics.ReadEvents(read)


def _answers(arguments: argparse.Namespace) -> WriteTopic | None:
    if arguments.answers is None:
        return None
    return WriteTopic(
        topics.topic_of(arguments.answers),
        java=arguments.kafka_java,
        expansion_service=arguments.expansion_service,
    )


def _check(arguments: argparse.Namespace) -> None:
    job.check_input(arguments.input)
    if arguments.speed is not None and not arguments.speed >= 0:
        raise job.Refused(f"--speed is {arguments.speed}: give a number from 0")
    if arguments.batch and (arguments.input == "-" or topics.is_topic(arguments.input)):
        raise job.Refused("--batch reads a Parquet file: name it with --input")
    if arguments.batch and arguments.answers:
        raise job.Refused("--answers is for live texts: leave --batch out")
    if arguments.speed and topics.is_topic(arguments.input):
        raise job.Refused("--speed is for files: a topic is read as its records come")


def _speed(arguments: argparse.Namespace) -> float | None:
    if arguments.speed is None and Path(arguments.input).resolve() == SAMPLE:
        return SAMPLE_SPEED
    return arguments.speed or None


def parser() -> argparse.ArgumentParser:
    """The options of the job."""
    parser = argparse.ArgumentParser(
        prog="tag-names",
        description=(__doc__ or "").partition("\n")[0],
        epilog="All other options go to Beam, such as --runner=FlinkRunner.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--input",
        default=str(SAMPLE),
        metavar="PATH",
        help="a file, a folder that grows, - for standard input, or "
        f"{TOPIC}[?from=earliest|latest|TIME] (default: the sample)",
    )
    add("--output", default="out", metavar="FOLDER", help="what is written goes here")
    add("--answers", metavar="TOPIC", help=f"write the words to {TOPIC} as well")
    add(
        "--kafka-java",
        action="store_true",
        help="read and write Kafka by Beam's own connector in Java (not on the local runner)",
    )
    add(
        "--expansion-service",
        metavar="HOST:PORT",
        help="what expands it (default: Beam fetches and starts one)",
    )
    add("--overwrite", action="store_true", help="replace an earlier run in the output folder")
    add("--model", default=str(MODEL), metavar="FILE", help="weights of the tagger")
    add(
        "--speed",
        type=float,
        metavar="N",
        help="tell a file N times faster than its times say, or 0: as fast as it goes "
        f"(default: 0, and {SAMPLE_SPEED:g} for the sample)",
    )
    add(
        "--expire-after",
        type=float,
        metavar="SECONDS",
        help="a text without a piece for so long has ended (not on the local runner)",
    )
    add(
        "--until-idle",
        type=float,
        metavar="SECONDS",
        help="end when nothing new has come for so long (default: at the end of a file or of "
        "standard input; a folder: at Ctrl-C)",
    )
    add(
        "--batch",
        action="store_true",
        help="read the input as a Parquet file of events and take each stream as a whole",
    )
    serve.add_option(parser)
    add("--no-view", dest="view", action="store_false", help="show nothing while it runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
