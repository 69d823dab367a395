"""Faults on a Flink cluster with checkpoints: what is killed, and that the job goes on."""

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.portable_runner import PortableRunner

from tests.faults.disk import small_disk
from tests.faults.scenario import ORDERS, scenario
from tests.faults.steps import Failing, Sink, written
from tests.faults.tally import Tally, compared
from tests.runners.cluster import Cluster
from tests.runners.harness import CHECKPOINTS, STREAMING
from tests.runners.install import REPOSITORY
from tests.runners.sources import replay

_OPTIONS: dict[str, Any] = {
    **STREAMING,
    **CHECKPOINTS,
    "number_of_execution_retries": 100,
    "execution_retry_delay": 200,
    "max_bundle_time_mills": 100,
    # The source is not at its end when its only element has been read.
    "shutdown_sources_after_idle_ms": -1,
    "externalized_checkpoints_enabled": True,
    "retain_externalized_checkpoints_on_cancellation": True,
}
_CHUNK, _PAUSE = 8, 0.1  # the source brings 80 events/s, so that a job takes some seconds
_PATIENCE = 300  # seconds without a new answer after which those that are missing are lost


class Run:
    """One job, from its start to its last answer, over faults and restarts.

    Args:
        cluster: where it runs.
        seed: which scenario it is.
        folder: an empty folder of its own.
        failing: how often a step behind the one under test raises.
        processes: whether Python workers are processes of their own, which can be killed.
    """

    def __init__(
        self,
        cluster: Cluster,
        seed: int,
        folder: Path,
        *,
        failing: int = 0,
        processes: bool = False,
    ) -> None:
        self.cluster = cluster
        self.chance = random.Random(seed)
        self.scenario = scenario(seed, ORDERS)
        self.faults = 0
        self._failing = failing
        self._processes = processes
        self._seed = seed
        self.sink, self.raised, self.full, self.workers = (
            folder / name for name in ("sink", "raised", "full", "workers")
        )
        for made in (self.sink, self.raised, self.full, self.workers):
            made.mkdir(exist_ok=True)
        self._results: list[Any] = []
        self._id = ""

    def start(self, port: int) -> None:
        """Submits the job to the job server at `port`; again, if it was stopped."""
        options = {**_OPTIONS, "job_endpoint": f"localhost:{port}", **self._environment()}
        pipeline = beam.Pipeline(
            runner=PortableRunner(), options=PipelineOptions(flags=[], **options)
        )
        events = [event for chunk in self.scenario.chunks for event in chunk]
        chunks = [events[start : start + _CHUNK] for start in range(0, len(events), _CHUNK)]
        answers = self.scenario.step(pipeline | replay(chunks, pause=_PAUSE))
        if self._failing:
            failing = Failing(self.raised, self._seed, self._failing)
            answers = answers | "Failing" >> beam.ParDo(failing)
        _ = answers | "Sink" >> beam.ParDo(Sink(self.sink, self.full))
        self._results.append(pipeline.run())
        self._id = _until(self.cluster.running_jobs, "the job has not begun")[0]

    def wait_for(self, share: float) -> None:
        """Returns when the sink has a share of all answers."""
        wanted = share * len(self.scenario.answers)
        _until(lambda: len(set(written(self.sink))) >= wanted, "no progress")

    def to_its_end(self) -> Tally:
        """Waits for all answers, ends the job and compares."""
        wanted = self.scenario.answers
        progress, since = 0, time.monotonic()
        while time.monotonic() - since < _PATIENCE:
            found = len(wanted & set(written(self.sink)))
            if found == len(wanted):
                break
            if found > progress:
                progress, since = found, time.monotonic()
            time.sleep(0.2)
        time.sleep(1)  # for answers that there should not be
        self.cancel()
        self.faults += len(list(self.raised.iterdir())) + len(list(self.full.iterdir()))
        return compared(self.scenario, written(self.sink), self.faults)

    def cancel(self) -> None:
        """Cancels the job, if it runs."""
        for job in self.cluster.running_jobs():
            self.cluster.cancel(job)
        for result in self._results:  # they end their workers
            with contextlib.suppress(Exception):
                result.wait_until_finish()
        self._results.clear()

    def savepoint(self) -> str:
        """Stops the job; the path of its savepoint."""
        path = self.cluster.savepoint(self._id, cancel=True)
        self.cancel()
        return path

    def checkpoint(self) -> str:
        """Cancels the job when it has a checkpoint; the path of the last one."""
        _until(lambda: self.cluster.completed_checkpoints(self._id), "no checkpoint")
        self.cancel()
        whole = (self.cluster.checkpoints / self._id).glob("chk-*/_metadata")
        last = max(whole, key=lambda path: int(path.parent.name.split("-")[1]))
        return last.parent.as_uri()

    def kill_python(self) -> None:
        """Kills the workers of Python that live (kill -9)."""
        for noted in self.workers.iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                # The number may be another process's by now.
                command = Path(f"/proc/{noted.name}/cmdline").read_bytes()
                if str(self.workers).encode() in command:
                    os.kill(int(noted.name), signal.SIGKILL)
            noted.unlink()

    def _environment(self) -> dict[str, Any]:
        if not self._processes:
            return {"environment_type": "LOOPBACK"}
        command = self.workers.with_name("worker.sh")
        command.write_text(
            f"#!/bin/sh\ncd {REPOSITORY}\n"
            f'exec {sys.executable} -m tests.faults.worker {self.workers} "$@"\n'
        )
        command.chmod(0o755)
        return {
            "environment_type": "PROCESS",
            "environment_config": json.dumps({"command": str(command)}),
        }


