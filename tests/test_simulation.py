"""beam-rnn simulate: what a bundle is made of, costs that are fitted, and the workers of a job."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import beam_rnn as rnn
from beam_rnn.cli import app
from beam_rnn.simulation import Job, simulated, throughput
from beam_rnn.transforms import costs as module
from beam_rnn.transforms.costs import Bundle, Costs, chosen, shares
from tests.nn.writers import READER
from tests.transforms.test_streams import NET


def costs(**each: float) -> Costs:
    """Costs of which all but a few are 0."""
    names = ("bundle", "event", "stream", "wave", "shard", "steps")
    values = np.array([each.pop(name, 0.0) for name in names])
    assert not each
    return Costs(np.array([1, 10]), np.array([1.0, 4.0]), values, stream=133)


def test_a_bundle_is_stepped_in_waves() -> None:
    amounts = Bundle(np.array([3, 1, 1]), 2).amounts(lambda rows: rows * 10.0)
    assert amounts == [1, 5, 3, 3, 2, 50]  # waves of three, one and one stream
    assert Bundle(np.array([3, 1, 1]), 2).amounts(costs().step)[-1] == pytest.approx(1 + 1 + 5 / 3)


def test_a_step_beyond_what_was_measured_is_in_proportion() -> None:
    np.testing.assert_allclose(costs().step(np.array([1, 4, 10, 20])), [1, 2, 4, 8])


def test_streams_are_chosen_by_their_share() -> None:
    share = shares(4, 1.0)
    np.testing.assert_allclose(share * 25 / 12, [1, 1 / 2, 1 / 3, 1 / 4])
    found = np.bincount(chosen(share, 10_000, 0), minlength=4) / 10_000
    np.testing.assert_allclose(found, share, atol=0.02)
    np.testing.assert_allclose(shares(4, 0), 0.25)


def test_costs_are_those_of_the_bundles() -> None:
    """Exactly, where time is a sum; and none is negative, where another would fit better so."""
    draw = np.random.default_rng(0)
    amounts = draw.uniform(1, 100, (40, 6))
    true = np.array([5.0, 1.0, 0.0, 2.0, 0.5, 3.0])
    np.testing.assert_allclose(module._fitted(amounts, amounts @ true), true, atol=1e-9)
    wrong = true - [0, 0, 0.2, 0, 0, 0]
    found = module._fitted(amounts, amounts @ wrong)
    assert found[2] == 0
    assert (found >= 0).all()


def test_throughput_is_events_by_what_they_take() -> None:
    job = Job(streams=50, rate=1)
    assert throughput(costs(event=0.01), job, 200) == pytest.approx(100)
    assert throughput(costs(bundle=1, event=0.01), job, 100) == pytest.approx(50)
    assert throughput(costs(shard=1), Job(50, 1, shards=1), 100) == pytest.approx(100)


@pytest.mark.parametrize(("rate", "workers"), [(50, 1), (250, 4), (550, 10)])
def test_workers_are_busy_for_seven_tenths_at_most(rate: float, workers: int) -> None:
    found = simulated(costs(event=0.01), Job(streams=10_000, rate=rate, every=10))
    assert found.workers == workers
    assert 0.5 < found.busy <= 0.7 or workers == 1
    assert found.latency == (
        pytest.approx(5 + 10 * found.busy),
        pytest.approx(10 + 10 * found.busy),
    )
    assert found.bundle == pytest.approx(found.busy * 10 / 0.01)


def test_a_stream_that_is_too_hot_is_said_so() -> None:
    found = simulated(costs(event=0.01), Job(streams=100, rate=150, skew=3.0))
    assert found.workers is None
    assert found.busy > 1
    assert found.hottest[1] >= found.hottest[0] > 0.8


def test_state_is_that_of_all_streams() -> None:
    found = simulated(costs(event=1e-6), Job(streams=3200, rate=10, shards=32))
    assert (found.stream, found.state) == (133, 133 * 3200)
    assert 133 * 100 < found.shard < 133 * 150


@pytest.mark.parametrize("option", ["streams", "rate", "every", "shards", "skew"])
def test_what_is_asked_is_checked(option: str) -> None:
    asked: dict[str, Any] = {"streams": 1, "rate": 1, option: -1}
    with pytest.raises(rnn.OptionError, match=f"{option} is -1"):
        Job(**asked)


def test_a_network_that_reads_whole_sequences_is_refused() -> None:
    with pytest.raises(rnn.OptionError, match="a network that steps"):
        module.measured(READER, READER, print)


@pytest.mark.slow
def test_the_command_measures_and_says(tmp_path: Path) -> None:
    rnn.save(NET, tmp_path / "model.safetensors")
    asked = ["--streams", "5000", "--rate", "1000"]
    done = CliRunner().invoke(app, ["simulate", str(tmp_path / "model.safetensors"), *asked])
    assert done.exit_code == 0, done.output
    said = dict(line.split("  ", 1) for line in done.output.splitlines() if "  " in line)
    assert said["workers"].strip().startswith("1, of one core")
    assert "(49 bytes for each of 5,000 streams)" in said["state"]
    assert "events/s" in said["bundles of 2,000"]
    none = CliRunner().invoke(app, ["simulate", str(tmp_path / "none"), *asked])
    assert none.exit_code == 2
