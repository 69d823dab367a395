"""Watching a run: what it counts over time, what it answers, and the page of both."""

import dataclasses
import datetime
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

import beam_rnn as rnn
from beam_rnn.report import Page, Section, page
from pipelines import job, pages, serve, sinks
from pipelines.events import Failed
from pipelines.pages import Look, Shown
from pipelines.record import Record

LIVE_STREAMS, LIVE_ROWS = 100, 400  # on a page that is sent while the job runs


class Watch:
    """One run of an application.

    Args:
      look: of its results.
      name: of its command.
      argv: the arguments of that, or None where they are those of the process.
      options: those of the pipeline.
      address: where a live page is served, or None.

    Raises:
      job.Refused: nothing can be served there.
    """

    def __init__(
        self,
        look: Look,
        name: str,
        argv: Sequence[str] | None,
        options: PipelineOptions,
        address: serve.Address | None = None,
    ) -> None:
        global _seen
        _seen = self._shown = Shown(LIVE_STREAMS, LIVE_ROWS)
        self._look = look
        self._options = options
        self._record = Record()
        cached = dataclasses.replace(look, section=_Cached(look.section))
        self._server = address and serve.Server(address, lambda: self._page(cached))
        self._about = [
            ("command", shlex.join([name, *(sys.argv[2:] if argv is None else argv)])),
            ("runner", options.view_as(StandardOptions).runner.rpartition(".")[2]),
            ("Apache Beam", beam.__version__),
            ("begun", f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"),
        ]

    def see(self, rows: Any, failed: Sequence[Any]) -> None:
        """Adds to the pipeline what shows rows and failed inputs on the live page, where one is.

        On a runner whose workers are elsewhere the page has the counts alone.
        """
        if self._server is None or not job.is_seen(self._options):
            return
        rows | "See" >> beam.Map(_see)
        for number, inputs in enumerate(failed):
            inputs | f"SeeFailed{number}" >> beam.Map(_see_failed)

    def started(self, result: Any) -> None:
        """Takes the counts of a job from its runner, unless its work is done in this process."""
        if not job.is_seen(self._options):
            self._record.follow(lambda: rnn.counts(result))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Records and serves while the block runs."""
        with ExitStack() as stack:
            stack.enter_context(self._record.running())
            if self._server is not None:
                print(f"Live page: {self._server.url}")
                stack.enter_context(self._server.running())
            yield

    def write(self, folder: Path, rows: Mapping[str, type], files: Sequence[str] = ()) -> Page:
        """Writes the page of what stands in the folder; gives what it shows.

        Args:
          folder: of the output.
          rows: the folders that hold rows, of which the first is shown, and their NamedTuples.
          files: names or patterns of what else was written; PNG files come onto the page.
        """
        name, row = next(iter(rows.items()))
        shown = Shown()
        shown.read(sinks.read_parts(folder / name, sinks.schema_of(row)), row)
        shown.read_failed(folder)
        pictures = pages.pictures_in(folder, files, self._look.title)
        shows = pages.page_of(self._look, shown, self._record, pictures, self._about)
        sinks.write_text(folder / pages.PAGE, page(shows))
        return shows

    def _page(self, look: Look) -> Page:
        return pages.page_of(look, self._shown, self._record, about=self._about)


class _Cached:
    """Sections of streams, made anew only where rows have come."""

    def __init__(self, section: Callable[[str, Sequence[Any]], Section]) -> None:
        self._section = section
        self._made: dict[str, tuple[Any, Any, Section]] = {}

    def __call__(self, stream: str, rows: Sequence[Any]) -> Section:
        first, last, section = self._made.get(stream, (None, None, None))
        if section is None or first is not rows[0] or last is not rows[-1]:
            section = self._section(stream, rows)
            self._made[stream] = rows[0], rows[-1], section
        return section


_seen = Shown()  # of this process: the pipeline adds to it


def _see(row: Any) -> None:
    _seen.add(row)


def _see_failed(failed: Failed) -> None:
    _seen.fail(failed)
