"""rnn.Tag on single events against the plain stateful DoFn on the same runner, and bytewax."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import apache_beam as beam

import beam_rnn as rnn
from benchmarks import words
from benchmarks.measure import Results, Row, against, alternate
from benchmarks.plain import PlainTag, bytewax_rate, model, network
from benchmarks.streams import rate, started
from tests.runners import harness
from tests.runners.services import ServiceError

FIGURE = "3 rnn.Tag, single events, 1,000 streams"


@dataclass(frozen=True)
class Case:
    """A runner and a setting; the plain way may be given fewer events, since it takes longer."""

    runner: str
    H: int
    ours: int
    plain: int
    target: float | None = None
    bundle: int | None = None
    skew: float | None = None
    net_of_source: bool = False

    @property
    def name(self) -> str:
        cut = f", unbounded, bundles of {self.bundle:,}" if self.bundle else ""
        if self.runner == "FnApiRunner" and not self.bundle:
            cut = ", one bundle"
        keys = f"zipf {self.skew}" if self.skew else "round robin"
        return f"{self.runner}{cut}, H={self.H}, {keys}"


FULL = [
    Case("FnApiRunner", 64, 100_000, 100_000, 4, net_of_source=True),
    Case("FnApiRunner", 256, 100_000, 100_000, 5, net_of_source=True),
    Case("FnApiRunner", 64, 100_000, 100_000, 2.5, skew=1.1, net_of_source=True),
    Case("FnApiRunner", 64, 40_000, 4_000, 15, bundle=2000),
    Case("Prism", 64, 40_000, 20_000, 4),
    Case("FlinkStreaming", 64, 40_000, 4_000, 40),
    Case("FlinkStreaming", 256, 40_000, 4_000, 20),
    Case("FlinkBatch", 64, 100_000, 20_000, 5),
]
QUICK = [
    Case("FnApiRunner", 64, 100_000, 100_000, 4, net_of_source=True),
    Case("FnApiRunner", 64, 20_000, 4_000, 15, bundle=2000),
    Case("Prism", 64, 20_000, 8_000, 4),
]
TINY = [
    Case("FnApiRunner", 8, 60, 60, net_of_source=True, skew=1.1),
    Case("FnApiRunner", 8, 60, 30, bundle=20),
]
BYTEWAX = {64: 3.0, 256: 5.0}


def run(cases: list[Case], rounds: int, events_of_bytewax: int = 60_000) -> Results:
    """Measures the cases, and each network against bytewax."""
    results = Results()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in dict.fromkeys(case.runner for case in cases):
            mine = [case for case in cases if case.runner == name]
            try:
                with started(name, folder) as runner:
                    for turn, case in enumerate(mine):
                        warm = turn == 0 or runner.service is None
                        results.rows += _case(case, runner, rounds, warm)
            except ServiceError as error:
                for case in mine:
                    absent = f"the runner is absent: {str(error).splitlines()[0]}"
                    results.rows.append(Row(FIGURE, case.name, "events/s", note=absent))
        for H in sorted({case.H for case in cases}):
            results.rows.append(_bytewax(H, rounds, events_of_bytewax))
    return results


def _case(case: Case, runner: harness.Runner, rounds: int, warm: bool) -> list[Row]:
    path = model(case.H)
    words.use(max(case.ours, case.plain), skew=case.skew)
    # Where the order of arrival means nothing, events are stepped in that of their times.
    order = rnn.event_time if case.runner == "FlinkBatch" else rnn.arrival

    def ours() -> float:
        return rate(runner, lambda: rnn.Tag(path, order=order), case.ours, case.bundle)

    def plain() -> float:
        return rate(runner, lambda: beam.ParDo(PlainTag(path)), case.plain, case.bundle)

    def nothing() -> float:
        return rate(runner, lambda: beam.Map(_same), case.ours, case.bundle)

    ways: dict[str, Callable[[], float]] = {"Tag": ours, "plain": plain}
    if case.net_of_source:
        ways["nothing"] = nothing
    found = alternate(ways, rounds, warm=warm)
    row = Row(FIGURE, case.name, "events/s", peer="plain stateful DoFn", target=case.target)
    if case.plain != case.ours:
        row.note = f"{case.ours:,} events for us, {case.plain:,} for the peer"
    rows = [against(row, found["Tag"], found["plain"])]
    if case.net_of_source:
        tag, plain_, none = (found[way] for way in ways)
        left = [[1 / a - 1 / b for a, b in zip(way, none, strict=True)] for way in (tag, plain_)]
        if min(map(min, left)) > 0:
            net = [[1 / seconds for seconds in way] for way in left]
            row = Row(FIGURE, f"{case.name}, net of source and sink", "events/s")
            row.peer = "plain stateful DoFn"
            row.note = f"source and sink alone: {median(none):,.0f} events/s"
            rows.append(against(row, *net))
    return rows


def _bytewax(H: int, rounds: int, count: int) -> Row:
    """Tag on FnApiRunner in one bundle, as bytewax runs in one process with no recovery store."""
    path, runner = model(H), harness.fn_api()
    row = Row(FIGURE, f"FnApiRunner, one bundle, H={H}, round robin", "events/s", peer="bytewax")
    row.target = BYTEWAX.get(H)
    words.use(count)
    net = network(H)
    try:
        ways: dict[str, Callable[[], float]] = {
            "bytewax": lambda: bytewax_rate(net, count),
            "Tag": lambda: rate(runner, lambda: rnn.Tag(path, order=rnn.arrival), count),
        }
        found = alternate(ways, rounds)
    except ImportError as error:
        row.note = f"the peer is absent: {error}"
        return row
    return against(row, found["Tag"], found["bytewax"])


def _same(event: tuple[str, int]) -> tuple[str, int]:
    return event
