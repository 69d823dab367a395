"""Installs the runners and the browser that tests start: ``python -m tests.runners.install``."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PRISM_MODULE = "github.com/apache/beam/sdks/v2/go/cmd/prism"
PRISM_VERSION = "v2.77.0"
FLINK_POM = Path(__file__).with_name("flink.pom.xml")
KAFKA_POM = Path(__file__).with_name("kafka.pom.xml")
KAFKA_IO_POM = Path(__file__).with_name("kafka_io.pom.xml")
REPOSITORY = Path(__file__).parents[2]
JAVA_POM = REPOSITORY / "pipelines" / "java" / "pom.xml"


def folder() -> Path:
    """Where the runners are kept: ``$BEAM_RNN_RUNNERS``, or ``.runners/`` in the repository."""
    return Path(os.environ.get("BEAM_RNN_RUNNERS") or REPOSITORY / ".runners").absolute()


def prism() -> Path:
    """The Prism binary, there or not."""
    return folder() / f"prism-{PRISM_VERSION}" / "prism"


def flink() -> Path:
    """The folder of the Flink job server's jars, there or not."""
    return folder() / f"flink-beam-{_version(FLINK_POM)}" / "lib"


def kafka() -> Path:
    """The folder of the Kafka broker's jars, there or not."""
    return folder() / f"kafka-{_version(KAFKA_POM)}" / "lib"


def kafka_io() -> Path:
    """The folder of the jars of Beam's Kafka connector and its services, there or not."""
    return folder() / f"kafka-io-beam-{_version(KAFKA_IO_POM)}" / "lib"


def java() -> Path:
    """The folder of the jars that the Java pipeline needs, there or not."""
    return folder() / f"java-beam-{_version(JAVA_POM)}" / "lib"


def _version(pom: Path) -> str:
    version = re.search(r"<(?:beam|kafka)\.version>(.+?)<", pom.read_text(encoding="utf-8"))
    assert version, f"{pom} names no version"
    return version[1]


def install_prism() -> None:
    """Builds Prism from its Go module; about 80 s on two cores, network included."""
    _need("go", "Go 1.25 or later builds the Prism runner")
    with _fresh(prism().parent) as bin_folder:
        environment = {**os.environ, "GOBIN": str(bin_folder)}
        _call(["go", "install", f"{PRISM_MODULE}@{PRISM_VERSION}"], environment)


def install_flink() -> None:
    """Fetches the Flink job server's jars with Maven; about 25 s, 152 MB."""
    _fetch_jars(FLINK_POM, flink(), "the Flink job server")


def install_kafka() -> None:
    """Fetches the Kafka broker's jars with Maven; about 30 s, 46 MB."""
    _fetch_jars(KAFKA_POM, kafka(), "the Kafka broker")


def install_kafka_io() -> None:
    """Fetches the jars of Beam's Kafka connector with Maven; about 40 s, 138 MB."""
    _fetch_jars(KAFKA_IO_POM, kafka_io(), "Beam's Kafka connector")


def install_java() -> None:
    """Fetches the jars that the Java pipeline needs with Maven; about 20 s, 90 MB."""
    _fetch_jars(JAVA_POM, java(), "the Java pipeline")


def chromium() -> Path:
    """The browser in which the pages are tried, there or not."""
    return Path(shutil.which("chromium") or shutil.which("google-chrome") or "/usr/bin/chromium")


def install_chromium() -> None:
    """Installs Debian's Chromium; about 90 s."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _call(["apt-get", "update", "-q"], environment)
    _call(["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"], environment)


def _fetch_jars(pom: Path, target: Path, what: str) -> None:
    _need("java", f"Java 11 or 17 runs {what}")
    _need("mvn", f"Maven fetches {what}")
    with _fresh(target) as lib:
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={lib}"]
        _call(["mvn", "-q", "-B", "-f", str(pom), *goal], dict(os.environ))


def main() -> int:
    """Installs what is missing, one progress line each; the exit code."""
    steps: list[tuple[str, Path, Callable[[], None]]] = [
        ("Prism runner", prism(), install_prism),
        ("Flink job server", flink(), install_flink),
        ("Kafka broker", kafka(), install_kafka),
        ("Kafka connector of Beam", kafka_io(), install_kafka_io),
        ("Java pipeline", java(), install_java),
    ]
    # Elsewhere the tests in it are skipped, and say so.
    if shutil.which("apt-get") and os.geteuid() == 0:
        steps.append(("Chromium", chromium(), install_chromium))
    for label, target, install in steps:
        if target.exists():
            continue
        print(f"==> {label} ... ", end="", flush=True)
        start = time.monotonic()
        try:
            install()
        except (OSError, RuntimeError) as error:
            print(f"FAILED: {error}")
            return 1
        print(f"done in {time.monotonic() - start:.0f} s")
    return 0


class _fresh:
    """A folder that appears under its name only when whole; a failed step leaves nothing."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._part = target.with_name(target.name + f".part-{os.getpid()}")

    def __enter__(self) -> Path:
        self._part.mkdir(parents=True)
        return self._part

    def __exit__(self, failed: object, *_: object) -> None:
        if failed is None:
            self._part.replace(self._target)
        else:
            shutil.rmtree(self._part, ignore_errors=True)


def _need(program: str, why: str) -> None:
    if shutil.which(program) is None:
        raise RuntimeError(f"{program} is not on the PATH ({why}); `make unit` does without")


def _call(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-4000:]}")


if __name__ == "__main__":
    sys.exit(main())
