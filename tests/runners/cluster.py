"""A Flink cluster of its own: a JobManager and a TaskManager from the job server's jars."""

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.runners import install, services
from tests.runners.services import Service, ServiceError

# Each part is named, or Flink would derive sizes that do not fit the heap given to the JVM.
_MEMORY = {
    "jobmanager.memory.process.size": "1g",
    "taskmanager.memory.task.heap.size": "768m",
    "taskmanager.memory.task.off-heap.size": "0m",
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.network.min": "64m",
    "taskmanager.memory.network.max": "64m",
    "taskmanager.memory.managed.size": "64m",
    "taskmanager.memory.jvm-metaspace.size": "512m",
    "taskmanager.memory.jvm-overhead.min": "192m",
    "taskmanager.memory.jvm-overhead.max": "192m",
}
_COMMAND_LINE = "org.apache.flink.client.cli.CliFrontend"
_TASK_HEAP = "-Xmx896m"
_JOB_HEAP = "-Xmx512m"


class Cluster:
    """A running cluster; its TaskManager may be killed and replaced.

    Args:
        folder: where logs, checkpoints and the cluster's configuration are written.
        slots: how many subtasks of one operator it runs.
    """

    def __init__(self, folder: Path, slots: int = 1) -> None:
        self.folder = folder
        self.rest = f"localhost:{services.free_port()}"
        self._rpc = services.free_port()
        self._slots = slots
        self._workers: list[Service] = []
        self._servers = 0
        self.job_manager = self._start("jobmanager", 0)
        try:
            self.job_manager.wait_for_port(int(self.rest.split(":")[1]))
            self.start_worker()
        except BaseException:
            self.stop()
            raise

    @property
    def checkpoints(self) -> Path:
        """Where jobs keep their checkpoints."""
        return self.folder / "checkpoints"

    def start_worker(self, seconds: float = services.START) -> None:
        """Starts a TaskManager; returns once the JobManager knows it."""
        worker = self._start("taskmanager", len(self._workers))
        self._workers.append(worker)
        known = f"taskmanager-{len(self._workers) - 1}"
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and worker.running():
            # While it elects its leader, the JobManager answers 503.
            with contextlib.suppress(ServiceError):
                if known in {found["id"] for found in self.get("/taskmanagers")["taskmanagers"]}:
                    return
            time.sleep(0.1)
        raise ServiceError(f"no TaskManager within {seconds:g} s:\n{worker.tail()}")

    def kill_worker(self) -> None:
        """Kills the TaskManager (kill -9), as a lost machine would."""
        self._workers[-1].kill()

    def stop(self) -> None:
        """Ends all processes."""
        for service in [*self._workers, self.job_manager]:
            service.stop()

    @contextlib.contextmanager
    def job_server(self, savepoint: str | None = None) -> Iterator[tuple[Service, int]]:
        """A job server that runs its jobs here, and its port; all begin at `savepoint` if given.

        It is itself run by Flink's command line, whose programs find their cluster: given the
        cluster's address, it would send all 158 MB of its jars with each job, which takes 20 s.
        """
        name = f"job-server-{self._servers}"
        self._servers += 1
        folder = self.folder / name
        self._configure(folder, name)
        restored = ["-s", savepoint] if savepoint else []
        flink_run = [_COMMAND_LINE, "run", "-m", self.rest, *restored, "-c", services.JOB_SERVER]
        any_jar = str(next(install.jars("flink-beam").glob("flink-annotations-*.jar")))
        environment = ["env", f"FLINK_CONF_DIR={folder}"]
        command = [*environment, *services.java("-Xmx1g"), *flink_run, any_jar]
        options = ["--flink-conf-dir", str(folder)]
        with services.job_server(name, command, options, self.folder) as started:
            yield started

    def get(self, path: str) -> Any:
        """What Flink's REST API says."""
        return self._call("GET", path)

    def running_jobs(self) -> list[str]:
        """The ids of the jobs that have not ended."""
        over = ("FINISHED", "CANCELED", "FAILED")
        return [job["id"] for job in self.get("/jobs")["jobs"] if job["status"] not in over]

    def cancel(self, job: str) -> None:
        """Cancels a job and waits for its end."""
        self._call("PATCH", f"/jobs/{job}?mode=cancel")
        while job in self.running_jobs():
            time.sleep(0.05)

    def savepoint(self, job: str, *, cancel: bool, seconds: float = 60) -> str:
        """Writes a savepoint; its path."""
        target = {"target-directory": str(self.folder / "savepoints"), "cancel-job": cancel}
        asked = self._call("POST", f"/jobs/{job}/savepoints", target)["request-id"]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.get(f"/jobs/{job}/savepoints/{asked}")
            if found["status"]["id"] == "COMPLETED":
                if "failure-cause" in found["operation"]:
                    raise ServiceError(str(found["operation"]["failure-cause"])[:2000])
                return str(found["operation"]["location"])
            time.sleep(0.05)
        raise ServiceError(f"no savepoint within {seconds:g} s")

    def completed_checkpoints(self, job: str) -> int:
        """How many checkpoints of a job were completed."""
        return int(self.get(f"/jobs/{job}/checkpoints")["counts"]["completed"])

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://{self.rest}{path}",
            data,
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise ServiceError(f"{method} {path}: {error.read().decode()[:2000]}") from None

    def _start(self, role: str, number: int) -> Service:
        """Starts a JobManager or TaskManager with a configuration folder of its own."""
        main, heap = {
            "jobmanager": (
                "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
                _JOB_HEAP,
            ),
            "taskmanager": ("org.apache.flink.runtime.taskexecutor.TaskManagerRunner", _TASK_HEAP),
        }[role]
        name = f"{role}-{number}"
        configuration = self.folder / name
        self._configure(configuration, name)
        command = services.java(heap, "-XX:MaxMetaspaceSize=512m")
        return Service(name, [*command, main, "--configDir", str(configuration)], self.folder)

    def _configure(self, folder: Path, name: str) -> None:
        """Writes the configuration of one process."""
        folder.mkdir(parents=True)
        address, port = self.rest.split(":")
        values = {
            "jobmanager.rpc.address": address,
            "jobmanager.rpc.port": self._rpc,
            "jobmanager.bind-host": address,
            "rest.address": address,
            "rest.bind-address": address,
            "rest.port": port,
            "taskmanager.host": address,
            "taskmanager.resource-id": name,
            "taskmanager.bind-host": address,
            "taskmanager.numberOfTaskSlots": self._slots,
            "taskmanager.cpu.cores": float(self._slots),
            # A killed TaskManager is missed after this, not after 50 s; on a busy machine, one that
            # lives may be silent for some seconds.
            "heartbeat.interval": 500,
            "heartbeat.timeout": 15_000,
            "classloader.resolve-order": "parent-first",
            "state.checkpoints.dir": self.checkpoints.as_uri(),
            "io.tmp.dirs": folder / "tmp",
            "blob.storage.directory": folder / "blobs",
            **_MEMORY,
        }
        lines = "".join(f"{key}: {value}\n" for key, value in values.items())
        (folder / "flink-conf.yaml").write_text(lines)


@contextlib.contextmanager
def started(folder: Path, slots: int = 1) -> Iterator[Cluster]:
    """A running cluster."""
    cluster = Cluster(folder, slots)
    try:
        yield cluster
    finally:
        cluster.stop()
