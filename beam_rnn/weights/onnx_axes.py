"""Named axes of a value in an ONNX graph, and what moves them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Axis(NamedTuple):
    """``name``: the graph input and the place in it, or one of those below; no size: unknown."""

    name: str
    size: int | None


FEATURES = "features"
DIRECTIONS = "directions"  # of a cell: 1, or 2 for forward and backward
ONE = "one"  # put in by the graph

Axes = tuple[Axis, ...]


def text(axes: Axes) -> str:
    """For messages."""
    return "(" + ", ".join(axis.name for axis in axes) + ")"


def squeeze(axes: Axes, places: Sequence[int] | None, time: str | None) -> Axes | None:
    """Without the axes at ``places`` (all of size 1 if None), or None if one may not go."""
    rank = len(axes)
    if places is None:
        gone = {place for place, axis in enumerate(axes) if axis.size == 1}
    else:
        if any(not -rank <= place < rank for place in places):
            return None
        gone = {place % rank for place in places}
    if any(not droppable(axes[place], time) for place in gone):
        return None
    return tuple(axis for place, axis in enumerate(axes) if place not in gone)


def droppable(axis: Axis, time: str | None) -> bool:
    """Whether an axis can go without a loss: one element, and neither time nor features."""
    return axis.size == 1 and axis.name not in (time, FEATURES)


def unsqueeze(axes: Axes, places: Sequence[int]) -> Axes | None:
    """With new axes of size 1 at ``places`` of the result."""
    rank = len(axes) + len(places)
    if any(not -rank <= place < rank for place in places):
        return None
    new = {place % rank for place in places}
    if len(new) != len(places):
        return None
    old = iter(axes)
    return tuple(Axis(ONE, 1) if place in new else next(old) for place in range(rank))


def transpose(axes: Axes, order: Sequence[int] | None) -> Axes | None:
    """In another order, reversed if None."""
    places = list(range(len(axes)))[::-1] if order is None else list(order)
    if sorted(places) != list(range(len(axes))):
        return None
    return tuple(axes[place] for place in places)


def reshape(axes: Axes, target: Sequence[int | Axis], time: str | None) -> Axes | None:
    """The axes after a reshape, or None where they are no longer those that we know.

    Each length of ``target`` must be one axis, except that axes of size 1 may come and go, the
    directions and the features may become one, and so may all axes before the features, which a
    length that is an ``Axis`` brings back.
    """
    result: list[Axis] = []
    place = 0
    for j, length in enumerate(target):
        last = j == len(target) - 1
        rest = axes[place:]
        if isinstance(length, Axis):
            first = rest[0].name.split("+") if rest else []
            if first[:1] != [length.name] or (len(first) == 1 and length != rest[0]):
                return None
            result.append(length)
            if len(first) > 1:
                axes = (*axes[:place], Axis("+".join(first[1:]), None), *axes[place + 1 :])
            else:
                place += 1
        elif length == 0:
            if place != j or not rest:
                return None
            result.append(rest[0])
            place += 1
        elif last and _one_vector(rest) and length in (-1, _size(rest)):
            result.append(Axis(FEATURES, _size(rest)))
            place = len(axes)
        elif length == -1 and len(rest) == len(target) - j:
            result.append(rest[0])
            place += 1
        elif length == -1 and j == 0 and len(target) == 2 and rest and rest[-1].name == FEATURES:
            if any(axis.name == DIRECTIONS and axis.size != 1 for axis in rest):
                return None
            merged = [axis.name for axis in rest[:-1] if not droppable(axis, time)]
            result.append(Axis("+".join(merged) or ONE, None if merged else 1))
            place = len(axes) - 1
        else:
            while place < len(axes) and axes[place].size != length:
                if not droppable(axes[place], time):
                    break
                place += 1
            if place < len(axes) and axes[place].size == length:
                result.append(axes[place])
                place += 1
            elif length == 1:
                result.append(Axis(ONE, 1))
            else:
                return None
    if any(not droppable(axis, time) for axis in axes[place:]):
        return None
    return tuple(result)


def _one_vector(axes: Axes) -> bool:
    """Whether these axes are [forward | backward] or less, as one row in memory."""
    names = [axis.name for axis in axes if axis.size != 1 or axis.name == FEATURES]
    return names in ([DIRECTIONS, FEATURES], [FEATURES]) and len(axes) > 1


def _size(axes: Axes) -> int | None:
    sizes = [axis.size for axis in axes]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)
