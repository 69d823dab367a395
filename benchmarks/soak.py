"""Ten million numbered events of a million streams, with duplicates and disorder: what remains?

    python -m benchmarks.soak --streams 1000000

Each stream has ten events. A tenth of the streams end, the others expire. An event comes up to two
events of its stream later than its turn, every tenth comes twice. Sampled streams are compared
with `unroll`, to the bit; memory and state are told over time, and the state must be empty at the
end. On BundleBasedDirectRunner: it is in this process, so that its state can be looked at, and its
timers wait for the watermark.
"""

import argparse
import gc
import struct
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.runners.direct.evaluation_context import EvaluationContext
from apache_beam.transforms.window import TimestampedValue
from numpy.typing import NDArray

import beam_rnn as rnn
from benchmarks import words
from benchmarks.many import status
from benchmarks.plain import network
from tests.runners import harness
from tests.runners.sources import replay

Ints = NDArray[np.int64]

SECONDS = 0.01  # of event time from place to place: 1,000 events/s
LENGTH = 10  # events of a stream
GAP = 5_000  # places between two events of a stream; at each place a stream begins
DELAYS = np.array([0, 1, 40, 2_600, 6_001, 11_003])  # places that an event comes later
SECOND = 4_000  # places after which a duplicate comes
EVERY = 1_000  # streams of which one is compared
LAST = int((LENGTH - 1) * GAP + DELAYS.max() + SECOND)  # places after a stream's begin

EVENT = struct.Struct("<qq?")  # number, word, whether it is the last

arrived = 0
answers = 0
sampled: dict[str, list[tuple[int, Any, float]]] = defaultdict(list)
_began = time.monotonic()


def _chance(stream: Ints, number: int) -> Ints:
    """A number that looks like chance, for each stream."""
    mixed = (stream * LENGTH + number).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(33)).astype(np.int64)


def arriving(part: tuple[int, int, int]) -> Iterator[TimestampedValue]:
    """What comes at the places of a part, (start, stop, streams): (stream, event)."""
    global arrived
    start, stop, streams = part
    found: list[tuple[Ints, Ints, int]] = []
    for number in range(LENGTH):
        for which, delay in enumerate(DELAYS.tolist()):
            for again in (False, True):
                place = np.arange(start, stop, dtype=np.int64)
                stream = place - number * GAP - delay - again * SECOND
                chance = _chance(stream, number)
                comes = (stream >= 0) & (stream < streams) & (chance % len(DELAYS) == which)
                if again:
                    comes &= chance // len(DELAYS) % 10 == 0
                found.append((place[comes], stream[comes], number))
    place = np.concatenate([places for places, _, _ in found])
    stream = np.concatenate([names for _, names, _ in found])
    number = np.concatenate([np.full(len(names), n) for _, names, n in found])
    for i in np.argsort(place, kind="stable").tolist():
        name = int(stream[i])
        turn = int(number[i])
        value = EVENT.pack(turn, word_of(name, turn), turn == LENGTH - 1 and name % 10 == 0)
        arrived += 1
        yield TimestampedValue((f"stream {name}", value), float(place[i]) * SECONDS)


def word_of(stream: int, number: int) -> int:
    """The word that a stream says as its number-th."""
    return (stream * 7919 + number * 104_729) % words.VOCABULARY


def number(value: bytes) -> int:
    return int(EVENT.unpack(value)[0])


def word(value: bytes) -> int:
    return int(EVENT.unpack(value)[1])


def is_last(value: bytes) -> bool:
    return bool(EVENT.unpack(value)[2])


class Watch(beam.DoFn):
    """Counts answers, keeps those of sampled streams, and tells of memory and state."""

    def __init__(self, every: int) -> None:
        self.every = every

    def process(self, element: tuple[str, rnn.Tagged]) -> None:
        global answers
        stream, tagged = element
        answers += 1
        if int(stream[7:]) % EVERY == 0:
            sampled[stream].append((tagged.step, tagged.label, tagged.score))
        if answers % self.every == 0:
            print(told(), flush=True)


def told() -> str:
    """Where the run is."""
    return (
        f"{answers:>10,} answers, {time.monotonic() - _began:6.0f} s: {status('VmRSS') >> 20} MB "
        f"resident, {state_bytes() / 1e6:.1f} MB of state"
    )


def state_bytes() -> int:
    """Bytes in the state of the pipelines of this process."""
    return sum(
        len(data)
        for context in gc.get_objects()
        if isinstance(context, EvaluationContext)
        for keyed in context._transform_keyed_states.values()
        for state in keyed.values()
        for cells in state.state.values()
        for cell in cells.values()
        for data in (cell if isinstance(cell, list) else [cell])
        if isinstance(data, bytes)
    )


def wrong(net: rnn.Network) -> int:
    """How many answers of the sampled streams are not those of `unroll`."""
    count = 0
    for stream, found in sampled.items():
        said = np.array([word_of(int(stream[7:]), number) for number in range(LENGTH)])
        ys, _ = net.unroll(said)
        wanted = [(step, int(y.argmax()), float(y.max())) for step, y in enumerate(ys, 1)]
        count += sum(a != b for a, b in zip(sorted(found), wanted, strict=True))
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=1_000_000)
    parser.add_argument("--bundle", type=int, default=1500, help="places, each with ten events")
    parser.add_argument("--units", type=int, default=32)
    args = parser.parse_args()
    streams, last = args.streams, args.streams + LAST
    parts = [(i, min(i + args.bundle, last), streams) for i in range(0, last, args.bundle)]
    net = network(args.units)

    def build(p: beam.Pipeline) -> None:
        events = (
            p
            | replay([[("", part, part[0] * SECONDS)] for part in parts])
            | beam.Values()
            | beam.FlatMap(arriving).with_output_types(tuple[str, bytes])
        )
        tagged = events | rnn.Tag(
            net,
            x=word,
            end=is_last,
            order=rnn.by_sequence(number),
            expire_after=2 * LAST * SECONDS,
        )
        tagged | beam.ParDo(Watch(max(1, streams * LENGTH // 20)))

    harness.bundle_based().run(build, streaming=True)
    left, bad = state_bytes(), wrong(net)
    print(told())
    print(
        f"{arrived:,} events, {arrived - streams * LENGTH:,} of them duplicates, of {streams:,} "
        f"streams: {answers:,} answers; "
        f"{bad} of {len(sampled) * LENGTH:,} sampled answers wrong; "
        f"{left} bytes of state left; peak memory {status('VmHWM') >> 20} MB"
    )
    return int(answers != streams * LENGTH or left > 0 or bad > 0)


if __name__ == "__main__":
    # What the pipeline's functions note must be in a module that has a name, or they are copied.
    from benchmarks import soak

    raise SystemExit(soak.main())
