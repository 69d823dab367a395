"""State of one number of shards becomes that of another: any history goes on as if undivided."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_rnn.errors import StateError
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.moving import resharded
from beam_rnn.streams.order import Numbers
from beam_rnn.streams.pack import shard_of
from beam_rnn.streams.shard import Shard
from tests.streams.reference import Event, reference
from tests.streams.steppers import labelling
from tests.streams.test_sequence import NumberedJob, histories
from tests.streams.test_stepper import CODEC, HISTORIES, NET, Job, in_time


def moved(job: Job, shards: int) -> Job:
    """The job with its state in other shards, as blocks that were taken out and put back."""
    blocks = []
    for number in range(job.shards):
        stepper = labelling(NET, job.shards, CODEC, **job.options)
        shard = Shard(number)
        stepper.load(shard, job.logs[number])
        blocks.append(stepper.take_out(shard))
        assert stepper.write(shard) == (bool(job.logs[number]), [])
    new = type(job)(shards, **job.options)
    for number, data in enumerate(resharded(blocks, shards)):
        stepper = labelling(NET, shards, CODEC, **job.options)
        shard = Shard(number)
        stepper.restore(shard, data)
        assert all(shard_of(stream, shards) == number for stream in shard.rows)
        clear, new.logs[number] = stepper.write(shard, anew=True)
        assert clear
        assert len(new.logs[number]) == 1  # also of no stream: it says that there was state
    for name in ("answers", "failed", "late", "duplicates", "gaps"):
        if hasattr(job, name):
            setattr(new, name, getattr(job, name))
    return new


@given(
    history=HISTORIES,
    cut=st.integers(0, 60),
    shards=st.tuples(st.sampled_from([1, 3, 7]), st.sampled_from([1, 2, 32])),
    emit=st.sampled_from(["each", "final", "change"]),
    lookahead=st.integers(0, 2),
    expire_after=st.sampled_from([None, 30]),
)
def test_any_history_goes_on(
    history: list[Event],
    cut: int,
    shards: tuple[int, int],
    emit: str,
    lookahead: int,
    expire_after: int | None,
) -> None:
    events = in_time(history)
    options: dict[str, Any] = {"lookahead": lookahead, "expire_after": expire_after}
    job = Job(shards[0], emit=Emit.of(emit), **options)
    job.bundle([events[:cut]])
    job = moved(job, shards[1])
    job.bundle([events[cut:]])
    assert job.answers == reference(NET, events, emit=emit, **options)


@given(history=histories(), cut=st.integers(0, 40), shards=st.sampled_from([1, 2, 5]))
def test_events_behind_gaps_move_too(history: list[Event], cut: int, shards: int) -> None:
    options: dict[str, Any] = {
        "emit": Emit.of("each"),
        "numbers": Numbers(int, 0, None, "wait", 100),
    }
    undivided = NumberedJob(3, **options)
    undivided.bundle([history[:cut]])
    undivided.bundle([history[cut:]])
    job = NumberedJob(3, **options)
    job.bundle([history[:cut]])
    job = moved(job, shards)
    job.bundle([history[cut:]])
    assert job.answers == undivided.answers
    assert job.duplicates == undivided.duplicates
    for each in (undivided, job):
        each.close()
    assert (job.answers, job.failed, job.gaps) == (
        undivided.answers, undivided.failed, undivided.gaps,
    )  # fmt: skip


def test_a_shard_whose_streams_have_ended_is_not_restored_again() -> None:
    """Its log has a block for ever, which says that there was state."""
    stepper = labelling(NET, 1, CODEC, emit=Emit.of("each"))
    job = Job(1, emit=Emit.of("each"))
    job.bundle([[Event("a", 0, 1, False)]])
    job = moved(job, 1)
    for _ in range(50):
        job.bundle([[Event("a", 1, 1, True)]])
        shard = Shard(0)
        stepper.load(shard, job.logs[0])
        assert not shard.rows
        assert job.logs[0]
    assert sum(map(len, job.logs[0])) < 10_000


def test_state_of_different_jobs_is_refused() -> None:
    one, other = (
        labelling(NET, shards, CODEC, emit=Emit.of("each")).take_out(Shard(0)) for shards in (1, 2)
    )
    with pytest.raises(StateError, match="state of different jobs"):
        resharded([one, other], 3)
    with pytest.raises(StateError, match="no state of any shard"):
        resharded([], 3)
    with pytest.raises(StateError, match="no state of beam_rnn"):
        resharded([b"no state"], 3)
    assert len(resharded([one], 3)) == 3
