"""Every figure against its peer, in one run: python -m benchmarks [--quick] [--only PART ...].

Each part runs in a process of its own, with one thread for BLAS. Rates are from the first event
to the last answer, measured inside the process: start-up is not in them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PARTS = [
    "step", "runners", "columnar", "streams", "curves", "prism", "latency", "packing", "speech",
    "decoding",
]  # fmt: skip
TARGETS = {
    "step against onnxruntime": 1.3,
    "step against naive": 2.5,
    "LSTM share of the bare": 0.88,
    "alone, H = 32": 0.3,
    "alone, H = 64": 0.3,
    "alone, H = 128": 0.8,
    "alone, H = 256": 0.8,
    "alone, H = 512": 0.8,
    "64 sequences": 1.1,
}


def part(name: str, size: str) -> Any:
    """Runs one part in this process."""
    from benchmarks import columnar, curves, decoding, latency, many, packing, runners, speech

    quick, tiny = size == "quick", size == "tiny"
    rounds = {"full": 5, "quick": 3, "tiny": 1}[size]
    calls: dict[str, Callable[[], Any]] = {
        "runners": lambda: runners.run(
            runners.TINY if tiny else runners.QUICK if quick else runners.FULL,
            rounds,
            600 if tiny else 30_000 if quick else 60_000,
        ),
        "columnar": lambda: columnar.run(
            rounds,
            (8,) if tiny else (64,) if quick else (64, 256),
            600 if tiny else 60_000 if quick else 200_000,
        ),
        "streams": lambda: (
            many.run([10, 30], 1, 60, 30)
            if tiny
            else many.run([1000, 10_000, 100_000], 3, 60_000)
            if quick
            else many.run([1000, 10_000, 100_000, 1_000_000], 5)
        ),
        "curves": lambda: curves.run(rounds, quick=quick, tiny=tiny),
        "prism": lambda: curves.prism(1, (1000,), (32,)) if quick or tiny else curves.prism(3),
        "latency": lambda: (
            latency.run(rounds, 0.5, ("FnApiRunner",), H=8)
            if tiny
            else latency.run(rounds, 2 if quick else 5)
        ),
        "packing": lambda: packing.run(rounds, 3 if tiny else 300),
        "speech": lambda: speech.run(rounds, *((5, 2, 1) if tiny else ())),
        "decoding": lambda: decoding.run(rounds, 20 if tiny else 1000, 2 if tiny else 50),
    }
    return calls[name]()


def step(size: str, folder: Path) -> Any:
    """The figures of the step, from benchmarks.step."""
    from benchmarks.measure import Results, Row

    written = folder / "step.json"
    command = [sys.executable, "-m", "benchmarks.step", "--json", str(written)]
    if size != "full":
        command += ["--quick", "--rounds", "3"]
    subprocess.run(command, check=True, stdout=sys.stderr)
    rows = []
    for what, ratio in json.loads(written.read_text())["figures"].items():
        target = next((goal for name, goal in TARGETS.items() if name in what), None)
        figure = "2 sequences" if "sequence" in what else "1 step"
        peer = next((p for p in ("onnxruntime", "naive NumPy") if p in what), "bare product")
        rows.append(Row(figure, what, "", peer=peer, ratio=ratio, target=target))
    rows.sort(key=lambda row: row.figure)
    return Results(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="about 2 minutes, smaller")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--output", type=Path, default=Path("bench-out"))
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    size = "tiny" if args.tiny else "quick" if args.quick else "full"
    if args.part:
        with tempfile.TemporaryDirectory() as folder:
            run = step if args.part == "step" else None
            found = run(size, Path(folder)) if run else part(args.part, size)
        args.output.write_text(json.dumps(found.as_json()))
        return 0
    return _all(args.only, size, args.output)


def _all(names: list[str], size: str, output: Path) -> int:
    os.environ.update(dict.fromkeys(THREADS, "1"))  # here too: what NumPy says of its BLAS
    from benchmarks import report
    from benchmarks.measure import Results, Row

    about = report.machine()
    results = Results()
    failed = 0
    for name in names:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "part.json"
            command = [sys.executable, "-m", "benchmarks", "--part", name, "--output", str(written)]
            if size != "full":
                command.append(f"--{size}")
            code = subprocess.run(command, check=False).returncode
            if code == 0 and written.exists():
                found = Results.of_json(json.loads(written.read_text()))
                results.rows += found.rows
                results.curves += found.curves
            else:
                failed += 1
                note = f"failed with code {code}"
                results.rows.append(Row("not measured", name, "", note=note))
        about[f"seconds of {name}"] = round(time.monotonic() - start)
        print(f"==> {name}: {about[f'seconds of {name}']} s", file=sys.stderr)
    print(report.write(results, about, output))
    print(f"written to {output}/", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
