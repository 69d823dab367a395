"""What all tests share: hypothesis profiles and the place of data that is not in the repo."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Pipelines take as long as they take; CI must not find a different example each time.
# BEAM_RNN_EXAMPLES=100000 looks at more histories than a test run has time for.
EXAMPLES = int(os.environ.get("BEAM_RNN_EXAMPLES", "100"))
settings.register_profile("default", deadline=None, max_examples=EXAMPLES)
settings.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, max_examples=EXAMPLES
)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# The tests' JVMs live for minutes, in which the second compiler costs more than it saves: a job on
# Flink takes half the processor's time without it. (Benchmarks, which are no tests, have it.)
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

# What users have by default, also where numba is installed: compiled steps have tests of their own.
os.environ.setdefault("BEAM_RNN_COMPILED", "0")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of data sets that may not be committed; skips the test where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no data sets beside the repository ({SHARED_DATA.parent.name}/data)")
    return SHARED_DATA
