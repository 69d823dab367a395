"""What a job counted while it ran, as series over time."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import beam_rnn as rnn
from pipelines import job

POINTS = 240
"""Samples that are kept; when there are more, every other one goes."""

EVERY = 0.25  # seconds between two samples at first


@dataclass
class Record:
    """Samples of counts that only grow: so that fewer of them tell the same, only coarser.

    Attributes:
      read: gives the counts so far; see ``rnn.counts``.
      clock: gives seconds.
    """

    read: Callable[[], Mapping[str, int]] = rnn.counts
    clock: Callable[[], float] = time.monotonic
    _samples: list[tuple[float, dict[str, int]]] = field(default_factory=list)
    _every: float = EVERY
    _before: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._before = dict(self.read())  # of earlier jobs in this process
        self._began = self.clock()
        self._samples.append((0.0, dict.fromkeys(self._before, 0)))

    def follow(self, read: Callable[[], Mapping[str, int]]) -> None:
        """Takes the counts from elsewhere, such as from a job that has just been started there."""
        with self._lock:
            self.read, self._before = read, {}

    def sample(self) -> None:
        """Looks at the counts now."""
        counts = self.read()
        with self._lock:
            now = {name: count - self._before.get(name, 0) for name, count in counts.items()}
            self._samples.append((self.clock() - self._began, now))
            if len(self._samples) > POINTS:
                del self._samples[1:-1:2]
                self._every *= 2

    @property
    def seconds(self) -> float:
        """How long it has been recording, at the last sample."""
        with self._lock:
            return self._samples[-1][0]

    def total(self, name: str) -> int:
        """A count at the last sample; 0 for a name that is not counted."""
        with self._lock:
            return self._samples[-1][1].get(name, 0)

    def steps(self) -> Iterator[tuple[float, float, dict[str, int]]]:
        """(begin and end in seconds, what was added) from each sample to the next."""
        with self._lock:
            samples = list(self._samples)
        for (begin, before), (end, after) in itertools.pairwise(samples):
            yield begin, end, {name: max(after[name] - before.get(name, 0), 0) for name in after}

    @contextmanager
    def running(self) -> Iterator["Record"]:
        """Samples in a thread of its own while the block runs, and once more when it has ended."""

        def look(over: threading.Event) -> None:
            last = False
            while not last:
                last = over.wait(self._every)
                with suppress(Exception):  # a job service that is silent now may answer later
                    self.sample()

        with job.beside(look, "record"):
            yield self
