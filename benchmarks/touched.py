"""A few streams of a million: what an event costs on Prism and Flink when most streams rest.

    python -m benchmarks.touched

All streams are made; then events come whose streams are drawn uniformly, and the cost of an event
is the time between bundles of answers. How many events a bundle has is up to the runner: the table
has what was seen.
"""

import argparse
import tempfile
from itertools import accumulate, pairwise
from pathlib import Path
from statistics import median

import beam_rnn as rnn
from benchmarks import words
from benchmarks.measure import alternate
from benchmarks.plain import model
from benchmarks.streams import run_parts, started
from tests.runners import harness

MADE = 20_000  # streams that are made at once
PACKS = 32  # one for each shard


def cost(runner: harness.Runner, streams: int, count: int, bundle: int) -> tuple[float, float]:
    """Microseconds per event, and the events in a bundle."""
    words.use(count, streams, skew=0)
    words.create_all_first()
    if runner.flink:  # its bundles have so many parts, then so many packs
        bundle = max(1, bundle // PACKS)
    cuts = [*range(0, streams, MADE), *range(streams, streams + count, bundle), streams + count]
    run_parts(
        runner,
        lambda: rnn.Tag(model(64), order=rnn.arrival),
        list(pairwise(cuts)),
        max_bundle_size=PACKS,
        max_bundle_time_mills=60_000,
    )
    bundles = sorted(zip(words.last, words.answers, strict=True))
    known = list(accumulate(answers for _, answers in bundles))
    start = next(i for i, answers in enumerate(known) if answers >= streams)
    later = bundles[start + 1 :]
    events = sum(answers for _, answers in later)
    return 1e6 * (later[-1][0] - bundles[start][0]) / events, events / len(later)


def costs(
    runner: harness.Runner, streams: list[int], count: int, bundle: int, rounds: int
) -> tuple[dict[int, list[float]], dict[int, float]]:
    """For each number of streams: microseconds per event, and events in a bundle."""
    sizes: dict[int, float] = {}

    def one(number: int) -> float:
        found, sizes[number] = cost(runner, number, count, bundle)
        return found

    ways = {str(number): lambda number=number: one(number) for number in streams}
    found = alternate(ways, rounds, warm=False)
    return {number: found[str(number)] for number in streams}, sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runners", nargs="+", default=["Prism", "FlinkStreaming"])
    parser.add_argument("--streams", nargs="+", type=int, default=[1000, 100_000, 1_000_000])
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--bundle", type=int, default=2000, help="events that the source gives")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print("| runner | streams | events in a bundle | µs per event | ratio |")
    print("|---|---:|---:|---:|---:|")
    for name in args.runners:
        with tempfile.TemporaryDirectory() as folder, started(name, Path(folder)) as runner:
            found, sizes = costs(runner, args.streams, args.events, args.bundle, args.rounds)
        for n in args.streams:
            rounds = zip(found[n], found[args.streams[0]], strict=True)
            ratio = median(mine / base for mine, base in rounds)
            print(f"| {name} | {n:,} | {sizes[n]:,.0f} | {median(found[n]):.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
