"""What a running pipeline reports: Beam counters and distributions of the namespace beam_rnn."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from apache_beam.metrics import Metrics, MetricsFilter

__all__ = ["METRICS", "NAMESPACE", "counts"]

NAMESPACE = "beam_rnn"
_WAVE_SIZE = "wave_size"
_STEPPED = "stepped"

_lock = threading.Lock()
_totals: dict[str, int] = {}  # of this process: a local runner tells its metrics at its end only


def _add(name: str, number: int) -> None:
    with _lock:
        _totals[name] += number


class _Counter:
    """A counter of Beam, and its total in this process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._counter = Metrics.counter(NAMESPACE, name)
        _totals[name] = 0

    def inc(self, number: int = 1) -> None:
        self._counter.inc(number)
        _add(self._name, number)


class _Metrics:
    """One of each, shared by all transforms."""

    events = _Counter("events")
    late = _Counter("late")
    duplicates = _Counter("duplicates")
    gaps = _Counter("gaps")
    models_refused = _Counter("models_refused")
    failed = _Counter("failed")
    waves = _Counter("waves")
    wave_size = Metrics.distribution(NAMESPACE, _WAVE_SIZE)
    live_streams = Metrics.distribution(NAMESPACE, "live_streams_per_shard")
    state_bytes = Metrics.distribution(NAMESPACE, "state_bytes_per_shard")

    def stepped(self, waves: Sequence[int]) -> None:
        """Counts waves, each by the number of streams that it stepped."""
        self.waves.inc(len(waves))
        for size in waves:
            self.wave_size.update(size)
        _add(_STEPPED, sum(waves))


_totals[_STEPPED] = 0
METRICS = _Metrics()


def counts(result: Any = None) -> dict[str, int]:
    """What the transforms have counted so far.

    Args:
      result: the PipelineResult of a job, running or ended, whose runner tells its metrics; or
        None for what was counted in this process, as by a local runner while it runs.

    Returns:
      ``events`` that came to be stepped, ``failed``, ``late``, ``duplicates`` and ``gaps`` among
      them, ``waves`` (one matrix product for one event of each of several streams), ``stepped``
      (events in waves) and ``models_refused``; each a total over all transforms, 0 where nothing
      was counted. Counts of a bundle that was tried again may be in it twice.
    """
    if result is None:
        with _lock:
            return dict(_totals)
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    totals = dict.fromkeys(_totals, 0)
    for counter in found[found.COUNTERS]:
        if counter.key.metric.name in totals:
            totals[counter.key.metric.name] += _told(counter)
    for distribution in found[found.DISTRIBUTIONS]:
        if distribution.key.metric.name == _WAVE_SIZE and (sizes := _told(distribution)):
            totals[_STEPPED] += sizes.sum
    return totals


def _told(metric: Any) -> Any:
    """What was committed, or attempted where the runner tells no more; 0 where neither."""
    return metric.committed or metric.attempted or 0