def raising(run: Run, port: int) -> None:
    """A step fused to the one under test raises, in the midst of answers or at the end."""
    run.start(port)


def worker(run: Run, port: int) -> None:
    """The worker of Python is killed, once or twice."""
    run.start(port)
    for _ in range(run.chance.choice([1, 2])):
        run.wait_for(run.chance.random() * 0.9)
        run.kill_python()
        run.faults += 1


def taskmanager(run: Run, port: int) -> None:
    """The TaskManager is killed and another one started."""
    run.start(port)
    run.wait_for(run.chance.random() * 0.9)
    run.cluster.kill_worker()
    run.faults += 1
    run.cluster.start_worker()


def savepoint(run: Run, port: int) -> None:
    """The job is stopped with a savepoint, and begun again from it."""
    run.start(port)
    run.wait_for(run.chance.random() * 0.9)
    _resume(run, run.savepoint())


def checkpoint(run: Run, port: int) -> None:
    """The job is cancelled at any moment, and begun again from its last checkpoint."""
    run.start(port)
    run.wait_for(run.chance.random() * 0.9)
    _resume(run, run.checkpoint())


def disk(run: Run, port: int) -> None:
    """The disk of the sink is full for a while."""
    with small_disk(run.sink.with_name("disk")) as small:
        run.sink = small.folder
        run.start(port)
        run.wait_for(run.chance.random() * 0.9)
        small.fill()
        _until(lambda: list(run.full.iterdir()), "the sink found space")
        small.free()
        kept = run.sink.with_name("sink")
        run.wait_for(1)
        for path in small.folder.glob("*.answers"):
            shutil.copy(path, kept)
    run.sink = kept


def _resume(run: Run, path: str) -> None:
    run.faults += 1
    with run.cluster.job_server(path) as (_, port):
        run.start(port)
        run.wait_for(1)


KINDS: dict[str, Callable[[Run, int], None]] = {
    "raise": raising,
    "worker": worker,
    "taskmanager": taskmanager,
    "savepoint": savepoint,
    "checkpoint": checkpoint,
    "disk": disk,
}


def run(kind: str, seed: int, cluster: Cluster, port: int) -> Tally:
    """One run of a kind, on a cluster whose job server is at `port`."""
    folder = Path(tempfile.mkdtemp(prefix="beam-rnn-faults-"))
    failing = random.Random(seed).choice([1, 2, 3]) if kind == "raise" else 0
    job = Run(cluster, seed, folder, failing=failing, processes=kind == "worker")
    try:
        KINDS[kind](job, port)
        return job.to_its_end()
    finally:
        job.cancel()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def started(folder: Path) -> Iterator[tuple[Cluster, int]]:
    """A cluster, and the port of a job server."""
    from tests.runners import cluster

    with cluster.started(folder) as running, running.job_server() as (_, port):
        yield running, port


def _until(found: Callable[[], Any], missing: str) -> Any:
    """What `found` gives, once it is true."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.05)
    raise RuntimeError(f"{missing} for {_PATIENCE} s")
