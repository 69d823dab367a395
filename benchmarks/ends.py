"""A million short sequences that end: what remains of them, and the memory they took.

python -m benchmarks.ends --sequences 1000000
"""

import argparse
import resource

import apache_beam as beam

import beam_rnn as rnn
from benchmarks import short
from benchmarks.many import state_bytes
from benchmarks.plain import network
from tests.runners import harness
from tests.runners.sources import replay


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=1_000_000)
    parser.add_argument("--bundle", type=int, default=5000)
    args = parser.parse_args()
    count = args.sequences
    last = count + short.LENGTH * short.GAP
    parts = [(i, min(i + args.bundle, last), count) for i in range(0, last, args.bundle)]

    def build(p: beam.Pipeline) -> None:
        events = (
            p
            | replay([[("", part, 0.0)] for part in parts])
            | beam.Values()
            | beam.FlatMap(short.events).with_output_types(tuple[str, tuple[int, bool]])
        )
        net = network(64)
        answers = events | rnn.Classify(net, x=short.word, end=short.ends)
        _ = answers | beam.ParDo(short.Watch(len(parts)))

    result = harness.fn_api().run(build)
    print("\n".join(short.seen))
    found = result.metrics().query()["distributions"]
    sizes = next(m for m in found if m.key.metric.name == "state_bytes_per_shard").committed
    print(
        f"{count} sequences, {short.answers} answers; state at the end: {state_bytes()} bytes; "
        f"largest shard {sizes.max} bytes; peak memory "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB"
    )


if __name__ == "__main__":
    main()
