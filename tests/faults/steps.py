"""Steps behind the one under test: one that fails, and a sink whose disk may be full."""

import pickle
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam

from tests.faults.scenario import Answer


class Failing(beam.DoFn):
    """Gives its elements, and raises a few times: at some element, or as the bundle ends.

    It is fused to the step under test, whose bundle fails with it: in the midst of its answers, or
    when it has written its state.

    Args:
        folder: where each failure is noted, so that it happens once, whatever is restarted.
        seed: where it fails.
        times: how often.
    """

    def __init__(self, folder: Path, seed: int, times: int) -> None:
        self._folder = folder
        self._seed = seed
        self._times = times

    def setup(self) -> None:
        self._chance = random.Random(self._seed + len(list(self._folder.iterdir())))
        self._left = self._chance.randrange(1, 100)

    def process(self, element: Any) -> Iterator[Any]:
        yield element
        self._left -= 1
        if self._left == 0:
            self._fail()

    def finish_bundle(self) -> None:
        if self._left > 0 and self._chance.random() < 0.1:
            self._fail()

    def _fail(self) -> None:
        failures = len(list(self._folder.iterdir()))
        if failures < self._times:
            (self._folder / str(failures)).touch()
            raise RuntimeError(f"failure {failures + 1} of {self._times}")


class Sink(beam.DoFn):
    """Writes the answers of each bundle into a file, which appears when it is whole.

    It is not transactional: a bundle that is done again is written again.

    Args:
        folder: where to write.
        failures: where it is noted that the disk was full.
    """

    def __init__(self, folder: Path, failures: Path) -> None:
        self._folder = folder
        self._failures = failures

    def start_bundle(self) -> None:
        self._held: list[Answer] = []

    def process(self, element: Answer) -> None:
        self._held.append(element)

    def finish_bundle(self) -> None:
        if not self._held:
            return
        part = self._folder / f"{uuid.uuid4().hex}.part"
        try:
            part.write_bytes(pickle.dumps(self._held))
        except OSError as error:
            part.unlink(missing_ok=True)
            (self._failures / f"{uuid.uuid4().hex}-{error.errno}").touch()
            raise
        part.replace(part.with_suffix(".answers"))


def written(folder: Path) -> list[Answer]:
    """All answers that the sink has written into `folder`."""
    return [
        answer for path in folder.glob("*.answers") for answer in pickle.loads(path.read_bytes())
    ]
