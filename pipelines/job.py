"""Running a pipeline from the command line: its runner, its folders, and Ctrl-C."""

import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions

from pipelines import sources

_YEARS = 10 * 365 * 86_400  # seconds
# By its path: the short names that Beam knows lead to runners that want a service or a download.
LOCAL_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


class Refused(Exception):
    """The job cannot start; the message is one line and says what to do."""


def options_of(arguments: Sequence[str], *, streaming: bool) -> PipelineOptions:
    """Beam's options; where they name no runner, or DirectRunner, that of this process.

    Raises:
      Refused: the runner of this process has no such option.
    """
    options = PipelineOptions(list(arguments))
    standard = options.view_as(StandardOptions)
    if standard.runner in (None, "DirectRunner"):
        standard.runner = LOCAL_RUNNER
    standard.streaming = streaming
    portable = options.view_as(PortableOptions)
    if streaming and portable.job_server_timeout == PortableOptions([]).job_server_timeout:
        portable.job_server_timeout = _YEARS  # it also ends the watch over a job that goes on
    if is_local(options):  # others pass unknown options on
        known = options.get_all_options()
        for argument in arguments:
            name = argument.partition("=")[0].removeprefix("--").removeprefix("no_")
            if argument.startswith("--") and name not in known:
                raise Refused(f"there is no option --{name}: see --help")
    return options


def is_local(options: PipelineOptions) -> bool:
    """Whether the pipeline runs in this process."""
    runner = options.view_as(StandardOptions).runner.rpartition(".")[2]
    return runner in ("FnApiRunner", "BundleBasedDirectRunner")


def is_seen(options: PipelineOptions) -> bool:
    """Whether what the pipeline's functions do happens in this process, on whatever runner."""
    loopback = options.view_as(PortableOptions).environment_type == "LOOPBACK"
    return is_local(options) or loopback


def is_here(path: str) -> bool:
    """Whether a path is one of this machine's file system."""
    return "://" not in path


def prepare_output(folder: str, holds: Sequence[str], *, overwrite: bool) -> Path:
    """Makes the folder and shows that it can be written.

    Args:
      folder: a local folder.
      holds: names or patterns of what a run writes in it.
      overwrite: whether to remove what an earlier run wrote.

    Raises:
      Refused: it cannot be written, or holds an earlier run.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
        earlier = [old for name in holds for old in sorted(path.glob(name))]
        if earlier and not overwrite:
            raise Refused(
                f"the output folder {folder} holds an earlier run ({earlier[0].name}): name another"
                " with --output, or replace it with --overwrite"
            )
        for old in earlier:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    except OSError as error:
        raise Refused(
            f"the output folder {folder} cannot be written ({error.strerror or error}): name"
            " another with --output"
        ) from None
    return path


def check_input(name: str) -> None:
    """Raises Refused unless ``name`` is ``-``, a remote path, or a file or folder to be read."""
    if name == "-" or not is_here(name):
        return
    try:
        os.listdir(name) if os.path.isdir(name) else open(name, "rb").close()
    except OSError as error:
        raise Refused(
            f"the input {name} cannot be read ({error.strerror or error}): name a file, a folder,"
            " or - for standard input with --input"
        ) from None


def run(
    pipeline: beam.Pipeline,
    options: PipelineOptions,
    told: Callable[[], None],
    started: Callable[[Any], None] = lambda result: None,
) -> bool:
    """Runs the pipeline to its end.

    The first Ctrl-C or SIGTERM ends the sources in this process, and the pipeline finishes what
    they read; where the sources are elsewhere, it cancels the job. The second aborts.

    Args:
      pipeline: not yet run.
      options: those of the pipeline.
      told: called at the first Ctrl-C.
      started: called with the PipelineResult of a job that has begun elsewhere.

    Returns:
      Whether it was aborted.
    """
    interrupts = _Interrupts(told)
    with interrupts.caught():
        result = None
        try:
            result = pipeline.run()  # on a local runner this is all
            if not is_local(options):
                started(result)
                waiting = _Waiting(result)
                while not waiting.over():
                    if sources.stopped() and not is_seen(options):
                        interrupts.abort()
        except BaseException:  # Beam's workers wrap KeyboardInterrupt in errors of their own
            if not interrupts.aborted:
                raise
            if result is not None:
                result.cancel()
        return interrupts.aborted


@contextmanager
def beside(work: Callable[[threading.Event], None], name: str) -> Iterator[None]:
    """Does ``work`` in a thread while the block runs; the event it gets is set when that ends."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class _Waiting:
    """Waits for a job in a thread, so that the main thread can take signals meanwhile."""

    def __init__(self, result: Any) -> None:
        self._result = result
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._wait, name="wait for the job", daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        try:
            self._result.wait_until_finish()
        except BaseException as error:
            self._error = error

    def over(self) -> bool:
        """Waits a moment; whether the job has ended. Raises what it failed with."""
        self._thread.join(timeout=0.2)
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()


class _Interrupts:
    """What Ctrl-C and SIGTERM do while a job runs."""

    def __init__(self, told: Callable[[], None]) -> None:
        self.aborted = False
        self._told = told

    @contextmanager
    def caught(self) -> Iterator[None]:
        sources.start()
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread gets signals
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            logging.disable(logging.NOTSET)

    def abort(self) -> None:
        self.aborted = True
        logging.disable(logging.CRITICAL)  # Beam would log the interrupt as a failure
        raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: Any) -> None:
        if sources.stopped():
            self.abort()
        sources.stop()
        self._told()


def refuse(name: str, reason: Any) -> int:
    """Says in one line why a job does not start; returns its exit code.

    With ``beam-rnn --debug`` it is raised.
    """
    if os.environ.get("BEAM_RNN_DEBUG") and isinstance(reason, Exception):
        raise reason
    print(f"{name}: {' '.join(str(reason).split())}", file=sys.stderr)
    return 2
