"""Results as JSON, as a Markdown table and as plots."""

import json
import math
import os
import platform
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.measure import Results, Row

_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")
_PACKAGES = ("apache-beam", "numpy", "pyarrow", "numba", "onnxruntime", "bytewax", "matplotlib")


def machine() -> dict[str, Any]:
    """What it ran on: CPU, its flags, BLAS, versions."""
    found: dict[str, Any] = {"python": platform.python_version(), "system": platform.system()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        lines = [line.partition(":") for line in cpu.read_text().splitlines()]
        fields = {name.strip(): value.strip() for name, _, value in lines}
        flags = set(fields.get("flags", fields.get("Features", "")).split())
        found["cpu"] = fields.get("model name", platform.machine())
        found["cpu flags"] = " ".join(flag for flag in _FLAGS if flag in flags)
    found["cores"] = os.cpu_count()
    found["load before"] = round(os.getloadavg()[0], 1)
    found["blas"] = "not known: threadpoolctl is absent"
    with suppress(ImportError):
        import numpy as np
        from threadpoolctl import threadpool_info

        np.ones((2, 2)) @ np.ones((2, 2))
        pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
        found["blas"] = ", ".join(
            f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}, "
            f"{pool['num_threads']} thread(s)"
            for pool in pools
        )
    return found


def table(results: Results, about: dict[str, Any]) -> str:
    """The Markdown of a run."""
    lines = [
        ", ".join(f"{name} {value}" for name, value in about.items()) + ".",
        "",
        "Medians of the rounds; the ratio is the median of the rounds' ratios, with their range; "
        "above 1 we are better.",
    ]
    figure = ""
    for row in results.rows:
        if row.figure != figure:
            figure = row.figure
            lines += ["", f"### {figure}", ""]
            lines += ["| | unit | ours | peer | its | ratio | range | target | |"]
            lines += ["|---|---|---:|---|---:|---:|---:|---:|---|"]
        lines.append("| " + " | ".join(_cells(row)) + " |")
    plots = dict.fromkeys(curve.plot for curve in results.curves)
    for plot in plots:
        mine = [curve for curve in results.curves if curve.plot == plot]
        xs = sorted({x for curve in mine for x in curve.x})
        lines += ["", f"### {mine[0].y_name} against {mine[0].x_name}", ""]
        lines += ["| | " + " | ".join(map(_tick, xs)) + " |"]
        lines += ["|---|" + "---:|" * len(xs)]
        for curve in mine:
            at = dict(zip(curve.x, curve.y, strict=True))
            cells = [number(at[x]) if x in at else "" for x in xs]
            lines.append(f"| {curve.line} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> Iterable[str]:
    reached = row.ratio if row.ratio is not None else None
    missed = reached is not None and row.target is not None and reached < row.target
    yield row.what
    yield row.unit
    yield number(row.ours)
    yield row.peer
    yield number(row.theirs)
    yield f"**{row.ratio:.2f}**" if row.ratio is not None else ""
    several = row.low is not None and row.high is not None and row.low != row.high
    yield f"{row.low:.2f} to {row.high:.2f}" if several else ""
    yield f"{row.target:.2g}" + (" missed" if missed else "") if row.target else ""
    yield row.note


def _tick(x: float) -> str:
    return f"{x:,.0f}" if x == int(x) else f"{x:g}"


def number(value: float | None) -> str:
    """Three digits, or all before the point."""
    if value is None:
        return ""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def write(results: Results, about: dict[str, Any], folder: Path) -> str:
    """Writes results.json, results.md and the plots; returns the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"machine": about, **results.as_json()}
    (folder / "results.json").write_text(json.dumps(found, indent=1))
    text = table(results, about)
    (folder / "results.md").write_text(text)
    try:
        plots(results, folder)
    except ImportError as error:
        print(f"no plots: {error}", file=sys.stderr)
    return text


def plots(results: Results, folder: Path) -> None:
    """Draws the curves, and the ratios of the table as bars.

    Raises:
      ImportError: matplotlib is absent.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator

    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    for plot in dict.fromkeys(curve.plot for curve in results.curves):
        figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
        mine = [curve for curve in results.curves if curve.plot == plot and curve.x]
        for curve in mine:
            axes.plot(curve.x, curve.y, "o-", markersize=3, linewidth=1, label=curve.line)
        if plot != "skew":
            axes.set_xscale("log", base=2 if plot in ("shards", "width") else 10)
            axes.set_xticks(xs := sorted({x for curve in mine for x in curve.x}))
            axes.set_xticklabels(map(_tick, xs))
            axes.minorticks_off()
        if plot in ("shards", "bundle"):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(lambda y, _: _tick(y))
        else:
            axes.set_ylim(bottom=0)
        axes.set(xlabel=mine[0].x_name, ylabel=mine[0].y_name)
        axes.legend(frameon=False)
        figure.savefig(folder / f"{plot}.png", dpi=110)
        plt.close(figure)
    rows = [row for row in results.rows if row.figure[0] in "34" and row.ratio and row.target]
    if not rows:
        return
    figure, axes = plt.subplots(figsize=(6, 0.4 + 0.3 * len(rows)), layout="constrained")
    places = list(range(len(rows)))[::-1]
    axes.barh(places, [row.ratio or 0 for row in rows], height=0.6, color="#4878a8")
    for place, row in zip(places, rows, strict=True):
        axes.text(
            max(row.ratio or 0, row.target or 0) * 1.08, place, f"{row.ratio:.1f}", va="center"
        )
        if row.target:
            axes.plot([row.target] * 2, [place - 0.4, place + 0.4], color="black", linewidth=1.5)
    axes.set_yticks(places, [f"{row.what}\nagainst {row.peer}" for row in rows], fontsize=6)
    axes.set_xscale("log")
    axes.axvline(1, color="grey", linewidth=0.5)
    axes.set_xlabel("times as fast; black: the aim")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    figure.savefig(folder / "ratios.png", dpi=110)
    plt.close(figure)


def load(path: Path) -> tuple[Results, dict[str, Any]]:
    """Reads results.json."""
    found = json.loads(path.read_text())
    return Results.of_json(found), found["machine"]
