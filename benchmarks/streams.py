"""rnn.Tag against the plain stateful DoFn on one runner: events/s, alternating, in one run.

python -m benchmarks.streams --runner FnApiRunner --events 100000
python -m benchmarks.streams --runner FnApiRunner --bundle 2000 --events 40000
python -m benchmarks.streams --runner FlinkStreaming --events 20000
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apache_beam as beam

import beam_rnn as rnn
from benchmarks.plain import PlainTag, network
from benchmarks.words import Seen, events, first, last
from tests.runners import harness, services
from tests.runners.sources import replay


def measure(
    runner: harness.Runner, transform: Callable[[], Any], count: int, bundle: int | None
) -> float:
    """Events per second from the first event to the last answer."""
    first.clear()
    last.clear()

    def build(p: beam.Pipeline) -> Any:
        if bundle:
            parts = [(i, min(i + bundle, count)) for i in range(0, count, bundle)]
            chunks = [[("", numbers, 0.0)] for numbers in parts]
            read = p | replay(chunks) | beam.Values()
        else:
            parts = [(i, min(i + 1000, count)) for i in range(0, count, 1000)]
            read = p | beam.Create(parts)
        read = read | beam.FlatMap(events).with_output_types(tuple[str, int])
        return read | "Step" >> transform() | beam.ParDo(Seen())

    runner.run(build, streaming=runner.name == "FlinkStreaming")
    return count / (max(last) - min(first))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runner", default="FnApiRunner", choices=harness.ALL)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--bundle", type=int, help="unbounded, in bundles of this many events")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _runner(args.runner, Path(folder)) as runner:
        net = network(args.hidden)
        model = str(Path(folder) / "model.safetensors")
        rnn.save(net, model)
        ways: dict[str, Callable[[], Any]] = {
            "plain": lambda: beam.ParDo(PlainTag(model)),
            "Tag": lambda: rnn.Tag(model, order=rnn.arrival),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(args.rounds + 1):
            for way, transform in ways.items():
                rate = measure(runner, transform, args.events, args.bundle)
                if turn:  # the first is to warm up
                    rates[way].append(rate)
    result = {way: statistics.median(found) for way, found in rates.items()}
    result["ratio"] = result["Tag"] / result["plain"]
    print(
        args.runner,
        f"bundle={args.bundle} H={args.hidden} events={args.events}",
        {key: round(value, 2) for key, value in result.items()},
    )
    if args.json:
        args.json.write_text(json.dumps({"arguments": vars(args) | {"json": None}, **result}))


@contextmanager
def _runner(name: str, folder: Path) -> Iterator[harness.Runner]:
    if name == "FnApiRunner":
        yield harness.fn_api()
    elif name == "BundleBasedDirectRunner":
        yield harness.bundle_based()
    elif name == "Prism":
        with services.prism(folder) as started:
            yield harness.portable(name, *started)
    else:
        streaming = {"streaming": True} if name == "FlinkStreaming" else {}
        with services.flink(folder) as started:
            yield harness.portable(name, *started, **streaming, **harness.FLINK)


if __name__ == "__main__":
    main()
