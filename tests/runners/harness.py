"""One way to run a pipeline on each runner and to bring its elements back to the test."""

import contextlib
import dataclasses
import pickle
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.runner import PipelineRunner

from tests.runners.services import Service

# Flink embedded in its job server, and a cluster with checkpoints.
FLINK_UNBOUNDED = ["FlinkStreaming", "FlinkCluster"]
UNBOUNDED = ["FnApiRunner", "BundleBasedDirectRunner", "Prism", *FLINK_UNBOUNDED]
ALL = [*UNBOUNDED, "FlinkBatch"]
# Elsewhere event-time timers of unbounded pipelines do not wait for the watermark.
TIMERS = UNBOUNDED[1:]

# One subtask, so that no repartitioning loses the order of a key's events; no retries, so
# that a failed pipeline fails at once.
FLINK: dict[str, Any] = {"parallelism": 1, "number_of_execution_retries": 0}
STREAMING: dict[str, Any] = {"streaming": True, **FLINK}
CHECKPOINTS: dict[str, Any] = {
    "checkpointing_interval": 200,  # milliseconds; a test takes about 2 s
    # Without it Flink loses what a bundle holds when a checkpoint comes.
    "finish_bundle_before_checkpointing": True,
    # Without it Flink waits for ever behind a bounded source, since it may be asked to restore.
    "shutdown_sources_after_idle_ms": 0,
}


@dataclasses.dataclass(frozen=True)
class Runner:
    """A runner under test.

    Attributes:
        name: one of `ALL`.
        make: gives the runner's object for one pipeline.
        defaults: the pipeline options that reach it.
        service: the process behind it, or None for a runner inside the test's process.
        limit: the seconds after which a pipeline counts as hung and its service is killed.
    """

    name: str
    make: Callable[[], PipelineRunner]
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    service: Service | None = None
    limit: float = 300

    @property
    def unbounded(self) -> bool:
        """Whether it runs unbounded pipelines."""
        return self.name in UNBOUNDED

    @property
    def flink(self) -> bool:
        """Whether it is Flink with unbounded pipelines, whose bundles its options cut."""
        return self.name in FLINK_UNBOUNDED

    @property
    def timers(self) -> bool:
        """Whether event-time timers of unbounded pipelines wait for the watermark."""
        return self.name in TIMERS

    def options(self, **extra: Any) -> PipelineOptions:
        """The options that reach this runner; `extra` adds to them or replaces them.

        An option that another runner alone knows (max_bundle_size) does no harm.
        """
        return PipelineOptions(flags=[], **{**self.defaults, **extra})

    def run(self, build: Callable[[beam.Pipeline], Any], **extra: Any) -> Any:
        """Runs the pipeline that `build` makes to its end; returns Beam's result (for metrics).

        A failed pipeline raises what Beam raises. `extra` are pipeline options.
        """
        pipeline = beam.Pipeline(runner=self.make(), options=self.options(**extra))
        build(pipeline)
        result = pipeline.run()
        with self._limited():
            state = result.wait_until_finish()
        if state != "DONE":
            raise RuntimeError(f"the pipeline ended as {state} on {self.name}")
        return result

    def collect(
        self, build: Callable[[beam.Pipeline], beam.PCollection[Any]], **extra: Any
    ) -> list[Any]:
        """Runs the pipeline; all elements of the PCollection that `build` returns, in any order.

        They come back through files, one per bundle, so a bundle that was retried after it had
        ended (a fault) may be there twice.
        """
        with _folder() as folder:
            self.run(
                lambda pipeline: build(pipeline) | "Collect" >> beam.ParDo(_Keep(str(folder))),
                **extra,
            )
            return list(_kept(folder))

    def collect_windowed(
        self, build: Callable[[beam.Pipeline], beam.PCollection[Any]], **extra: Any
    ) -> list[tuple[Any, float, Any]]:
        """Like `collect`, as (element, timestamp in seconds, window)."""
        return self.collect(
            lambda pipeline: build(pipeline) | "AddTimes" >> beam.ParDo(_AddTimes()), **extra
        )

    @contextlib.contextmanager
    def _limited(self) -> Iterator[None]:
        # Not wait_until_finish(duration): it looks once a second, longer than most tests take.
        if self.service is None:
            yield
            return
        watchdog = threading.Timer(self.limit, self.service.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()


class _Keep(beam.DoFn):
    """Writes a bundle's elements into one file of their own."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def start_bundle(self) -> None:
        self._held: list[Any] = []

    def process(self, element: Any) -> None:
        self._held.append(element)

    def finish_bundle(self) -> None:
        if self._held:
            part = self._folder / f"{uuid.uuid4().hex}.part"
            part.write_bytes(pickle.dumps(self._held))
            part.replace(part.with_suffix(".pickle"))


class _AddTimes(beam.DoFn):
    """Element -> (element, timestamp in seconds, window)."""

    def process(
        self,
        element: Any,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterable[tuple[Any, float, Any]]:
        yield element, timestamp.micros / 1e6, window


def _kept(folder: Path) -> Iterator[Any]:
    for path in sorted(folder.glob("*.pickle")):
        yield from pickle.loads(path.read_bytes())


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="beam-rnn-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fn_api() -> Runner:
    """Beam's local runner, its Fn API inside the process."""
    return Runner("FnApiRunner", FnApiRunner)


def bundle_based() -> Runner:
    """Beam's older local runner; TestStream, but no splittable DoFn."""
    return Runner("BundleBasedDirectRunner", BundleBasedDirectRunner)


LOCAL = {"FnApiRunner": fn_api, "BundleBasedDirectRunner": bundle_based}


def portable(name: str, service: Service, port: int, **options: Any) -> Runner:
    """A runner behind the job service at `port`; the DoFns run in the test's process."""
    here = {"job_endpoint": f"localhost:{port}", "environment_type": "LOOPBACK"}
    return Runner(name, PortableRunner, {**here, **options}, service)
