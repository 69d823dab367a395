"""What the applications share: their arguments, their run, and what is said at the end."""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

import beam_rnn as rnn
from pipelines import batch, job, pages, serve, sinks, sources, topics
from pipelines.events import Failed, as_failed, kind_of
from pipelines.kafka import ReadTopic, WriteTopic
from pipelines.pages import Look
from pipelines.watch import Watch

TOPIC = "kafka://HOST:PORT/TOPIC"

Rows = tuple[Mapping[str, beam.PCollection[Any]], Sequence[beam.PCollection[Any]]]
"""What a job writes into each of its folders, and the inputs that failed: Failed or BadEvent."""


@dataclass(frozen=True)
class View:
    """What a person sees while a job runs: a line for each row of which ``tell`` makes one."""

    tell: Callable[[Any], str | None] = lambda row: None

    def see(self, rows: Mapping[str, Any], failed: Sequence[Any], view: bool) -> None:
        """Adds to a pipeline what shows its rows and failed inputs, where ``view`` says so."""
        for name, own in rows.items() if view else ():
            own | f"Tell {name}" >> beam.Map(_say, self.tell)

    @contextmanager
    def shown(self, view: bool) -> Iterator[Callable[[], None]]:
        """Shows while the block runs; gives what says that the job is coming to its end."""
        yield _say_end


