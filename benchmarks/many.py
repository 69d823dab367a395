"""Many streams: a pipeline in a process of its own that measures when it is told to.

The pipelines for 1,000 to 1,000,000 streams wait in their processes, each with all its streams
in Beam state, and take turns: so they alternate although creating the streams takes long.
"""

import argparse
import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import apache_beam as beam

import beam_rnn as rnn
from benchmarks import words
from benchmarks.measure import Curve, Results, Row
from benchmarks.plain import model
from tests.runners import harness
from tests.runners.sources import replay

FIGURE = "5 many streams"


@dataclass(frozen=True)
class Setting:
    """A pipeline over streams that all exist, and the events of one turn."""

    streams: int
    events: int = 100_000
    bundle: int = 20_000
    H: int = 64
    shards: int | None = None
    turns: int = 5
    skew: float = 0.0


class Waiting:
    """The process of a setting."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        command = [sys.executable, "-m", "benchmarks.many", json.dumps(asdict(setting))]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.memory: dict[str, float] = {}
        self._waits()

    def rate(self) -> float:
        """Lets it take its turn: events per second."""
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        seconds, answers = self._waits()
        if answers != self.setting.events:
            raise RuntimeError(f"{answers} answers, expected {self.setting.events}")
        return answers / seconds

    def end(self) -> None:
        """Lets the pipeline end, and reads what it says of its memory."""
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.write("end\n")
            self._process.stdin.close()
        self._read("memory")
        self._process.wait()

    def _waits(self) -> tuple[float, int]:
        _, seconds, answers = self._read("turn").split()
        return float(seconds), int(answers)

    def _read(self, word: str) -> str:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("memory"):
                self.memory = json.loads(line.partition(" ")[2])
            if line.startswith(word):
                return line
        raise RuntimeError(f"{self.setting} ended with code {self._process.wait()}")


@contextmanager
def waiting(settings: list[Setting]) -> Iterator[list[Waiting]]:
    """The processes of settings, ready to take turns."""
    with ExitStack() as stack:
        started = []
        for setting in settings:
            process = Waiting(setting)
            stack.callback(process.end)
            started.append(process)
        yield started


def take_turns(settings: list[Setting]) -> tuple[list[list[float]], list[dict[str, float]]]:
    """Events per second of each setting's turns, and the memory of each process."""
    with waiting(settings) as processes:
        rates: list[list[float]] = [[] for _ in settings]
        for turn in range(min(setting.turns for setting in settings)):
            for place in range(len(settings))[:: 1 if turn % 2 == 0 else -1]:
                rates[place].append(processes[place].rate())
    return rates, [process.memory for process in processes]


def run(streams: list[int], turns: int, events: int = 100_000, bundle: int = 20_000) -> Results:
    """Cost per event and memory against the number of streams."""
    settings = [Setting(n, events, bundle, turns=turns) for n in streams]
    rates, memory = take_turns(settings)
    results = Results()
    cost = Curve("streams", "Tag, H=64, uniform keys", "streams", "µs per event")
    base = rates[0]
    for setting, mine, found in zip(settings, rates, memory, strict=True):
        times = [b / a for a, b in zip(mine, base, strict=True)]
        cost.add(setting.streams, 1e6 / median(mine))
        row = Row(FIGURE, f"cost per event, {setting.streams:,} streams", "µs per event")
        row.ours, row.theirs = 1e6 / median(mine), 1e6 / median(base)
        row.peer = f"{streams[0]:,} streams"
        row.ratio, row.low, row.high = 1 / median(times), 1 / max(times), 1 / min(times)
        row.target = 1 / 1.5
        results.rows.append(row)
        floats = 2 * setting.H
        for what, key in (("when all are new", "state_new"), ("after updates", "state")):
            per_stream = found[key] / setting.streams
            results.rows.append(
                Row(
                    FIGURE,
                    f"state, {setting.streams:,} streams, {what}",
                    "bytes per stream",
                    per_stream,
                    "4 x floats + 64",
                    4 * floats + 64,
                    (4 * floats + 64) / per_stream,
                    target=1,
                )
            )
        grown = (found["resident"] - found["resident_before"]) / setting.streams
        results.rows.append(
            Row(
                FIGURE,
                f"resident memory, {setting.streams:,} streams",
                "bytes per stream",
                grown,
                note=f"peak {found['peak'] / 2**20:,.0f} MB, of it "
                f"{found['resident_before'] / 2**20:,.0f} MB before the first event; runner, "
                "state and worker are one process",
            )
        )
    results.curves.append(cost)
    return results


def serve(setting: Setting) -> None:
    """Runs the pipeline; writes a line before each turn and at the end."""
    words.use(setting.turns * setting.events, setting.streams, skew=setting.skew)
    words.create_all_first()
    parts: list[tuple[int, int, bool]] = []
    start = 0
    bundle = max(setting.bundle, 5000)
    for number, count in enumerate([setting.streams] + [setting.events] * setting.turns):
        stop = start + count
        size = setting.bundle if number else bundle
        cuts = [(i, min(i + size, stop)) for i in range(start, stop, size)]
        parts += [(*cut, bool(number) and cut[0] == start) for cut in cuts]
        start = stop
    parts.append((start, start, True))
    found: dict[str, float] = {"resident_before": status("VmRSS")}

    def build(p: beam.Pipeline) -> Any:
        read = p | replay([[("", part, 0.0)] for part in parts]) | beam.Values()
        read = read | beam.FlatMap(noted).with_output_types(tuple[str, int])
        options: dict[str, Any] = {"shards": setting.shards} if setting.shards else {}
        tagged = read | rnn.Tag(model(setting.H), order=rnn.arrival, **options)
        return tagged | beam.ParDo(words.Seen())

    _found.append(found)
    harness.fn_api().run(build)
    found["state"], found["resident"] = state_bytes(), status("VmRSS")
    found["peak"] = status("VmHWM")
    print("memory", json.dumps(found), flush=True)


_found: list[dict[str, float]] = []


def noted(part: tuple[int, int, bool]) -> Iterator[tuple[str, int]]:
    """The events of a part; at the first gate, notes the size of the state."""
    if part[2] and "state_new" not in _found[0]:
        _found[0]["state_new"] = state_bytes()
    return words.gated(part)


def state_bytes() -> int:
    """Bytes that the local runner's state holds, of all cells of all pipelines in this process."""
    from apache_beam.runners.portability.fn_api_runner.worker_handlers import StateServicer

    return sum(
        len(data)
        for servicer in gc.get_objects()
        if isinstance(servicer, StateServicer)
        for cell in servicer._state.values()
        for data in cell
    )


def status(name: str) -> int:
    """A size that Linux tells of this process, in bytes; 0 elsewhere."""
    path = Path("/proc/self/status")
    if not path.exists():
        return 0
    for line in path.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("setting", help="a Setting as JSON")
    from benchmarks import many  # the runner's names of these functions, not __main__'s

    many.serve(many.Setting(**json.loads(parser.parse_args().setting)))
