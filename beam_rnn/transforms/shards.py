"""The shards that a bundle uses: their state cells, and rows kept from bundle to bundle.

A state cell that ``process`` was given stays valid until the bundle commits, after
``finish_bundle``. Beam does not promise it, so only this module relies on it, and the
conformance suite checks it on every runner.

The state of a shard is a log of blocks in a bag. Reading a large log for a few touched streams
would cost more than to step them, so its rows are kept, and known by tags: 8 random bytes, added
with each commit to those since the log was written anew. Equal tags, equal state; any doubt, and
the log is read. Whether a shard has tags is written in its blocks, so that a small shard costs one
cell only. They are a bag, since to add costs less than to replace, which clears first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from apache_beam import coders
from apache_beam.runners.worker.bundle_processor import OutputTimer
from apache_beam.transforms.userstate import BagStateSpec, Timer
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp

from beam_rnn.streams.shard import Shard
from beam_rnn.streams.stepper import Stepper
from beam_rnn.streams.updates import Updating
from beam_rnn.transforms.metrics import METRICS

LOG = BagStateSpec("log", coders.BytesCoder())
TAGS = BagStateSpec("etag", coders.BytesCoder())
_TAGGED_FROM = 256 << 10  # bytes of a log that cost more to read than a tag
_UNTAGGED_BELOW = 64 << 10
_KEPT = 1 << 30  # bytes of rows that a worker's Step keeps


class Cells(NamedTuple):
    """What the runner gives for a shard and window."""

    log: Any
    tags: Any
    timer: Any = None


class _Opened(NamedTuple):
    shard: Shard
    cells: Cells
    tagged: bool
    restored: bool


def window_of(window: Any) -> tuple[tuple[Any], int]:
    """What a shard keeps of its window: how outputs name it, and its last microsecond."""
    return (window,), window.max_timestamp().micros


def timer_at(due: int, latest: int) -> Timestamp:
    """When to set a timer for what is due at ``due`` microseconds, in a window up to ``latest``.

    Runners cut timers to milliseconds, and one that came before its time would be set again for
    ever; so it is set a little later, but not behind the window.
    """
    rounded = -(-due // 1000) * 1000
    return Timestamp(micros=rounded if rounded <= latest else latest // 1000 * 1000)


def set_timer(timer: Any, due: int, latest: int, behind: int = 0) -> None:
    """Sets an event-time timer, and holds the watermark of the answers until it comes.

    Beam's ``set`` holds it at the time of the timer. Events that wait are answered with times
    before, which would be late downstream; so where the SDK lets us, the hold is written beside
    the time (as ``withOutputTimestamp`` does in Java). BundleBasedDirectRunner holds no watermark.

    The hold follows from the time alone: Prism counts wrong and ends the job where a timer is set
    again for the same time with another hold.

    Args:
      timer: of the shard.
      due: what it is set for, in microseconds.
      latest: the last microsecond of the window.
      behind: by how much an event that waits for this time may be before it, in microseconds.
    """
    fire = timer_at(due, latest)
    if not behind or not isinstance(timer, OutputTimer):
        timer.set(fire)
        return
    hold = (fire.micros - behind) // 1000 * 1000 - 1000
    held = Timer(
        user_key=timer._key,
        dynamic_timer_tag="",
        windows=(timer._window,),
        clear_bit=False,
        fire_timestamp=fire,
        hold_timestamp=max(Timestamp(micros=hold), MIN_TIMESTAMP),
        paneinfo=timer._paneinfo,
    )
    timer._timer_coder_impl.encode_to_stream(held, timer._output_stream, True)
    timer._output_stream.maybe_flush()


def is_over(shard: Shard, fired: Timestamp) -> bool:
    """Whether a timer is that of the end of the window, cut to milliseconds or not."""
    latest: int = shard.window[1]
    return bool(fired.micros // 1000 >= latest // 1000)


def tagged_from(was_tagged: bool) -> int:
    """Bytes of a log from which its shard has a tag, and its rows are kept."""
    return _UNTAGGED_BELOW if was_tagged else _TAGGED_FROM


class OpenShards:
    """Opens the shards of a bundle, and writes what the bundle changed.

    Args:
      stepper: has the rows.
      begin: shard -> the state with which it begins, or None: without streams.
    """

    def __init__(
        self, stepper: Stepper | Updating, begin: Callable[[int], bytes] | None = None
    ) -> None:
        self._stepper = stepper
        self._begin = begin
        self._opened: dict[tuple[int, Any], _Opened] = {}
        self._kept: dict[tuple[int, Any], Shard] = {}  # the one used longest ago is first
        self._whole = True

    def begin(self) -> None:
        """Begins a bundle; after one that failed half way, rows may be ahead of the state."""
        if not self._whole:
            self._stepper.clear()
            self._kept.clear()
            self._opened.clear()
        self._whole = False

    def open(self, number: int, window: Any, cells: Cells) -> Shard:
        """A shard with its rows in the arena.

        Raises:
          StateError: its state is broken, or of another model or number of shards.
        """
        key = number, window
        opened = self._opened.get(key)
        if opened is None:
            shard = self._kept.pop(key, None)
            tagged, restored = shard is not None, False
            if shard is not None and shard.tags != frozenset(cells.tags.read()):
                self._stepper.leave(shard)
                shard = None
            if shard is None:
                shard = self._stepper.shard(number, window_of(window))
                blocks = list(cells.log.read())
                restored = not blocks and self._begin is not None
                if restored:
                    self.restore(shard)
                else:
                    tagged = self._stepper.load(shard, blocks)
                shard.size = sum(map(len, blocks))
            opened = self._opened[key] = _Opened(shard, cells, tagged, restored)
        return opened.shard

    def restore(self, shard: Shard) -> None:
        """Gives a shard the state with which it begins, if there is any.

        Raises:
          StateError: it is missing, broken, or of another model or number of shards.
        """
        if self._begin is not None:
            assert isinstance(self._stepper, Stepper)
            self._stepper.restore(shard, self._begin(shard.id))

    def write(self) -> Iterator[tuple[Shard, Cells]]:
        """Writes the shards of the bundle, which ends with this; gives each for its timer."""
        for key, opened in self._opened.items():
            self._write(key, opened)
            yield opened.shard, opened.cells
        for key, opened in self._opened.items():
            if key not in self._kept:
                self._stepper.leave(opened.shard)
        self._evict()
        self._opened.clear()
        self._whole = True

    def _write(self, key: tuple[int, Any], opened: _Opened) -> None:
        shard, cells, was_tagged, restored = opened
        tagged = shard.size >= tagged_from(was_tagged)
        anew = restored or tagged != was_tagged
        clear, blocks = self._stepper.write(shard, tagged=tagged, anew=anew)
        if clear:
            cells.log.clear()
            shard.size = 0
        for block in blocks:
            cells.log.add(block)
            shard.size += len(block)
        if (tagged or was_tagged) and not shard.live:
            cells.tags.clear()
        elif (tagged or was_tagged) and blocks:
            if clear or not shard.tags:  # none are of this log, or it is not known which
                cells.tags.clear()
                shard.tags = frozenset()
            tag = os.urandom(8)
            cells.tags.add(tag)
            shard.tags |= {tag}
        if tagged and shard.live and shard.tags:
            self._kept[key] = shard
        METRICS.live_streams.update(shard.live)
        METRICS.state_bytes.update(shard.size)

    def _evict(self) -> None:
        row = 4 * self._stepper.answering.state_size + 256  # with its key and columns
        total = sum(shard.live for shard in self._kept.values()) * row
        while total > _KEPT and self._kept:
            # Bundles that each use all shards must not chase them all out in a circle.
            longest_ago, latest = next(iter(self._kept)), next(reversed(self._kept))
            shard = self._kept.pop(latest if longest_ago in self._opened else longest_ago)
            total -= shard.live * row
            self._stepper.leave(shard)
