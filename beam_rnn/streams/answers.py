"""Answers as columns, and what a row of y says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from beam_rnn.nn.parameters import Floats, Ints
from beam_rnn.streams.event import BadEvent
from beam_rnn.streams.shard import Arena, Shard


@dataclass
class Answers:
    """Answers as columns, those of one stream in their order, and events that had none."""

    name: list[Any] = field(default_factory=list)
    home: list[Shard] = field(default_factory=list)
    time: list[int] = field(default_factory=list)
    input: list[Any] = field(default_factory=list)
    label: list[Any] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    bad: list[tuple[Shard, int, BadEvent]] = field(default_factory=list)
    waves: list[int] = field(default_factory=list)  # how many streams each wave stepped

    def add(
        self,
        arena: Arena,
        keep: Sequence[int],
        rows: Ints,
        times: list[int],
        inputs: list[Any],
        label: Ints,
        score: Floats,
        steps: Ints,
        names: Sequence[str] | None,
    ) -> None:
        """Adds those of n answers whose places are in ``keep``."""
        row_list, label_list = rows.tolist(), label.tolist()
        score_list, step_list = score.tolist(), steps.tolist()
        kept = [row_list[i] for i in keep]
        self.name += [arena.names[row] for row in kept]
        self.home += [arena.home[row] for row in kept]
        self.time += [times[i] for i in keep]
        self.input += [inputs[i] for i in keep]
        self.label += [names[label_list[i]] if names else label_list[i] for i in keep]
        self.score += [score_list[i] for i in keep]
        self.step += [step_list[i] for i in keep]


def chosen(y: Floats) -> tuple[Ints, Floats]:
    """The label of each row of y (n, C) and its score.

    One output alone is the probability of the second of two classes.
    """
    if y.shape[1] == 1:
        return (y[:, 0] >= 0.5).astype(np.int64), y[:, 0]
    label: Ints = y.argmax(axis=1)
    return label, y[np.arange(len(y)), label]
