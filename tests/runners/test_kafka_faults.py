"""From topic to topic: every (stream, step) is answered right, whatever fails meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import sources
from tests.runners.broker import Broker
from tests.runners.kafka_faults import run, some_events
from tests.runners.kafka_jobs import SITES


@pytest.fixture(autouse=True)
def _sources_go_on() -> Iterator[None]:
    yield
    sources.start()


@pytest.mark.slow
@pytest.mark.parametrize("site", ["FnApiRunner", "Prism"])
def test_restarts_and_failures_do_not_show(site: str, tmp_path: Path, broker: Broker) -> None:
    events = some_events(number=60, longest=40, seed=3)
    with SITES[site](tmp_path) as here:
        tally = run(here, broker, events, ["stop", "fail", "kill"], seed=3)
    assert tally.right, tally


@pytest.mark.slow
def test_a_cluster_reads_on_where_its_state_stands(tmp_path: Path, broker: Broker) -> None:
    """What was answered before a checkpoint is not answered again."""
    events = some_events(number=60, longest=40, seed=4)
    with SITES["Flink"](tmp_path) as here:
        tally = run(here, broker, events, ["savepoint", "kill", "worker"], seed=4)
    assert tally.right, tally
    assert tally.again < tally.wanted // 2, tally


# Its Prism ends before its worker's threads.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_beams_own_connector_gives_the_same(tmp_path: Path, broker: Broker) -> None:
    events = some_events(number=40, longest=40, seed=5)
    with SITES["connector"](tmp_path) as here:
        tally = run(here, broker, events, [], seed=5)
    assert tally.right, tally
