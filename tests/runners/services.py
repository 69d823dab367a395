"""Runner services as child processes: a free port, a wait for readiness, a log, a clean end."""

import contextlib
import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.runners import install

JOB_SERVER = "org.apache.beam.runners.flink.FlinkJobServerDriver"
JAVA_OPENS = ("java.util", "java.lang", "java.nio", "java.time")
START = 180.0  # seconds within which a service is ready, on a machine that others use too


class ServiceError(RuntimeError):
    """A service did not start, or ended too early; shows the end of its log."""


class Service:
    """One child process with its log; it is signalled by its own process id, never by name.

    Args:
        name: the stem of the log's file name.
        command: program and arguments.
        folder: where the log is written; the process runs there.
    """

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C at the terminal is for pytest, whose fixtures then end the service.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def tail(self, size: int = 6000) -> str:
        """The last `size` characters of the log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-size:]

    def wait_for_port(self, port: int, seconds: float = START) -> None:
        """Returns once `port` accepts connections; else ServiceError."""
        for _ in self._poll(f"port {port}", seconds):
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
                return

    def wait_for_line(self, text: str, seconds: float = START) -> None:
        """Returns once the log holds `text`; else ServiceError."""
        for _ in self._poll(repr(text), seconds):
            if text in self.log.read_text(encoding="utf-8", errors="replace"):
                return

    def wait(self, seconds: float) -> int:
        """Waits for the process to end by itself; its exit code."""
        return self._process.wait(seconds)

    def stop(self, seconds: float = 10) -> None:
        """Ends the process: asks, waits, then kills."""
        if self.running():
            self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process.wait()

    def kill(self) -> None:
        """Ends the process at once, as a fault does."""
        self._process.kill()
        self._process.wait()

    def _poll(self, what: str, seconds: float) -> Iterator[None]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.running():
                code = self._process.returncode
                raise ServiceError(f"{self.name} ended with code {code}:\n{self.tail()}")
            yield
            time.sleep(0.05)
        raise ServiceError(f"{self.name}: no {what} within {seconds:g} s:\n{self.tail()}")


def free_port() -> int:
    """A TCP port that nothing listened on a moment ago.

    Not one that the system may give to a client meanwhile, as those from 32,768 on.
    """
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("localhost", port))
            return port


def java(*options: str) -> list[str]:
    """The command of a JVM that has Flink's classes; the main class and its arguments follow."""
    quiet = [
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.log.org.apache.beam.runners.jobsubmission=info",
    ]
    opens = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in JAVA_OPENS]
    jars = installed(install.jars("flink-beam"))
    return ["java", *options, *quiet, *opens, "-cp", f"{jars}{os.sep}*"]


@contextlib.contextmanager
def prism(folder: Path) -> Iterator[tuple[Service, int]]:
    """A running Prism, and the port of its job service."""
    port = free_port()
    command = [str(installed(install.prism())), "--job_port", str(port), "--log_level=warn"]
    with stopped(Service("prism", [*command, "--serve_http=false"], folder)) as service:
        service.wait_for_port(port)
        yield service, port


@contextlib.contextmanager
def flink(folder: Path) -> Iterator[tuple[Service, int]]:
    """A running Flink, embedded in its job server, and the server's port."""
    with job_server(
        "flink", [*java("-Xmx2g"), JOB_SERVER], ["--flink-master", "[local]"], folder
    ) as started:
        yield started


@contextlib.contextmanager
def job_server(
    name: str, command: list[str], options: list[str], folder: Path
) -> Iterator[tuple[Service, int]]:
    """A running job server of Beam for Flink, and its port.

    Args:
        name: the stem of its log's file name.
        command: what starts it; its options follow.
        options: where its jobs run.
        folder: where it writes.
    """
    port = free_port()
    ports = ["--job-port", str(port), "--artifact-port", str(free_port()), "--expansion-port", "-1"]
    staging = ["--artifacts-dir", str(folder / "artifacts")]
    service = Service(name, [*command, *ports, *staging, *options], folder)
    with stopped(service):
        service.wait_for_line("Job server now running")
        yield service, port


@contextlib.contextmanager
def stopped(service: Service) -> Iterator[Service]:
    """The service, which is stopped in the end."""
    try:
        yield service
    finally:
        service.stop()


def installed(path: Path) -> Path:
    """The path, which must be there."""
    if not path.exists():
        raise ServiceError(f"{path} is missing: `make setup` installs it")
    return path
