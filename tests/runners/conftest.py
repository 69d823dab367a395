"""Starts each runner once per session; a test that takes `runner` runs on every one."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runners import cluster, harness, services
from tests.runners.broker import Broker, kafka
from tests.runners.harness import Runner
from tests.runners.services import Service

# The fixture behind each runner that is a service, and the options of its pipelines.
SERVICES: dict[str, tuple[str, dict[str, Any]]] = {
    "Prism": ("prism", {}),
    "FlinkStreaming": ("flink", harness.STREAMING),
    "FlinkCluster": ("flink_cluster", {**harness.STREAMING, **harness.CHECKPOINTS}),
    "FlinkBatch": ("flink", harness.FLINK),
}


@pytest.fixture(scope="session", params=harness.ALL)
def runner(request: pytest.FixtureRequest) -> Runner:
    """A runner, ready to run pipelines.

    For fewer: ``@pytest.mark.parametrize("runner", harness.UNBOUNDED, indirect=True)``.
    """
    if request.param not in SERVICES:
        return harness.LOCAL[request.param]()
    service, options = SERVICES[request.param]
    return harness.portable(request.param, *request.getfixturevalue(service), **options)


@pytest.fixture(scope="session")
def service_logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where services write; pytest keeps it for a few runs."""
    return tmp_path_factory.mktemp("services")


@pytest.fixture(scope="session")
def prism(service_logs: Path) -> Iterator[tuple[Service, int]]:
    """A running Prism and its job port."""
    with services.prism(service_logs) as started:
        yield started


@pytest.fixture(scope="session")
def flink(service_logs: Path) -> Iterator[tuple[Service, int]]:
    """A running Flink, embedded in its job server, and its job port."""
    with services.flink(service_logs) as started:
        yield started


@pytest.fixture(scope="session")
def flink_cluster(service_logs: Path) -> Iterator[tuple[Service, int]]:
    """A job server whose jobs run on a JobManager and a TaskManager of their own, and its port."""
    with cluster.started(service_logs / "cluster") as running, running.job_server() as started:
        yield started


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running Kafka broker."""
    with kafka(tmp_path_factory.mktemp("broker")) as started:
        yield started


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a service is for one worker: `--dist loadgroup` starts it once."""
    for item in items:
        shared = SERVICES.keys() & set(re.split(r"[\[\]-]", item.name))
        group = min(shared, default=item.path.name)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failed test shows the end of its runner's log."""
    report: Any = yield
    under_test = getattr(item, "funcargs", {}).get("runner")
    if report.failed and isinstance(under_test, Runner) and under_test.service:
        service = under_test.service
        report.sections.append((f"{service.name}: end of {service.log}", service.tail()))
    return report
