"""A few runs of each kind of fault; `python -m tests.faults` makes many."""

import random
from collections.abc import Iterator
from functools import partial

import pytest

from tests.faults import flink, in_process
from tests.faults.scenario import scenario
from tests.faults.tally import Tally, compared
from tests.runners.cluster import Cluster
from tests.runners.harness import Runner
from tests.runners.shapes import SHAPES


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, int]]:
    with flink.started(tmp_path_factory.mktemp("faults")) as started:
        yield started


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_bundle_that_fails_anywhere_is_done_again(seed: int) -> None:
    tally = in_process.rolled_back(seed)
    assert tally.faults
    assert tally.right, tally


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_bundle_whose_state_fails_is_done_again(seed: int) -> None:
    tally = in_process.retried(seed)
    assert tally.faults
    assert tally.right, tally
    assert not tally.duplicates


def _same(runner: in_process.RollingBack) -> in_process.RollingBack:
    return runner


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_sequences_of_bundles_that_are_done_again_are_the_same(name: str) -> None:
    """What is drawn, too: a draw is a function of its seed, stream and place.

    What a bundle had collected when it failed is there twice.
    """
    shape = SHAPES[name]()
    chance = random.Random(0)
    failed = 0
    while failed < 6:
        failing = in_process.RollingBack(chance)
        found = shape.found(Runner("FnApiRunner", partial(_same, failing)), seed=1)
        assert set(map(repr, found)) == set(map(repr, shape.wanted))
        failed += failing.faults


@pytest.mark.slow
@pytest.mark.parametrize("kind", flink.KINDS)
def test_a_job_on_flink_goes_on(kind: str, cluster: tuple[Cluster, int]) -> None:
    tally = flink.run(kind, list(flink.KINDS).index(kind), *cluster)
    assert tally.faults
    assert tally.right, tally


def test_what_is_wrong_lost_and_there_twice_is_counted() -> None:
    job = scenario(1)
    first, second, *others = sorted(job.answers)
    other = (*second[:3], second[3] + 1e-7, second[4])
    found = [first, first, other, *others]
    assert compared(job, found, faults=2) == Tally(1, 2, len(job.answers), 1, 1, 1)
    assert compared(job, job.answers, faults=0).right
