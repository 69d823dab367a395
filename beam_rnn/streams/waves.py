"""Many streams, one step: which event goes in which wave."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from beam_rnn.nn.parameters import Ints
from beam_rnn.nn.sequences import Wave

Flags = NDArray[np.bool_]


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


def waves(rows: Ints, first: Flags, fresh: Flags) -> tuple[Ints, list[Wave]]:
    """Cuts events into waves: the first of every stream, then the second, and so on.

    Args:
      rows: (n,) the state row of each event, those of a row together.
      first: (n,) whether an event is the first of its row.
      fresh: (n,) whether the event begins a sequence on a used row.

    Returns:
      (n,) the permutation of the events into waves, and the waves.
    """
    places = place_in_group(first)
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
