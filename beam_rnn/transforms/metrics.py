"""What a running pipeline reports: Beam counters and distributions of the namespace beam_rnn."""

from __future__ import annotations

from collections.abc import Sequence

from apache_beam.metrics import Metrics

NAMESPACE = "beam_rnn"


class _Metrics:
    """One of each, shared by all transforms."""

    events = Metrics.counter(NAMESPACE, "events")
    late = Metrics.counter(NAMESPACE, "late")
    duplicates = Metrics.counter(NAMESPACE, "duplicates")
    gaps = Metrics.counter(NAMESPACE, "gaps")
    models_refused = Metrics.counter(NAMESPACE, "models_refused")
    failed = Metrics.counter(NAMESPACE, "failed")
    waves = Metrics.counter(NAMESPACE, "waves")
    wave_size = Metrics.distribution(NAMESPACE, "wave_size")
    live_streams = Metrics.distribution(NAMESPACE, "live_streams_per_shard")
    state_bytes = Metrics.distribution(NAMESPACE, "state_bytes_per_shard")

    def stepped(self, waves: Sequence[int]) -> None:
        """Counts waves, each by the number of streams that it stepped."""
        self.waves.inc(len(waves))
        for size in waves:
            self.wave_size.update(size)


METRICS = _Metrics()
