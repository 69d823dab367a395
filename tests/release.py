"""A release, as its users get it: python -m tests.release [FOLDER].

Builds the sdist and, from it, the wheel; installs the wheel into a fresh environment and runs the
main job there, in an empty folder. The exit code is that of the first step that fails.
"""

import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> int:
    """Builds, installs and runs; prints how long each took."""
    dist = Path(sys.argv[1] if len(sys.argv) > 1 else REPOSITORY / "dist").resolve()
    with tempfile.TemporaryDirectory(prefix="beam-rnn-") as folder:
        fresh = Path(folder, "venv")
        empty = Path(folder, "empty")
        empty.mkdir()
        step("sdist and wheel", sys.executable, "-m", "build", "--outdir", dist, REPOSITORY)
        wheel = max(dist.glob("*.whl"), key=lambda path: path.stat().st_mtime)
        print(f"    {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB")
        venv.create(fresh, with_pip=True)
        step("a fresh environment", fresh / "bin/pip", "install", "--quiet", f"{wheel}[cli]")
        command = [fresh / "bin/beam-rnn", "tag-names", "--no-view", "--speed=0"]
        step("the main job in it", *command, where=empty)
        for name in ("words", "failed.jsonl", "index.html"):
            assert (empty / "out" / name).exists(), name
    return 0


def step(what: str, *command: object, where: Path | None = None) -> None:
    """Runs a command, and says how long it took; where it fails, ends with what it printed."""
    start = time.monotonic()
    done = subprocess.run(
        list(map(str, command)),
        cwd=where,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(f"==> {what} ... {time.monotonic() - start:.0f} s", flush=True)
    if done.returncode:
        print(done.stdout)
        sys.exit(done.returncode)


if __name__ == "__main__":
    sys.exit(main())