@dataclass(frozen=True)
class Application:
    """What makes one application of the others.

    Attributes:
      name: of its command.
      summary: what it does, in one line.
      inputs: what ``--input`` may name, for the help.
      sample: the committed input that it runs on by itself.
      model: its weights.
      rows: the folders that it writes, and the NamedTuple of the rows of each.
      answer: adds what answers its events, PCollection[tuple[str, Event]] (or of Observed); they
        come live, or from an archive with ``--batch``, each stream's in order.
      lines: where the lines of an input that is no topic come from.
      field: what its events are of; see ``pipelines.events.parse``.
      raw: whether the records of a topic are that field as it is, instead of JSON.
      cameras: whether ``--input`` may be the number of a camera.
      needs: (module, package) of the extra ``apps`` that it needs.
      check: raises ``job.Refused`` if the job cannot start.
      options: adds options of its own.
      sample_speed: how many times faster than its times the sample is told, by default.
      finish: given the arguments and the output folder when all is written; makes the pictures
        and gives the lines that are said.
      files: names or patterns of what ``finish`` writes.
      view: what a person sees while it runs.
      look: how its page looks, which shows the first of ``rows``; by itself, the rows as lines.
    """

    name: str
    summary: str
    inputs: str
    sample: Path
    model: Path
    rows: Mapping[str, type]
    answer: Callable[[beam.PCollection[Any], argparse.Namespace], Rows]
    lines: Callable[[argparse.Namespace], sources.Lines] = lambda given: sources.lines_of(
        given.input
    )
    field: Callable[[argparse.Namespace], str] = lambda given: "text"
    raw: bool = False
    cameras: bool = False
    needs: Sequence[tuple[str, str]] = ()
    check: Callable[[argparse.Namespace], None] = lambda given: None
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    sample_speed: float | None = None
    finish: Callable[[argparse.Namespace, Path], list[str]] = lambda given, output: []
    files: Sequence[str] = ()
    view: View = View()
    look: Look | None = None

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Runs it; returns its exit code: 0, 2 if it could not start, 130 if it was aborted."""
        given, beam_arguments = self.parser().parse_known_args(argv)
        output = given.output
        writes = (*self.rows, sinks.FAILED_FILES, *self.files, pages.PAGE)
        look = self.look or Look(self.name, self.summary)
        try:
            options = job.options_of(beam_arguments, streaming=not given.batch)
            self._check(given)
            pipeline = beam.Pipeline(options=options)
            watch = Watch(look, self.name, argv, options, given.serve)
            self._build(pipeline, given, options, watch)
            if job.is_here(output):
                job.prepare_output(output, writes, overwrite=given.overwrite)
                for folder in self.rows:
                    Path(output, folder).mkdir()
        except (job.Refused, rnn.RnnError, OSError) as error:
            return job.refuse(self.name, error)
        shown = self.view.shown(given.view) if job.is_seen(options) else nullcontext(_say_end)
        aborted = False
        try:
            with watch.running(), shown as say_end:
                aborted = job.run(pipeline, options, say_end, watch.started)
        finally:  # what was finished before a failure is shown too
            if job.is_here(output):
                for line in self.finish(given, Path(output)):
                    print(line)
                watch.write(Path(output), self.rows, self.files)
                written = [path for name in writes for path in sorted(Path(output).glob(name))]
                print("Written: " + ", ".join(map(str, written)))
        return 130 if aborted else 0

    def _build(
        self,
        pipeline: beam.Pipeline,
        given: argparse.Namespace,
        options: PipelineOptions,
        watch: Watch,
    ) -> None:
        events = self._read(pipeline, given)
        rows, bad = self.answer(events, given)
        failed = (
            events.failed,
            *(
                inputs | f"Failed {number}" >> beam.Map(as_failed).with_output_types(Failed)
                for number, inputs in enumerate(bad)
            ),
        )
        local = job.is_local(options)
        answers = None if given.answers is None else _topic_written(given)
        for name, own in rows.items():
            folder = os.path.join(given.output, name)
            own | f"Write {name}" >> sinks.WriteRows(self.rows[name], folder, local)
            if answers is not None:
                kind = name if len(rows) > 1 else None
                own | f"Answer {name}" >> topics.WriteRows(answers, kind)
        failed | "WriteFailed" >> sinks.WriteFailed(given.output, local)
        if job.is_seen(options):
            self.view.see(rows, failed, given.view)
        watch.see(next(iter(rows.values())), failed)

    def _read(self, pipeline: beam.Pipeline, given: argparse.Namespace) -> Any:
        """The events by their streams, with ``failed``."""
        field = self.field(given)
        if given.batch:
            rows = pipeline | "Read" >> batch.ReadEvents(given.input, field)
            streams, failed = rows | "InOrder" >> batch.InOrder(), rows.failed
        else:
            read: beam.PTransform
            if topics.is_topic(given.input):
                read = topics.ReadEvents(_topic_read(given), field, self.raw)
            else:
                lines, speed = self.lines(given), self._speed(given)
                read = sources.ReadEvents(lines, speed, given.until_idle, field)
            events = pipeline | "Read" >> read
            keyed = tuple[str, kind_of(field)]  # type: ignore[misc]
            streams = events | "ByStream" >> beam.Map(_by_stream).with_output_types(keyed)
            failed = events.failed
        streams.failed = failed
        return streams

    def _speed(self, given: argparse.Namespace) -> float | None:
        if given.speed is None and Path(given.input).resolve() == self.sample:
            return self.sample_speed
        return given.speed or None

    def _check(self, given: argparse.Namespace) -> None:
        if not (self.cameras and given.input.isdigit()):
            job.check_input(given.input)
        is_topic = topics.is_topic(given.input)
        if given.speed is not None and not given.speed >= 0:
            raise job.Refused(f"--speed is {given.speed}: give a number from 0")
        if given.batch and (given.input == "-" or is_topic):
            raise job.Refused("--batch reads a Parquet file: name it with --input")
        if given.batch and given.answers:
            raise job.Refused("--answers is for live input: leave --batch out")
        if given.speed and is_topic:
            raise job.Refused("--speed is for files: a topic is read as its records come")
        for module, package in self.needs:
            if find_spec(module) is None:
                raise job.Refused(f"{package} is needed: pip install 'beam-rnn[apps]'")
        self.check(given)

    def parser(self) -> argparse.ArgumentParser:
        """Its options."""
        parser = argparse.ArgumentParser(
            prog=self.name,
            description=self.summary,
            epilog="All other options go to Beam, such as --runner=FlinkRunner.",
            allow_abbrev=False,
        )
        add = parser.add_argument
        add(
            "--input",
            default=str(self.sample),
            metavar="PATH",
            help=f"{self.inputs}; or {TOPIC}[?from=earliest|latest|TIME] (default: the sample)",
        )
        add("--output", default="out", metavar="FOLDER", help="what is written goes here")
        add("--answers", metavar="TOPIC", help=f"write the answers to {TOPIC} as well")
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
        add("--model", default=str(self.model), metavar="FILE", help="weights of the network")
        sample = f", and {self.sample_speed:g} for the sample" if self.sample_speed else ""
        add(
            "--speed",
            type=float,
            metavar="N",
            help="tell a file N times faster than its times say, or 0: as fast as it goes "
            f"(default: 0{sample})",
        )
        add(
            "--expire-after",
            type=float,
            metavar="SECONDS",
            help="a stream without an event for so long has ended (not on the local runner)",
        )
        add(
            "--until-idle",
            type=float,
            metavar="SECONDS",
            help="end when nothing new has come for so long (default: at the end of a file or of "
            "standard input; a folder or a topic: at Ctrl-C)",
        )
        add(
            "--batch",
            action="store_true",
            help="read the input as a Parquet file of events and take each stream as a whole",
        )
        serve.add_option(parser)
        add("--no-view", dest="view", action="store_false", help="show nothing while it runs")
        self.options(parser)
        return parser


def _topic_read(given: argparse.Namespace) -> ReadTopic:
    return ReadTopic(
        topics.topic_of(given.input),
        until_idle=given.until_idle,
        java=given.kafka_java,
        expansion_service=given.expansion_service,
    )


def _topic_written(given: argparse.Namespace) -> WriteTopic:
    return WriteTopic(
        topics.topic_of(given.answers),
        java=given.kafka_java,
        expansion_service=given.expansion_service,
    )


def _by_stream(event: Any) -> tuple[str, Any]:
    return event.stream, event


def _say_end() -> None:
    print("Ending: Ctrl-C again aborts.")


def _say(row: Any, tell: Callable[[Any], str | None]) -> None:
    line = tell(row)
    if line is not None:
        print("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line))
