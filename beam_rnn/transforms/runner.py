"""What a runner's options would do to a stream, found out before the pipeline starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apache_beam import PCollection
from apache_beam.options.pipeline_options import PipelineOptions

from beam_rnn.errors import OptionError


def check_options(events: PCollection[Any], *, stateful: bool, timers: Sequence[str]) -> None:
    """Refuses options under which events would be lost or come at the wrong time.

    Args:
      events: what is to be stepped.
      stateful: whether it is stepped with state.
      timers: the options that need event-time timers.

    Raises:
      OptionError: with what to set instead.
    """
    options = _all(events.pipeline.options) if stateful else {}
    interval = options.get("checkpointing_interval")
    if interval not in (None, "", "-1", -1) and not _flag(
        options.get("finish_bundle_before_checkpointing")
    ):
        raise OptionError(
            "Flink loses data without a message when a checkpoint comes inside a bundle: with "
            f"--checkpointing_interval={interval} also set --finish_bundle_before_checkpointing"
        )
    if timers and stateful and _fires_at_once(events):
        raise OptionError(
            "FnApiRunner fires event-time timers at once on unbounded input, so "
            f"{' and '.join(timers)} would end or step streams too early: use Prism "
            "(--runner=PrismRunner), Flink or Dataflow, or leave it out"
        )
    if not events.windowing.windowfn.is_merging():
        return
    raise OptionError(
        f"events are in merging windows ({events.windowing.windowfn}), in which no state is "
        "kept: use expire_after for sessions, and fixed or global windows"
    )


def closes_windows(events: PCollection[Any]) -> bool:
    """Whether a timer at the end of a window comes at its time on this runner."""
    return not _fires_at_once(events)


def _fires_at_once(events: PCollection[Any]) -> bool:
    """Whether event-time timers do not wait for the watermark."""
    kinds = {kind.__name__ for kind in type(events.pipeline.runner).__mro__}
    return "FnApiRunner" in kinds and not events.is_bounded


def _all(options: PipelineOptions) -> dict[str, Any]:
    """All options that were given; the job server's own are unknown to the SDK's parsers."""
    found: dict[str, Any] = dict(getattr(options, "_all_options", {}))
    flags = list(getattr(options, "_flags", None) or [])
    for place, flag in enumerate(flags):
        if isinstance(flag, str) and flag.startswith("--"):
            name, equals, value = flag[2:].partition("=")
            if not equals:
                following = flags[place + 1] if place + 1 < len(flags) else "--"
                value = "true" if str(following).startswith("--") else str(following)
            found[name] = value
    return found


def _flag(value: Any) -> bool:
    return value is True or str(value).lower() in ("true", "1")
