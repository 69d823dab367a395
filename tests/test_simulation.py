"""beam-rnn simulate: what a bundle is made of, costs that are fitted, and the workers of a job."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import beam_rnn as rnn
from beam_rnn.cli import app
from beam_rnn.simulation import Job, simulated, throughput
from beam_rnn.streams.state import Block
from beam_rnn.transforms import costs as module
from beam_rnn.transforms import shards as module_of_shards
from beam_rnn.transforms.costs import Bundle, Costs, Logs, chosen, shares
from tests.nn.writers import READER
from tests.streams.reference import Event
from tests.transforms import test_shards
from tests.transforms.test_shards import State, Worker
from tests.transforms.test_streams import NET

NAMES = ("bundle", "event", "stream", "shard", "kept", "block", "row")


def costs(waves: float = 0.0, **each: float) -> Costs:
    """Costs of which all but a few are 0; waves of 1 and 10 rows take so many seconds, 4 times."""
    values = np.array([each.pop(name, 0.0) for name in NAMES])
    assert not each
    return Costs(np.array([1, 10]), waves * np.array([1.0, 4.0]), values, stream=133)


def test_a_bundle_is_stepped_in_waves() -> None:
    bundle = Bundle(np.array([3, 1, 1]), np.array([2, 1, 7, 9]))
    assert bundle.waves.tolist() == [3, 1, 1]
    assert bundle.amounts.tolist() == [1, 5, 3, 2, 1, 7, 9]
    assert costs(waves=1, event=10, row=100).of(bundle) == pytest.approx(950 + 1 + 1 + 5 / 3)


def test_a_wave_beyond_what_was_measured_is_in_proportion() -> None:
    np.testing.assert_allclose(costs(waves=1).wave(np.array([1, 4, 10, 20])), [1, 2, 4, 8])


@pytest.mark.parametrize("kept", [False, True])
def test_logs_are_those_of_shards(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a bundle reads, against the state of a job that does."""
    monkeypatch.setattr(test_shards, "SHARDS", 1)
    monkeypatch.setattr(module_of_shards, "_TAGGED_FROM", 4000 if kept else 1 << 30)
    monkeypatch.setattr(module_of_shards, "_UNTAGGED_BELOW", 1000)
    live = 60
    state, worker, draw = State(), Worker(), np.random.default_rng(0)
    logs = Logs(np.array([live]), 100)
    for number in range(100):
        size = int(draw.integers(1, 20)) if number > 1 else live
        streams = draw.permutation(live)[:size]
        found = logs.bundle(np.array([size]))[:, 0]
        blocks, reads = state.logs[0], state.log_reads
        rows = sum(len(Block.read(block)[1].streams) for block in blocks)
        expected = [1, 0, len(blocks), rows]
        worker.bundle(state, [Event(f"s{i}", 0, 1, False) for i in streams.tolist()], "")
        if state.log_reads == reads:
            expected = [0, 1, 0, 0]
        assert found.tolist() == expected
    assert (state.log_reads < 10) == kept


def test_streams_are_chosen_by_their_share() -> None:
    share = shares(4, 1.0)
    np.testing.assert_allclose(share * 25 / 12, [1, 1 / 2, 1 / 3, 1 / 4])
    found = np.bincount(chosen(share, 10_000, 0), minlength=4) / 10_000
    np.testing.assert_allclose(found, share, atol=0.02)
    np.testing.assert_allclose(shares(4, 0), 0.25)


def test_costs_are_those_of_the_bundles() -> None:
    """Exactly, where time is a sum; and none is negative, where another would fit better so."""
    draw = np.random.default_rng(0)
    amounts, known = draw.uniform(1, 100, (40, 7)), draw.uniform(1, 100, 40)
    true = np.array([5.0, 1.0, 0.0, 2.0, 0.5, 3.0, 1.0])
    took = amounts @ true + known
    np.testing.assert_allclose(module._fitted(amounts, took, known), true, atol=1e-9)
    found = module._fitted(amounts, took - 0.2 * amounts[:, 2], known)
    assert found[2] == 0
    assert (found >= 0).all()
    amounts[:, 4] = 0  # no bundle tells what it costs
    np.testing.assert_allclose(
        module._fitted(amounts, amounts @ true + known, known),
        true * [1, 1, 1, 1, 0, 1, 1],
        atol=1e-9,
    )


def test_bundles_that_other_work_slowed_down_are_left_out() -> None:
    draw = np.random.default_rng(1)
    amounts, known = draw.uniform(1, 100, (100, 7)), draw.uniform(1, 100, 100)
    true = np.arange(1.0, 8.0)
    disturbed = np.where(draw.random(100) < 0.25, draw.uniform(1.2, 2, 100), 1)
    found = module._fitted(amounts, (amounts @ true + known) * disturbed, known)
    np.testing.assert_allclose(found, true, rtol=1e-6)


def test_throughput_is_events_by_what_they_take() -> None:
    job = Job(streams=50, rate=1)
    assert throughput(costs(event=0.01), job, 200) == pytest.approx(100)
    assert throughput(costs(bundle=1, event=0.01), job, 100) == pytest.approx(50)
    assert throughput(costs(shard=1), Job(50, 1, shards=1), 100) == pytest.approx(100)


def test_what_is_read_of_a_shard_is_the_average_of_its_bundles() -> None:
    """A log of 20 streams is written anew after 104 rows, a block counted as 8: each third time."""
    job = Job(20, 1, shards=1)
    assert throughput(costs(block=1), job, 10_000) == pytest.approx(10_000 / 2, rel=0.01)
    assert throughput(costs(row=1), job, 10_000) == pytest.approx(10_000 / 40, rel=0.01)
    many = Job(10_000, 1, shards=1)  # a log so long that its rows are kept
    assert throughput(costs(shard=1, block=1, row=1, kept=2), many, 100) == pytest.approx(
        50, rel=0.02
    )


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
