"""What the applications share: their arguments, their run, and what is said at the end."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

import beam_rnn as rnn
from pipelines import job, pages, serve, sinks, sources, topics
from pipelines.events import Failed
from pipelines.kafka import ReadTopic
from pipelines.pages import Look
from pipelines.watch import Watch

Rows = tuple[dict[str, beam.PCollection[Any]], tuple[beam.PCollection[Failed], ...]]
"""What a job writes into each of its folders, and the inputs that failed."""


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
      live: adds the job over an input that is being told to a pipeline.
      batch: adds the batch twin, which takes each stream of a Parquet file as a whole.
      finish: given the arguments and the output folder when all is written; makes the pictures
        and gives the lines that are said.
      files: names or patterns of what ``finish`` writes.
      check: raises ``job.Refused`` if the job cannot start.
      options: adds options of its own.
      tell: a line for a row that a person wants to see while the job runs, or None.
      look: how its page looks, which shows the first of ``rows``; by itself, the rows as lines.
    """

    name: str
    summary: str
    inputs: str
    sample: Path
    model: Path
    rows: Mapping[str, type]
    live: Callable[[beam.Pipeline, argparse.Namespace], Rows]
    batch: Callable[[beam.Pipeline, argparse.Namespace], Rows]
    finish: Callable[[argparse.Namespace, Path], list[str]]
    files: Sequence[str]
    check: Callable[[argparse.Namespace], None] = lambda arguments: None
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    tell: Callable[[Any], str | None] = lambda row: None
    look: Look | None = None

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Runs it; returns its exit code: 0, 2 if it could not start, 130 if it was aborted."""
        arguments, beam_arguments = self._parser().parse_known_args(argv)
        output = arguments.output
        writes = (*self.rows, sinks.FAILED_FILES, *self.files, pages.PAGE)
        look = self.look or Look(self.name, self.summary)
        try:
            options = job.options_of(beam_arguments, streaming=not arguments.batch)
            self._check(arguments)
            pipeline = beam.Pipeline(options=options)
            rows, failed = (self.batch if arguments.batch else self.live)(pipeline, arguments)
            self._write(rows, failed, arguments, options)
            watch = Watch(look, self.name, argv, options, arguments.serve)
            watch.see(next(iter(rows.values())), failed)
            if job.is_here(output):
                job.prepare_output(output, writes, overwrite=arguments.overwrite)
                for folder in self.rows:
                    Path(output, folder).mkdir()
        except (job.Refused, rnn.RnnError, OSError) as error:
            return job.refuse(self.name, error)
        with watch.running():
            aborted = job.run(pipeline, options, _tell_end, watch.started)
        if job.is_here(output):
            for line in self.finish(arguments, Path(output)):
                print(line)
            watch.write(Path(output), self.rows, self.files)
            written = [path for name in writes for path in sorted(Path(output).glob(name))]
            print("Written: " + ", ".join(map(str, written)))
        return 130 if aborted else 0

    def _write(
        self,
        rows: dict[str, Any],
        failed: Any,
        arguments: argparse.Namespace,
        options: PipelineOptions,
    ) -> None:
        local = job.is_local(options)
        for name, own in rows.items():
            folder = os.path.join(arguments.output, name)
            own | f"Write {name}" >> sinks.WriteRows(self.rows[name], folder, local)
            if arguments.view and job.is_seen(options):
                own | f"Tell {name}" >> beam.Map(_say, self.tell)
        failed | "WriteFailed" >> sinks.WriteFailed(arguments.output, local)

    def _check(self, arguments: argparse.Namespace) -> None:
        job.check_input(arguments.input)
        if arguments.speed is not None and not arguments.speed >= 0:
            raise job.Refused(f"--speed is {arguments.speed}: give a number from 0")
        if arguments.batch and arguments.input == "-":
            raise job.Refused("--batch reads a Parquet file: name it with --input")
        self.check(arguments)

    def _parser(self) -> argparse.ArgumentParser:
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
            help=f"{self.inputs} (default: the sample)",
        )
        add("--output", default="out", metavar="FOLDER", help="what is written goes here")
        add("--overwrite", action="store_true", help="replace an earlier run in the output folder")
        add("--model", default=str(self.model), metavar="FILE", help="weights of the network")
        add(
            "--speed",
            type=float,
            metavar="N",
            help="tell a file N times faster than its times say (default: as fast as it goes)",
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
        add("--no-view", dest="view", action="store_false", help="say nothing while it runs")
        self.options(parser)
        return parser


def told(pipeline: beam.Pipeline, arguments: argparse.Namespace, lines: sources.Lines) -> Any:
    """The events of an input that is being told: PCollection[Event], with ``failed``."""
    if topics.is_topic(arguments.input):
        records = ReadTopic(topics.topic_of(arguments.input), until_idle=arguments.until_idle)
        return pipeline | "Read" >> topics.ReadEvents(records)
    read = sources.ReadEvents(lines, arguments.speed or None, arguments.until_idle)
    return pipeline | "Read" >> read


def as_answer(tagged: tuple[str, Any], time: Any = beam.DoFn.TimestampParam) -> sinks.Answer:
    """An answer of ``rnn.Tag`` as a row of the output."""
    stream, answer = tagged
    return sinks.Answer(stream, time.micros, answer.step, str(answer.label), float(answer.score))


def _tell_end() -> None:
    print("Ending: Ctrl-C again aborts.")


def _say(row: Any, tell: Callable[[Any], str | None]) -> None:
    line = tell(row)
    if line is not None:
        print("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line))


def need(module: str, package: str) -> None:
    """Raises ``job.Refused`` if a package of the extra ``apps`` is not there."""
    if module not in sys.modules:
        try:
            __import__(module)
        except ImportError:
            raise job.Refused(f"{package} is needed: pip install 'beam-rnn[apps]'") from None
