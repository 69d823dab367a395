"""The oldest Beam that setup.py names: python -m tests.oldest.

Installs the package with that very version into a fresh environment, and runs the tests of the
transforms there, on Beam's embedded runners.
"""

import re
import sys
import tempfile
import venv
from pathlib import Path

from tests.release import REPOSITORY, step

TESTS = ("tests/transforms", "tests/test_external.py", "tests/runners/test_tag.py")
NEEDS = ("pytest", "pytest-xdist", "hypothesis")


def oldest() -> str:
    """The version."""
    found = re.search(r'"apache-beam>=([\d.]+),', (REPOSITORY / "setup.py").read_text("utf-8"))
    assert found
    return found[1] + ".0"


def main() -> int:
    """Installs and tests; the exit code is that of the first step that fails."""
    with tempfile.TemporaryDirectory(prefix="beam-rnn-") as folder:
        fresh = Path(folder, "venv")
        venv.create(fresh, with_pip=True)
        packages = [f"apache-beam=={oldest()}", f"{REPOSITORY}[cli,kafka,onnx,yaml]", *NEEDS]
        step(f"Beam {oldest()}", fresh / "bin/pip", "install", "--quiet", *packages)
        command = [fresh / "bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        here = ["-k", "not Prism and not Flink"]
        step("its tests", *command, *TESTS, *here, where=REPOSITORY)
    return 0


if __name__ == "__main__":
    sys.exit(main())
