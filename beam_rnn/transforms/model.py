"""The model of a transform: given, or loaded from a path once per process and shared."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import Any

from apache_beam.metrics import Metrics

from beam_rnn.errors import OptionError
from beam_rnn.nn import EncoderDecoder, Network, StepModel
from beam_rnn.weights import load

_networks: dict[Any, Any] = {}
_lock = threading.Lock()


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
            if key not in _networks:
                start = time.monotonic()
                given = self.source
                _networks[key] = load(given) if isinstance(given, str) else given
                took = int((time.monotonic() - start) * 1000)
                Metrics.distribution("beam_rnn", "load_model_latency_milli_secs").update(took)
            found = _networks[key]
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
