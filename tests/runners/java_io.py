"""Beam's Java side as child processes: an expansion service, and the worker of what it expands."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from tests.runners import install
from tests.runners.services import Service, free_port, installed, stopped


@contextlib.contextmanager
def kafka_io(folder: Path) -> Iterator[str]:
    """The address of an expansion service that knows `ReadFromKafka` and `WriteToKafka`.

    What it expands runs in a Java worker that this starts as well; runners reach the worker at its
    port, so no container is needed.
    """
    lib = installed(install.kafka_io())
    classes = ["-cp", f"{lib}{os.sep}*"]
    agent = f"-javaagent:{next(lib.glob('jamm-*.jar'))}"
    opened = "--add-opens=java.base/java.lang=ALL-UNNAMED"
    options = json.dumps({"options": {"beam:option:app_name:v1": "kafka-io"}})
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
                *["java", "-Xmx256m", *classes],
                "org.apache.beam.sdk.expansion.service.ExpansionService",
                str(port),
                "--javaClassLookupAllowlistFile=*",
                "--defaultEnvironmentType=EXTERNAL",
                f"--defaultEnvironmentConfig={address}",
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
