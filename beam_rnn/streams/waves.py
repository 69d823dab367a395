"""Many streams, one step: which event goes in which wave."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from beam_rnn.nn.parameters import Ints
from beam_rnn.nn.sequences import Wave

Flags = NDArray[np.bool_]
_OFTEN = 4  # steps of a state from which it pays to keep it near


def by_stream(rows: Ints) -> tuple[Ints, Flags]:
    """Brings the events of each stream together, in their order.

    Args:
      rows: (n,) the state row of each event.

    Returns:
      (n,) a stable permutation, and (n,) whether an event is the first of its row in it.
    """
    narrow = rows.astype(np.uint16) if len(rows) and rows.max() < 65536 else rows  # radix sort
    order = narrow.argsort(kind="stable")
    grouped = rows[order]
    first = np.ones(len(rows), np.bool_)
    np.not_equal(grouped[1:], grouped[:-1], first[1:])
    return order, first


def place_in_group(first: Flags) -> Ints:
    """For events in groups, the place of each in its group, from 0."""
    places = np.arange(len(first))
    starts = np.flatnonzero(first)
    return places - np.repeat(starts, np.diff(np.append(starts, len(first))))


def waves(
    rows: Ints, first: Flags, fresh: Flags, most: int | None = None
) -> tuple[Ints, list[Wave]]:
    """Cuts events into waves: the first of every stream, then the second, and so on.

    Args:
      rows: (n,) the state row of each event, those of a row together.
      first: (n,) whether an event is the first of its row.
      fresh: (n,) whether the event begins a sequence on a used row.
      most: rows that may step side by side, so that their states stay in a cache; others, if
        they step often, wait until these are through. None: all.

    Returns:
      (n,) the permutation of the events into waves, and the waves.
    """
    places = place_in_group(first)
    if most is not None:
        places += _begin(first, most)
    if len(places) and places.max() < 65536:
        places = places.astype(np.uint16)  # numpy sorts 16-bit integers by radix
    by_wave = places.argsort(kind="stable")
    wave_rows = rows[by_wave]
    wave_fresh = fresh[by_wave] if fresh.any() else None
    result = []
    start = 0
    for size in np.bincount(places).tolist():
        part = wave_rows[start : start + size]
        begins = None
        if wave_fresh is not None and wave_fresh[start : start + size].any():
            begins = part[wave_fresh[start : start + size]]
        low, high = int(part[0]), int(part[-1])
        dense = high - low + 1 == size  # rows of a wave ascend, each once
        result.append(Wave(slice(low, high + 1) if dense else part, size, begins))
        start += size
    return by_wave, result


def _begin(first: Flags, most: int) -> Ints:
    """(n,) the wave in which the row of each event begins, ``most`` rows at a time.

    Rows with far more events than others go first, together: behind them no wave is nearly empty.
    """
    starts = np.flatnonzero(first)
    n, m = len(first), len(starts)
    if m <= most or n < _OFTEN * m:
        return np.zeros(n, np.int64)
    counts = np.diff(np.append(starts, n))
    order = np.argsort(np.where(counts > 2 * n / m, -counts, 0), kind="stable")
    longest = np.maximum.reduceat(counts[order], np.arange(0, m, most))
    begin = np.empty(m, np.int64)
    begin[order] = np.repeat(longest.cumsum() - longest, most)[:m]
    return np.repeat(begin, counts)
