"""A Kafka broker of one node (KRaft) as a child process that can be stopped, killed, restarted."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.runners import install
from tests.runners.services import Service, ServiceError, free_port, installed

_QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
_CLUSTER = "YmVhbS1ybm4tdGVzdHMtMQ"  # 16 bytes in base 64
# Retention goes by the times of records: those long past would be gone after half a minute.
_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://localhost:{port},CONTROLLER://localhost:{controller}
advertised.listeners=PLAINTEXT://localhost:{port}
log.dirs={logs}
log.retention.ms=-1
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=300
"""


class Broker:
    """A broker that keeps its port and its logs over restarts.

    Args:
      folder: where the broker keeps its topics and writes what it says.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jars = f"{installed(install.jars('kafka'))}{os.sep}*"
        self._port = free_port()
        self._starts = 0
        self._properties = folder / "server.properties"
        logs, controller = folder / "logs", free_port()
        self._properties.write_text(
            _PROPERTIES.format(port=self._port, controller=controller, logs=logs)
        )
        tool = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(self._properties)]
        made = subprocess.run(
            ["java", "-cp", self._jars, *tool],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
        )
        if made.returncode:
            raise ServiceError(f"the broker's logs cannot be made:\n{made.stdout[-4000:]}")
        self.service = self._start()

    @property
    def servers(self) -> str:
        """What clients connect to."""
        return f"localhost:{self._port}"

    def create(self, topic: str, partitions: int) -> str:
        """Makes a topic, whose name it returns."""
        admin = AdminClient({"bootstrap.servers": self.servers})
        made = admin.create_topics([NewTopic(topic, partitions, replication_factor=1)])
        made[topic].result(timeout=30)
        return topic

    def restart(self, *, kill: bool, down: float = 0.0) -> None:
        """Stops the broker (``kill``: as a power cut does) and starts it on what it had written.

        Args:
          kill: by SIGKILL, else politely.
          down: seconds between the two.
        """
        if kill:
            self.service.kill()
        else:
            self.service.stop(30)
        time.sleep(down)
        self.service = self._start()

    def _start(self) -> Service:
        self._starts += 1
        command = ["java", "-Xmx512m", "-XX:+UseSerialGC", _QUIET, "-cp", self._jars]
        service = Service(
            f"kafka-{self._starts}",
            [*command, "kafka.Kafka", str(self._properties)],
            self._folder,
        )
        try:
            service.wait_for_port(self._port)
        except ServiceError:
            service.kill()
            raise
        return service


@contextlib.contextmanager
def kafka(folder: Path) -> Iterator[Broker]:
    """A running broker."""
    broker = Broker(folder)
    try:
        yield broker
    finally:
        broker.service.stop()
