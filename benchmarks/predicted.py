"""What `beam-rnn simulate` says of a run, against the run: python -m benchmarks.predicted.

Both in seconds of the processor, so that other work on the machine does not count. The settings are
none of those that the costs are measured with.
"""

import sys
import time

import beam_rnn as rnn
from beam_rnn.simulation import Job, measured_apart, throughput
from benchmarks import words
from benchmarks.plain import model
from benchmarks.streams import rate
from tests.runners import harness

SETTINGS = [  # H, streams, skew, events of a bundle
    (64, 1000, 0.0, 2000),
    (64, 1000, 1.1, 2000),
    (64, 10_000, 0.0, 5000),
    (64, 10_000, 1.0, 5000),
    (64, 300, 0.5, 600),
    (64, 20_000, 0.0, 20_000),
    (256, 1000, 0.0, 2000),
    (256, 10_000, 1.0, 5000),
    (256, 10, 0.0, 1000),
]
BUNDLES = 12


def main() -> int:
    """Prints a line for each setting; the exit code tells whether all are within 25 %."""
    words.clock = time.process_time
    costs = {}
    worst = 0.0
    print("H    streams  skew  bundle  predicted  measured  ratio")
    for H, streams, skew, bundle in SETTINGS:
        if H not in costs:
            costs[H] = measured_apart(model(H), lambda what: None)
        said = throughput(costs[H], Job(streams, 1, skew), bundle)
        count = BUNDLES * bundle
        words.use(count, streams, skew)
        found = rate(
            harness.fn_api(), lambda H=H: rnn.Tag(model(H), order=rnn.arrival), count, bundle
        )
        ratio = said / found
        worst = max(worst, abs(ratio - 1))
        print(
            f"{H:<4} {streams:>7,}  {skew:>4}  {bundle:>6,}  {said:>9,.0f}  {found:>8,.0f}"
            f"  {ratio:>5.2f}",
            flush=True,
        )
    print(f"the largest difference is {worst:.0%}")
    return int(worst > 0.25)


if __name__ == "__main__":
    sys.exit(main())
