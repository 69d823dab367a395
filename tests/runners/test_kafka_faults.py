"""From topic to topic: every (stream, step) is answered right while the broker and the job fail."""

from pathlib import Path

import pytest

from pipelines import sources
from tests.runners import harness, services
from tests.runners.broker import Broker
from tests.runners.harness import Runner
from tests.runners.java_io import kafka_io
from tests.runners.kafka_faults import OPTIONS, run, some_events


@pytest.mark.parametrize("runner", ["FnApiRunner", "Prism", "FlinkCheckpoints"], indirect=True)
def test_restarts_and_failures_do_not_show(runner: Runner, broker: Broker) -> None:
    events = some_events(number=60, longest=40, seed=3)
    options = OPTIONS.get(runner.name, {})
    tally = run(runner, broker, events, ["stop", "fail", "kill"], seed=3, **options)
    sources.start()
    assert tally.right, tally
    assert (tally.restarts, tally.failures) == (2, 1)


# Its Prism ends before its worker's threads.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_beams_own_connector_gives_the_same(tmp_path: Path, broker: Broker) -> None:
    """On a Prism of its own, which ends its job: the connector reads for ever."""
    events = some_events(number=40, longest=40, seed=5)
    with kafka_io(tmp_path) as expansion, services.prism(tmp_path) as prism:
        runner = harness.portable("Prism", *prism)
        tally = run(runner, broker, events, [], seed=5, expansion=expansion)
    assert tally.right, tally
