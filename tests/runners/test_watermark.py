"""The watermark waits for what is held back: no answer is late downstream."""

from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.transforms.window import FixedWindows

import beam_rnn as rnn
from tests.runners.harness import ALL, TIMERS, Runner
from tests.runners.histories import cut, interleaved, network, streams
from tests.runners.sources import replay


# BundleBasedDirectRunner holds no watermark.
@pytest.mark.parametrize("runner", [name for name in TIMERS if name in ALL[2:]], indirect=True)
def test_answers_to_events_that_waited_are_in_time(runner: Runner) -> None:
    """Answers go into windows of 10 s, though their events wait for the watermark 60 s longer."""
    events = interleaved(streams(20, 12, seed=31), seed=31)

    def build(p: beam.Pipeline) -> Any:
        return (
            p
            | replay(cut(events, 31))
            | beam.Map(lambda event: event).with_output_types(tuple[str, np.ndarray])
            | rnn.Tag(network(lookahead=0), order=rnn.by_event_time(60), shards=2)
            | beam.WindowInto(FixedWindows(10))
            | beam.Map(lambda answer: (answer[0], answer[1].step)).with_output_types(
                tuple[str, int]
            )
            | beam.GroupByKey()
            | beam.FlatMap(lambda group: [(group[0], step) for step in group[1]])
        )

    collected = runner.collect(build, streaming=True, max_bundle_size=20)
    expected = [
        (key, step + 1) for key, x in streams(20, 12, seed=31).items() for step in range(len(x))
    ]
    assert sorted(collected) == sorted(expected)
