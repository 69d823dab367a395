"""What `beam-rnn simulate` says of a run, against the run: python -m benchmarks.predicted.

Both in seconds of the processor. Other work on the machine makes those up to twice as many, so
rounds alternate between costs and runs, and a run counts as the faster of two. What is measured is
a job that runs: its streams exist. The settings are none of those that the costs are measured with.
"""

import sys
import time
from statistics import median

import numpy as np
from numpy.typing import NDArray

import beam_rnn as rnn
from beam_rnn.simulation import Job, measured_apart, throughput
from beam_rnn.transforms.costs import random_inputs
from benchmarks import plain, words
from benchmarks.streams import rate_once_created
from tests.runners import harness

Setting = tuple[str, int, float, int]
SETTINGS: list[Setting] = [  # model, streams, skew, events of a bundle
    ("LSTM 64", 1000, 0.0, 2000),
    ("LSTM 64", 1000, 1.1, 2000),
    ("LSTM 64", 10_000, 0.0, 5000),
    ("LSTM 64", 10_000, 1.0, 5000),
    ("LSTM 64", 300, 0.5, 600),
    ("LSTM 64", 20_000, 0.0, 20_000),
    ("LSTM 256", 1000, 0.0, 2000),
    ("LSTM 256", 10_000, 1.0, 5000),
    ("LSTM 256", 10, 0.0, 1000),
    ("GRU 128, vectors", 100, 0.0, 1000),
    ("GRU 128, vectors", 5000, 1.0, 200),
    ("GRU 128, vectors", 5000, 0.5, 10_000),
    ("2 x LSTM 128", 2000, 0.8, 1000),
    ("2 x LSTM 128", 20_000, 0.0, 3000),
]
ROUNDS = 6
RUNS = 2
BUNDLES = 12  # of a run, and at least so many events
EVENTS = 10_000


def models() -> dict[str, str]:
    """Their paths."""
    one, head = plain.network(128).layers[:2], plain.network(128).layers[2]
    return {
        "LSTM 64": plain.model(64),
        "LSTM 256": plain.model(256),
        "GRU 128, vectors": plain.saved(rnn.Network([gru(128, 78)]), "gru128"),
        "2 x LSTM 128": plain.saved(rnn.Network([*one, lstm(128, 128), head]), "lstm128x2"),
    }


def gru(H: int, D: int) -> rnn.GRU:
    return rnn.GRU(*_drawn((3 * H, D), (3 * H, H), (3 * H,), (H,)))


def lstm(H: int, D: int) -> rnn.LSTM:
    return rnn.LSTM(*_drawn((4 * H, D), (4 * H, H), (4 * H,)))


def _drawn(*shapes: tuple[int, ...]) -> list[NDArray[np.float64]]:
    draw = np.random.default_rng(0)
    return [draw.normal(0, 0.1, shape) for shape in shapes]


def measured(path: str, streams: int, skew: float, bundle: int) -> float:
    """Events per second of a run."""
    made = random_inputs(rnn.load(path), words.VOCABULARY)
    return max(
        rate_once_created(
            harness.fn_api(),
            lambda: rnn.Tag(path, order=rnn.arrival),
            streams,
            max(BUNDLES, -(-EVENTS // bundle)) * bundle,
            bundle,
            skew,
            list(made) if made.ndim > 1 else made.tolist(),
        )
        for _ in range(RUNS)
    )


def main() -> int:
    """Prints a line for each setting; the exit code tells whether all are within 25 %."""
    words.clock = time.process_time
    rounds: dict[Setting, list[tuple[float, float]]] = {setting: [] for setting in SETTINGS}
    for _ in range(ROUNDS):
        for name, path in models().items():
            costs = measured_apart(path, lambda what: None)
            for setting in SETTINGS:
                model, streams, skew, bundle = setting
                if model == name:
                    said = throughput(costs, Job(streams, 1, skew), bundle)
                    rounds[setting].append((said, measured(path, streams, skew, bundle)))
    worst = 0.0
    print("model             streams  skew  bundle  predicted  measured  ratio  range")
    for (name, streams, skew, bundle), pairs in rounds.items():
        said, found = (median(side) for side in zip(*pairs, strict=True))
        ratios = sorted(a / b for a, b in pairs)
        worst = max(worst, abs(median(ratios) - 1))
        print(
            f"{name:<16}  {streams:>7,}  {skew:>4}  {bundle:>6,}  {said:>9,.0f}  {found:>8,.0f}"
            f"  {median(ratios):>5.2f}  {ratios[0]:.2f} to {ratios[-1]:.2f}"
        )
    print(f"the largest difference is {worst:.0%}")
    return int(worst > 0.25)


if __name__ == "__main__":
    sys.exit(main())
