"""Runs jobs that faults meet, and counts: python -m tests.faults --kind KIND --runs N.

A run that gives a wrong answer or loses one is told with its seed; the exit code is then 1. The
same kind and seed make the same job; the moment of a fault on Flink is as random as time is.
"""

import argparse
import contextlib
import functools
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults import flink, in_process
from tests.faults.tally import Tally

IN_PROCESS: dict[str, Callable[[int], Tally]] = {
    "rollback": in_process.rolled_back,
    "retry": in_process.retried,
}
KINDS = [*IN_PROCESS, *flink.KINDS]


def main() -> int:
    """Runs what the arguments say; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=KINDS, metavar="KIND")
    parser.add_argument("--runs", type=int, default=10, help="of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)  # each fault would be told at length
    print("| kind | runs | faults | answers | wrong | lost | duplicates | seconds |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    right = True
    with contextlib.ExitStack() as stack:
        runs = dict(IN_PROCESS)
        if set(args.kind) & set(flink.KINDS):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="beam-rnn-")))
            cluster, port = stack.enter_context(flink.started(folder))
            for kind in flink.KINDS:
                runs[kind] = functools.partial(flink.run, kind, cluster=cluster, port=port)
        for kind in args.kind:
            right &= _runs(kind, runs[kind], range(args.seed, args.seed + args.runs))
    return 0 if right else 1


def _runs(kind: str, run: Callable[[int], Tally], seeds: range) -> bool:
    tally, start = Tally(), time.monotonic()
    for seed in seeds:
        found = run(seed)
        if not found.right:
            print(f"--kind {kind} --runs 1 --seed {seed}: {found}", file=sys.stderr, flush=True)
        tally.add(found)
    counts = [*vars(tally).values(), round(time.monotonic() - start)]
    print(f"| {kind} | " + " | ".join(f"{count:,}" for count in counts) + " |", flush=True)
    return tally.right


if __name__ == "__main__":
    sys.exit(main())
