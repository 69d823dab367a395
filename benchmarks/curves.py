"""What an event costs against state width, bundle size, skew and the number of shards."""

import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

import beam_rnn as rnn
from benchmarks.many import Setting, take_turns
from benchmarks.measure import Curve, Results, Row, alternate
from benchmarks.plain import model
from benchmarks.streams import rate_once_created, started
from tests.runners.services import ServiceError

FIGURE = "shards and streams on Prism"
COST = "µs per event"


def run(turns: int, *, quick: bool = False, tiny: bool = False) -> Results:
    """Curves over FnApiRunner unbounded: all streams exist, keys are drawn uniformly."""
    base = Setting(1000, 20_000, 2000, turns=turns)
    widths, bundles, skews = [32, 64, 128, 256, 512], [100, 500, 2000, 10_000], [0, 0.8, 1.1, 1.5]
    shards = [1, 8, 32, 128, 512]
    loads = [(1000, 2000), (100_000, 2000), (100_000, 20_000)]
    if quick:
        widths, bundles, skews, shards = [64, 256], [500, 5000], [0, 1.1], [4, 32, 256]
        loads = [(1000, 2000)]
    if tiny:
        base = Setting(20, 40, 20, H=8, turns=1)
        widths, bundles, skews, shards, loads = [8], [20], [1.1], [2], []
    results = Results()

    def add(plot: str, line: str, x_name: str, settings: dict[float, Setting]) -> None:
        curve = Curve(plot, line, x_name, COST)
        rates, _ = take_turns(list(settings.values()))
        for x, found in zip(settings, rates, strict=True):
            curve.add(x, 1e6 / median(found))
        results.curves.append(curve)

    add("width", "1,000 streams, bundles of 2,000", "H", {H: replace(base, H=H) for H in widths})
    add(
        "bundle",
        "1,000 streams, H=64",
        "events per bundle",
        {n: replace(base, bundle=n, events=min(base.events, 40 * n)) for n in bundles},
    )
    add(
        "skew",
        "1,000 streams, bundles of 2,000, H=64",
        "exponent of the Zipf law",
        {s: replace(base, skew=float(s)) for s in skews},
    )
    for streams, bundle in loads:
        events = 2 * bundle if bundle > 10_000 else 5 * bundle
        setting = replace(base, streams=streams, bundle=bundle, events=events)
        line = f"{streams:,} streams, bundles of {bundle:,}"
        add("shards", line, "shards", {n: replace(setting, shards=n) for n in shards})
    return results


def prism(
    rounds: int,
    streams: tuple[int, ...] = (1000, 100_000),
    shards: tuple[int, ...] = (8, 32, 128),
    bundle: int = 20_000,
    bundles: int = 4,
) -> Results:
    """The same on Prism, over the number of shards."""
    results = Results()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            with started("Prism", folder) as runner:
                for number in streams:
                    line = f"Prism, {number:,} streams, bundles of {bundle:,}"
                    curve = Curve("shards", line, "shards", COST)
                    ways = {
                        str(n): lambda n=n, number=number: rate_once_created(
                            runner,
                            lambda: rnn.Tag(model(64), order=rnn.arrival, shards=n),
                            number,
                            bundle * bundles,
                            bundle,
                        )
                        for n in shards
                    }
                    for n, found in alternate(ways, rounds, warm=False).items():
                        curve.add(int(n), 1e6 / median(found))
                    results.curves.append(curve)
        except ServiceError as error:
            absent = f"the runner is absent: {str(error).splitlines()[0]}"
            results.rows.append(Row(FIGURE, "Prism", COST, note=absent))
    return results
