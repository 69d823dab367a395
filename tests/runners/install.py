"""Installs the runners and the browser that tests start: ``python -m tests.runners.install``."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

PRISM_MODULE = "github.com/apache/beam/sdks/v2/go/cmd/prism"
PRISM_VERSION = "v2.77.0"
HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]

# What Maven fetches: the pom that names it, what it is and its size.
JARS = {
    "flink-beam": (HERE / "flink.pom.xml", "Flink job server, 152 MB"),
    "kafka": (HERE / "kafka.pom.xml", "Kafka broker, 46 MB"),
    "kafka-io-beam": (HERE / "kafka_io.pom.xml", "Kafka connector of Beam, 138 MB"),
    "sql-beam": (HERE / "sql.pom.xml", "SQL of Beam, 137 MB"),
    "java-beam": (REPOSITORY / "pipelines" / "java" / "pom.xml", "Java pipeline, 90 MB"),
}


def folder() -> Path:
    """Where the runners are kept: ``$BEAM_RNN_RUNNERS``, or ``.runners/`` in the repository."""
    return Path(os.environ.get("BEAM_RNN_RUNNERS") or REPOSITORY / ".runners").absolute()


def prism() -> Path:
    """The Prism binary, there or not."""
    return folder() / f"prism-{PRISM_VERSION}" / "prism"


def jars(name: str) -> Path:
    """The folder of the jars that one of `JARS` needs, there or not."""
    pom = JARS[name][0].read_text(encoding="utf-8")
    version = re.search(r"<(?:beam|kafka)\.version>(.+?)<", pom)
    assert version, f"{JARS[name][0]} names no version"
    return folder() / f"{name}-{version[1]}" / "lib"


def install_prism() -> None:
    """Builds Prism from its Go module; about 80 s on two cores, network included."""
    _need("go", "Go 1.25 or later builds the Prism runner")
    with _fresh(prism().parent) as bin_folder:
        environment = {**os.environ, "GOBIN": str(bin_folder)}
        _call(["go", "install", f"{PRISM_MODULE}@{PRISM_VERSION}"], environment)


def install_jars(name: str) -> None:
    """Fetches the jars that one of `JARS` needs with Maven; 20 to 60 s."""
    pom, what = JARS[name]
    _need("java", f"Java 11 or 17 runs it: {what}")
    _need("mvn", f"Maven fetches it: {what}")
    with _fresh(jars(name)) as lib:
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={lib}"]
        _call(["mvn", "-q", "-B", "-f", str(pom), *goal], dict(os.environ))


def chromium() -> Path:
    """The browser in which the pages are tried, there or not."""
    return Path(shutil.which("chromium") or shutil.which("google-chrome") or "/usr/bin/chromium")


def install_chromium() -> None:
    """Installs Debian's Chromium; about 90 s."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _call(["apt-get", "update", "-q"], environment)
    _call(["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"], environment)


def main() -> int:
    """Installs what is missing, one progress line each; the exit code."""
    steps: list[tuple[str, Path, Callable[[], None]]] = [
        ("Prism runner", prism(), install_prism),
        *((what, jars(name), partial(install_jars, name)) for name, (_, what) in JARS.items()),
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
