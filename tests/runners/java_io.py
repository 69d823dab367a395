"""Beam's Java side as child processes: an expansion service, and the worker of what it expands."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.runners import install
from tests.runners.services import Service, free_port, installed, stopped

_REGISTRAR = "org.apache.beam.sdk.expansion.ExternalTransformRegistrar"


@contextlib.contextmanager
def kafka_io(folder: Path) -> Iterator[str]:
    """The address of an expansion service that knows `ReadFromKafka` and `WriteToKafka`."""
    with _expansion(installed(install.jars("kafka-io-beam")), folder) as address:
        yield address


@contextlib.contextmanager
def sql(folder: Path) -> Iterator[str]:
    """The address of an expansion service that knows `SqlTransform`.

    Beam's own is one jar that its releases bring; here it is Beam SQL from Maven and `Sql.java`.
    """
    lib = installed(install.jars("sql-beam"))
    classes = folder / "classes"
    source = str(Path(__file__).with_name("Sql.java"))
    command = ["javac", "-d", str(classes), "-cp", f"{lib}{os.sep}*", source]
    subprocess.run(command, check=True, timeout=120)
    registered = classes / "META-INF" / "services" / _REGISTRAR
    registered.parent.mkdir(parents=True)
    registered.write_text("Sql")
    with _expansion(lib, folder, classes) as address:
        yield address


@contextlib.contextmanager
def _expansion(lib: Path, folder: Path, *more: Path) -> Iterator[str]:
    """The address of a running expansion service.

    What it expands runs in a Java worker that this starts as well; runners reach the worker at its
    port, so no container is needed, and no jar is sent.
    """
    classes = ["-cp", os.pathsep.join([*map(str, more), f"{lib}{os.sep}*"])]
    agent = f"-javaagent:{next(lib.glob('jamm-*.jar'))}"
    opened = "--add-opens=java.base/java.lang=ALL-UNNAMED"
    options = json.dumps({"options": {"beam:option:app_name:v1": "java"}})
    worker = Service(
        "java-worker",
        [
            *["env", f"PIPELINE_OPTIONS={options}"],
            *["java", "-Xmx512m", agent, opened, *classes],
            "org.apache.beam.fn.harness.ExternalWorkerService",
        ],
        folder,
    )
    with stopped(worker):
        address = _address(worker)
        port = free_port()
        expansion = Service(
            "expansion",
            [
                *["java", "-Xmx512m", *classes],
                "org.apache.beam.sdk.expansion.service.ExpansionService",
                str(port),
                "--javaClassLookupAllowlistFile=*",
                "--defaultEnvironmentType=EXTERNAL",
                f"--defaultEnvironmentConfig={address}",
                f"--filesToStage={Path(__file__)}",  # the worker has them all; none means all
            ],
            folder,
        )
        with stopped(expansion):
            expansion.wait_for_port(port)
            yield f"localhost:{port}"


def _address(worker: Service) -> str:
    started = "External worker service started at address: "
    worker.wait_for_line(started)
    log = worker.log.read_text(encoding="utf-8", errors="replace")
    return log.partition(started)[2].split()[0]
