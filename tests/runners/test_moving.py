"""State that moves to another number of shards: the answers are those of the undivided run."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

import beam_rnn as rnn
from beam_rnn.transforms.moving import reshard
from tests.runners.harness import Runner
from tests.runners.histories import cut, expected, interleaved, network, streams
from tests.runners.sources import Event, replay

LOOKAHEAD = 2
SEQUENCES = streams(60, 16, seed=31)
Numbered = tuple[int, np.ndarray, bool]


def arriving(seed: int) -> list[Event]:
    """Numbered events, some a few places late, so that the cut leaves events behind gaps."""
    at: dict[str, int] = defaultdict(int)
    events = []
    draw = np.random.default_rng(seed)
    for key, x, time in interleaved(SEQUENCES, seed):
        last = at[key] == len(SEQUENCES[key]) - 1
        events.append((time + draw.integers(0, 80), (key, (at[key], x, last), time)))
        at[key] += 1
    return [event for _, event in sorted(events, key=lambda pair: pair[0])]


def number(value: Numbered) -> int:
    return value[0]


def x(value: Numbered) -> np.ndarray:
    return value[1]


def last(value: Numbered) -> bool:
    return value[2]


def run(runner: Runner, events: list[Event], folder: Path | None, **options: Any) -> Any:
    """The answers, by stream: (label, score, step); writes the state into ``folder``."""

    def build(p: beam.Pipeline) -> Any:
        tagged = (
            p
            | replay(cut(events, 5), bounded=not runner.timers)
            | beam.Map(lambda event: event).with_output_types(
                tuple[str, beam.typehints.Tuple[int, np.ndarray, bool]]
            )
            | rnn.Tag(
                network(lookahead=LOOKAHEAD),
                x=x,
                end=last,
                order=rnn.by_sequence(number),
                export=folder is not None,
                **options,
            )
        )
        if folder is not None:
            _ = tagged.state | rnn.WriteState(str(folder))
        failed = tagged.failed | beam.Map(lambda event: ("failed", event))
        return (tagged, failed) | beam.Flatten()

    found = defaultdict(list)
    for key, answer in runner.collect(build, streaming=runner.timers, max_bundle_size=50):
        found[key].append((answer.label, answer.score, answer.step))
    return found


@pytest.mark.parametrize("runner", ["FnApiRunner", "Prism", "FlinkStreaming"], indirect=True)
def test_seven_shards_become_32(runner: Runner, tmp_path: Path) -> None:
    events = arriving(31)
    half = len(events) // 2
    (tmp_path / "of 7").mkdir()
    before = run(runner, events[:half], tmp_path / "of 7", shards=7)
    assert len(list((tmp_path / "of 7").iterdir())) == 7
    reshard(str(tmp_path / "of 7"), str(tmp_path / "of 32"), 32)
    after = run(runner, events[half:], None, shards=32, restore=str(tmp_path / "of 32"))
    assert "failed" not in before.keys() | after.keys()
    wanted = expected(network(), interleaved(SEQUENCES, 31), lookahead=LOOKAHEAD)
    for key, answers in wanted.items():
        assert sorted(before[key] + after[key], key=lambda answer: answer[2]) == [
            answer[:3] for answer in answers
        ]
    assert before
    assert after
