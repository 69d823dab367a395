"""A small tagger with random weights: what it says is nonsense, but always the same nonsense."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import beam_rnn as rnn
from beam_rnn.features import Words
from pipelines import sources

VOCABULARY = ["", "<unk>", "the", "of", "in", "Anne", "Elliot", "Bath", "Kenya", ".", ","]
LABELS = ["O", *(f"{place}-{kind}" for kind in ("PER", "LOC", "ORG", "MISC") for place in "BI")]


@pytest.fixture(autouse=True)
def _sources_go_on() -> None:
    sources.start()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of the weights; the network looks two words ahead."""
    random = np.random.default_rng(20260105)

    def floats(*shape: int) -> Any:
        return random.normal(0, 0.5, shape).astype(np.float32)

    hidden, width = 16, 4 * 8 + 12
    columns = Words(VOCABULARY).columns
    branches: list[tuple[int, list[Any]]] = [
        (count, [rnn.Embedding(floats(ids, 8))]) for count, ids in columns[:4]
    ]
    letters, ids = columns[4]
    branches.append(
        (
            letters,
            [
                rnn.Embedding(floats(ids, 6)),
                rnn.Conv1d(floats(12, 3, 6), floats(12), "relu"),
                rnn.MaxPool(),
            ],
        )
    )
    bias = floats(len(LABELS))
    bias[0] += 2  # most words are no names
    network = rnn.Network(
        [
            rnn.Columns(branches),
            rnn.LSTM(floats(4 * hidden, width), floats(4 * hidden, hidden), floats(4 * hidden)),
            rnn.Dense(floats(len(LABELS), hidden), bias, "softmax"),
        ],
        labels=LABELS,
        vocabulary=VOCABULARY,
        lookahead=2,
    )
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    rnn.save(network, path)
    return str(path)


@pytest.fixture(scope="session")
def sample() -> list[dict[str, Any]]:
    """The first events of the committed sample, as they stand in the file."""
    path = Path(__file__).parents[2] / "pipelines" / "sample" / "texts.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()[:1_500]]
