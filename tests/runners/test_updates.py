"""Model updates on every runner: a sequence is stepped by the models that the policy says."""

import dataclasses
from collections import defaultdict
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

import beam_rnn as rnn
from tests.runners.harness import UNBOUNDED, Runner
from tests.runners.histories import cut, interleaved, network, streams
from tests.runners.sources import Event, replay
from tests.runners.test_sequence import numbered

UPDATE = "update"


def models(folder: Path) -> list[rnn.Network]:
    """Two networks of one shape, saved as 0 and 1."""
    first = network(lookahead=0)
    head = first.layers[-1]
    second = dataclasses.replace(
        first, layers=[*first.layers[:-1], dataclasses.replace(head, W_y=-head.W_y)]
    )
    for number, net in enumerate((first, second)):
        rnn.save(net, str(folder / f"{number}.safetensors"))
    return [first, second]


def sequences_of(collected: list[Any]) -> dict[str, list[Any]]:
    found = defaultdict(list)
    for key, answer in collected:
        found[key].append(answer)
    return {key: sorted(answers, key=lambda answer: answer.step) for key, answers in found.items()}


def same(net: rnn.Network, x: np.ndarray, answers: list[Any]) -> bool:
    y, _ = net.unroll(x)
    scores = [float(row.max()) for row in y]
    return [answer.score for answer in answers] == scores


def test_bounded_input_is_stepped_by_the_last_model(runner: Runner, tmp_path: Path) -> None:
    nets = models(tmp_path)
    sequences = streams(20, 10, seed=21)
    collected = runner.collect(
        lambda p: (
            p
            | replay(cut(interleaved(sequences, 21), 21), bounded=True)
            | beam.Map(lambda event: event).with_output_types(tuple[str, np.ndarray])
            | rnn.Tag(
                rnn.ModelUpdates(
                    str(tmp_path / "0.safetensors"),
                    p | "Paths" >> beam.Create([str(tmp_path / "1.safetensors")]),
                ),
                lookahead=0,
                shards=3,
            )
        ),
    )
    found = sequences_of(collected)
    assert set(found) == set(sequences)
    assert all(same(nets[1], sequences[key], answers) for key, answers in found.items())


@pytest.mark.parametrize("runner", UNBOUNDED, indirect=True)
def test_streams_finish_with_the_model_that_they_began_with(runner: Runner, tmp_path: Path) -> None:
    """Whenever the runner brings the update; a broken one beside it is refused and told."""
    nets = models(tmp_path)
    sequences = streams(40, 10, seed=22)
    events = numbered(interleaved(sequences, 22))
    (tmp_path / "broken.safetensors").write_bytes(b"no model")
    third = len(events) // 3
    chunks: list[list[Event]] = [
        events[:third],
        [(UPDATE, str(tmp_path / "broken.safetensors"), events[third][2])],
        events[third : 2 * third],
        [(UPDATE, str(tmp_path / "1.safetensors"), events[2 * third][2])],
        events[2 * third :],
    ]

    def build(p: beam.Pipeline) -> Any:
        source = p | replay(chunks)
        paths = source | "Updates" >> beam.Filter(lambda event: event[0] == UPDATE) | beam.Values()
        tagged = (
            source
            | "Events" >> beam.Filter(lambda event: event[0] != UPDATE)
            | beam.Map(lambda event: event).with_output_types(
                tuple[str, beam.typehints.Tuple[int, np.ndarray, bool]]
            )
            | rnn.Tag(
                rnn.ModelUpdates(str(tmp_path / "0.safetensors"), paths, on_update="drain"),
                x=lambda value: value[1],
                order=rnn.by_sequence(lambda value: value[0]),
                shards=3,
            )
        )
        failed = tagged.failed | beam.Map(lambda event: ("failed", event))
        return (tagged | beam.Map(lambda answer: ("good", answer)), failed) | beam.Flatten()

    collected = runner.collect(build, streaming=True, max_bundle_size=50)
    found = sequences_of([element for kind, element in collected if kind == "good"])
    assert {key: len(answers) for key, answers in found.items()} == {
        key: len(x) for key, x in sequences.items()
    }
    for key, answers in found.items():
        assert any(same(net, sequences[key], answers) for net in nets), key
    for kind, event in collected:
        if kind == "failed":
            assert "broken.safetensors is refused: WeightsError" in event.reason
