"""The model of a transform: given, or loaded from a path once per process and shared."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from apache_beam import DoFn, FlatMap
from apache_beam.metrics import Metrics
from apache_beam.pvalue import AsSideInput, PCollection

from beam_rnn.errors import OptionError
from beam_rnn.nn import EncoderDecoder, Network, StepModel
from beam_rnn.streams.updates import POLICIES
from beam_rnn.weights import load

_UPDATE = b"\xff\xff model "  # no pack begins with it: so many columns it cannot have
_networks: WeakValueDictionary[Any, Any] = WeakValueDictionary()
_latest: deque[Any] = deque(maxlen=2)  # these are kept while nothing uses them, for the next step
_lock = threading.Lock()


@dataclass(frozen=True)
class ModelUpdates:
    """A model that is updated while its streams live: what a transform takes as its model.

    An update must take the same inputs, give the same labels and look ahead as far as the first
    model; one that does not, or cannot be loaded, is refused: the old model goes on, and the
    reason leaves on ``.failed`` (counted by the metric ``models_refused``).

    Args:
      first: a Network or the path of one, with which the streams begin.
      paths: the paths of models as they come: a PCollection (for instance of
        ``WatchFilePattern``), or a side input made of one. It travels to the streams beside their
        events, and the present model is a part of their state: so it is the same on every runner,
        after a failure, and for timers. Another model needs another path.
      on_update: what becomes of a stream that lives when an update comes. "drain": it finishes its
        sequence with the model that it began with. "keep": its state goes on under the new model,
        which must have the same cells. "reset": its sequence ends, and the next begins anew.

    Raises:
      OptionError: an argument is wrong.
    """

    first: Any
    paths: Any
    on_update: str = "drain"

    def __post_init__(self) -> None:
        if self.on_update not in POLICIES:
            raise OptionError(f"on_update is {self.on_update!r}, expected one of {POLICIES}")
        if not isinstance(self.paths, PCollection | AsSideInput):
            raise OptionError(f"paths is {self.paths!r}, expected a PCollection or a side input")

    def for_shards(self, shards: int) -> PCollection:
        """(shard, update) for each shard."""
        paths = self.paths.pvalue if isinstance(self.paths, AsSideInput) else self.paths
        return paths | "UpdateShards" >> FlatMap(_updates, shards).with_output_types(
            tuple[int, bytes]
        )


def _updates(path: Any, shards: int, time: Any = DoFn.TimestampParam) -> list[tuple[int, bytes]]:
    """The path of a model, or what ``WatchFilePattern`` tells of it, for every shard."""
    named = str(getattr(path, "model_id", path)).encode()
    data = _UPDATE + b"%d " % time.micros + named
    return [(shard, data) for shard in range(shards)]


class Update(NamedTuple):
    """A model that a shard is to use, and since when (microseconds)."""

    time: int
    path: str

    @staticmethod
    def of(data: bytes) -> Update | None:
        """Reads an element of a shard, if it is an update and no pack."""
        if not data.startswith(_UPDATE):
            return None
        time, _, path = data[len(_UPDATE) :].partition(b" ")
        return Update(int(time), path.decode())


@dataclass(frozen=True)
class Model:
    """What ships to the workers: a path, or the model itself.

    Attributes:
      source: one of both.
      kinds: what the transform takes.

    Raises:
      OptionError: the model is neither. WeightsError: the path holds no model.
    """

    source: Any
    kinds: tuple[type[Any], ...] = (Network, StepModel)

    def __post_init__(self) -> None:
        if isinstance(self.source, os.PathLike):
            object.__setattr__(self, "source", os.fspath(self.source))
        if not isinstance(self.source, str):
            self._check(self.source, "the model")

    def network(self) -> Any:
        """The model, one for all threads of the process.

        Raises:
          OptionError: the path holds a model of another kind.
        """
        key = self.source if isinstance(self.source, str) else _identity(self.source)
        with _lock:
            found = _networks.get(key)
            if found is None:
                start = time.monotonic()
                given = self.source
                found = _networks[key] = load(given) if isinstance(given, str) else given
                took = int((time.monotonic() - start) * 1000)
                Metrics.distribution("beam_rnn", "load_model_latency_milli_secs").update(took)
            if all(found is not model for model in _latest):
                _latest.append(found)
        self._check(found, f"the model {self.source}")
        return found

    def _check(self, model: Any, name: str) -> None:
        if not isinstance(model, self.kinds):
            expected = " or ".join(["a path", *(f"a {kind.__name__}" for kind in self.kinds)])
            raise OptionError(f"{name} is a {type(model).__name__}, expected {expected}")


def _identity(model: Any) -> Any:
    """What tells a model from others; its fingerprint leaves out what its ids are called."""
    parts = (model.encoder, model.decoder) if isinstance(model, EncoderDecoder) else (model,)
    named = ((part.labels, getattr(part, "vocabulary", None)) for part in parts)
    return model.fingerprint, *named
