"""What a machine has for beam_rnn: versions, BLAS, the layout of the kernels, runners."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from beam_rnn.nn.cells import LSTM
from beam_rnn.nn.kernels import Product
from beam_rnn.nn.stepping import COMPILED, Kernel, forbidden

PACKAGES = ("beam-rnn", "apache-beam", "numpy", "pyarrow", "safetensors")
EXTRAS = ("cli", "fast", "onnx", "keras", "torch", "audio", "kafka", "yaml")
WIDTHS = (32, 64, 128, 256, 512)
PRISM = Path("~/.apache_beam/cache/prism/bin").expanduser()  # where Beam keeps what it fetched


def examined() -> RenderableType:
    """Tables of what is here; nothing is started but ``java -version``."""
    return Group(
        _titled("machine", _machine()),
        _titled("packages", ((name, _version(name)) for name in PACKAGES)),
        _titled("extras", _extras()),
        _titled("layout of the matrix products of an LSTM", _layouts()),
        _titled("runners that can start here", _runners()),
    )


def _titled(title: str, facts: Iterator[tuple[str, str]]) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, fact in facts:
        table.add_row(name, Text(fact))
    return Group(Text(title, style="bold"), table, "")


def _machine() -> Iterator[tuple[str, str]]:
    yield "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield "processors", str(len(os.sched_getaffinity(0)) if _pinned() else os.cpu_count())
    config = np.show_config(mode="dicts")
    blas = config["Build Dependencies"]["blas"]
    yield "BLAS", f"{blas['name']} {blas['version']}"
    found = config["SIMD Extensions"].get("found", [])
    yield "NumPy's SIMD", ", ".join(config["SIMD Extensions"]["baseline"][-1:] + found[-1:])
    yield "compiled steps", _compiled()
    threads = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
    yield "BLAS threads", threads or "not set: OPENBLAS_NUM_THREADS=1 is best for workers"


def _compiled() -> str:
    """Whether steps are compiled, or why not."""
    cell = LSTM(*(np.zeros(shape, np.float32) for shape in ((4, 1), (4, 1), (4,))))
    if not isinstance(cell.kernel, Kernel):
        return "yes, the bits of NumPy's"
    if forbidden():
        return f"no: {COMPILED}=0 forbids them"
    if _version("numba") == "absent":
        return "no: the extra fast has them"
    return "no: not the bits of NumPy's here, or no folder where numba may keep them"


def _pinned() -> bool:
    return hasattr(os, "sched_getaffinity")  # not on macOS


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _extras() -> Iterator[tuple[str, str]]:
    needs = _needs()
    for extra in EXTRAS:
        own = [
            need.name for need in needs if need.marker and need.marker.evaluate({"extra": extra})
        ]
        versions = {package: _version(package) for package in own}
        said = ", ".join(f"{package} {version}" for package, version in versions.items())
        if "absent" in versions.values():
            said += f"  (pip install 'beam-rnn[{extra}]')"
        yield extra, said


def _needs() -> list[Requirement]:
    """What the installed package asks for; nothing where it is a folder on the path alone."""
    try:
        return [Requirement(need) for need in importlib.metadata.requires("beam-rnn") or ()]
    except importlib.metadata.PackageNotFoundError:
        return []


def _layouts() -> Iterator[tuple[str, str]]:
    """Which layout the self-test of the kernels took: see ``beam_rnn.nn.kernels``."""
    for H in WIDTHS:
        layout = Product(np.zeros((4 * H, 2 * H), np.float32)).layout
        yield f"H = {H}", f"{type(layout).__name__.strip('_').lower()}, tiles of {layout.rows} rows"


def _runners() -> Iterator[tuple[str, str]]:
    yield "FnApiRunner", "yes"
    yield "BundleBasedDirectRunner", "yes"
    prism = shutil.which("prism") or next((str(p) for p in PRISM.glob("*prism*")), None)
    yield "Prism", prism or "not found: --runner=PrismRunner fetches it where the network allows it"
    yield "Flink", _java()
    try:
        import apache_beam.io.gcp.gcsio  # noqa: F401

        yield "Dataflow", "its client is installed; gcloud must be signed in"
    except ImportError:
        yield "Dataflow", "its client is absent: pip install 'apache-beam[gcp]'"


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        return "no java on the PATH: install Java 11 or 17"
    said = subprocess.run(
        [java, "-version"], capture_output=True, text=True, check=False, timeout=60
    )
    # Options in the environment are told first.
    line = next((line for line in said.stderr.splitlines() if "version" in line), "")
    return f"{line}; --runner=FlinkRunner fetches the job server where the network allows it"
