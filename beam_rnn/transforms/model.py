"""The model of a transform: given, or loaded from a path once per process and shared."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import Any

from apache_beam.metrics import Metrics

from beam_rnn.errors import OptionError
from beam_rnn.nn import Network, Recurrent, StepModel
from beam_rnn.weights import load

_networks: dict[str, Recurrent] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Model:
    """What ships to the workers: a path, or the model itself.

    Raises:
      OptionError: the model is neither. WeightsError: the path holds no network.
    """

    source: Any

    def __post_init__(self) -> None:
        if isinstance(self.source, os.PathLike):
            object.__setattr__(self, "source", os.fspath(self.source))
        if not isinstance(self.source, Network | StepModel | str):
            raise OptionError(
                f"the model is a {type(self.source).__name__}, expected a Network, a StepModel or "
                "a path"
            )

    def network(self) -> Recurrent:
        """The model, one for all threads of the process."""
        key = self.source if isinstance(self.source, str) else self.source.fingerprint
        with _lock:
            if key not in _networks:
                start = time.monotonic()
                given = self.source
                network = load(given) if isinstance(given, str) else given
                if not isinstance(network, Network | StepModel):
                    raise OptionError(f"{given} holds a {type(network).__name__}: not a Network")
                _networks[key] = network
                took = int((time.monotonic() - start) * 1000)
                Metrics.distribution("beam_rnn", "load_model_latency_milli_secs").update(took)
            return _networks[key]
