"""The job between two topics: where it runs, and what may befall it there."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import apache_beam as beam

from pipelines import sources
from tests.runners import cluster, harness, services
from tests.runners.harness import Runner
from tests.runners.java_io import kafka_io
from tests.runners.services import Service

PATIENCE = 300.0  # seconds that are waited for what should come


class Injected(RuntimeError):
    """A failure on purpose."""


class _Countdown:
    """Counts the answers until one makes a DoFn raise."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.left = 0  # 0: none does
        self.struck = 0

    def strikes(self) -> bool:
        """Counts an answer; whether it is the one."""
        with self._lock:
            if not self.left:
                return False
            self.left -= 1
            self.struck += not self.left
            return not self.left


_countdown = _Countdown()  # of this process, in which the DoFns run


class Fail(beam.DoFn):
    """Passes answers on, and raises at the one at which it was asked to."""

    def process(self, element: Any) -> Iterator[Any]:
        if _countdown.strikes():
            raise Injected
        yield element


class Job:
    """The pipeline in a thread, on a site; where the runner gives it up, it begins anew."""

    def __init__(self, site: "Site", build: Callable[[beam.Pipeline], Any]) -> None:
        self.site = site
        self._build = build
        sources.start()
        self._begin()

    def fail(self, answers: int) -> None:
        """Makes a DoFn raise after some more answers."""
        _countdown.left = answers

    def wait_for_failure(self) -> None:
        """Waits until it has raised."""
        until = time.monotonic() + PATIENCE
        while _countdown.left:
            self.check()
            if time.monotonic() > until:
                raise RuntimeError("the job has no more answers to fail at")
            time.sleep(0.05)

    def move(self, end: Callable[[], Runner]) -> None:
        """Goes on, on the runner that ``end`` gives once it has ended the job."""
        self._ending = True
        self.site.runner = end()
        self._thread.join(PATIENCE)
        self._begin()

    def check(self) -> None:
        """Raises what the job failed with, if it was not made to."""
        if self._error is not None:
            raise RuntimeError("the job failed by itself") from self._error

    def stop(self) -> None:
        """Ends the job as its site says, and waits until it has ended."""
        self._ending = self.site.end is not sources.stop
        self.site.end()
        self._thread.join(PATIENCE)
        self.check()
        if self._thread.is_alive():
            raise RuntimeError("the job does not end")

    def _begin(self) -> None:
        self._ending = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="job", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        failures = _countdown.struck
        while True:
            try:
                self.site.runner.run(self._build, streaming=True)
                return
            except Exception as error:
                failures += 1
                if self._ending:
                    return
                if failures > _countdown.struck:
                    self._error = error
                    return


@dataclass
class Site:
    """Where a job runs.

    Attributes:
      runner: it, with its options.
      end: ends a job in good order, if it is not ``sources.stop``: as it may.
      faults: what may befall a job there.
      expansion: address of an expansion service, where Beam's own connector shall read and write.
    """

    runner: Runner
    end: Callable[[], None] = sources.stop
    faults: Mapping[str, Callable[[Job], None]] = field(default_factory=dict)
    expansion: str | None = None


@contextlib.contextmanager
def local(folder: Path) -> Iterator[Site]:
    """Beam's runner in this process. After a failure the job begins anew with the topic."""
    yield Site(harness.fn_api())


@contextlib.contextmanager
def prism(folder: Path) -> Iterator[Site]:
    """Prism. After a failure the job begins anew with the topic."""
    with services.prism(folder) as (service, port):
        yield Site(_long("Prism", service, port))


@contextlib.contextmanager
def connector(folder: Path) -> Iterator[Site]:
    """Prism and Beam's own connector, which reads for ever: its job ends with its Prism."""
    with kafka_io(folder) as expansion, services.prism(folder) as (service, port):
        yield Site(_long("Prism", service, port), service.stop, expansion=expansion)


@contextlib.contextmanager
def flink(folder: Path) -> Iterator[Site]:
    """A cluster. After a fault the job goes on from its last checkpoint."""
    options = {
        "streaming": True,
        "parallelism": 1,
        "number_of_execution_retries": 1000,
        "execution_retry_delay": 200,
        "checkpointing_interval": 1000,
        "finish_bundle_before_checkpointing": True,
    }
    with cluster.started(folder / "cluster") as here, contextlib.ExitStack() as servers:

        def runner(savepoint: str | None = None) -> Runner:
            service, port = servers.enter_context(here.job_server(savepoint))
            return _long("FlinkCluster", service, port, **options)

        def cancel() -> None:
            for job in here.running_jobs():
                here.cancel(job)

        def cancelled_with_savepoint() -> Runner:
            (job,) = here.running_jobs()
            return runner(here.savepoint(job, cancel=True))

        def lose_worker(job: Job) -> None:
            here.kill_worker()
            here.start_worker()

        faults = {
            "savepoint": lambda job: job.move(cancelled_with_savepoint),
            "worker": lose_worker,
        }
        yield Site(runner(), cancel, faults)


def _long(name: str, service: Service, port: int, **options: Any) -> Runner:
    """A runner whose jobs may take an hour: by default they are given up after five minutes."""
    runner = harness.portable(name, service, port, job_server_timeout=3600, **options)
    return replace(runner, limit=3600)


SITES: dict[str, Callable[[Path], contextlib.AbstractContextManager[Site]]] = {
    "FnApiRunner": local,
    "Prism": prism,
    "Flink": flink,
    "connector": connector,
}
