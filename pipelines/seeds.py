"""Seed tunes of an ABC file as events: each tune is a stream, and so is each that has no seed."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from beam_rnn.features import tunes
from pipelines import sources
from pipelines.job import Refused
from pipelines.sources import Line


def read(path: str) -> dict[str, str]:
    """The tunes of an ABC file by their titles; a title that comes again gets a number.

    Raises:
      Refused: there is no tune in it.
    """
    named: dict[str, str] = {}
    for tune in tunes.split(Path(path).read_text("utf-8", "replace")):
        title = re.search(r"^T:[ \t]*(\S.*)$", tune, re.MULTILINE)
        name = title[1].strip() if title else "untitled"
        again = sum(1 for other in named if other.partition("\t")[0] == name)
        named[f"{name}\t{again + 1}" if again else name] = tune
    if not named:
        raise Refused(f"the input {path} holds no tune: one begins with X: and has a field K:")
    return {name.replace("\t", " "): tune for name, tune in named.items()}


@dataclass(frozen=True)
class Seeds:
    """Ticks: at the first each stream gets its seed, at the others nothing; one a second.

    Attributes:
      path: of the ABC file.
      free: how many streams there are besides, which begin with nothing.
      ticks: how many there are; 0: no end of them.
    """

    path: str
    free: int
    ticks: int

    def read(self, offsets: dict[str, int], closing: bool) -> tuple[list[Line], bool]:
        """The events of the next tick; see ``sources.Lines``."""
        tick = offsets.get(self.path, 0)
        if sources.stopped() or closing or (self.ticks and tick >= self.ticks):
            return [], True
        texts = read(self.path) | {f"nothing {n}": "" for n in range(1, self.free + 1)}
        events = (
            {"stream": stream, "time": tick, "text": "" if tick else text}
            for stream, text in texts.items()
        )
        return [Line(self.path, tick + 1, json.dumps(event).encode()) for event in events], False
