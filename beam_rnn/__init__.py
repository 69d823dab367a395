"""Recurrent networks over unbounded streams: the hidden state a⟨t⟩ carried by Apache Beam."""

from typing import TYPE_CHECKING, Any

from beam_rnn.errors import InputError as InputError
from beam_rnn.errors import ModelError as ModelError
from beam_rnn.errors import OptionError as OptionError
from beam_rnn.errors import RnnError as RnnError
from beam_rnn.errors import StateError as StateError
from beam_rnn.errors import WeightsError as WeightsError
from beam_rnn.nn import CRF as CRF
from beam_rnn.nn import CTC as CTC
from beam_rnn.nn import GRU as GRU
from beam_rnn.nn import LSTM as LSTM
from beam_rnn.nn import RNN as RNN
from beam_rnn.nn import Activation as Activation
from beam_rnn.nn import Additive as Additive
from beam_rnn.nn import Bidirectional as Bidirectional
from beam_rnn.nn import Columns as Columns
from beam_rnn.nn import Context as Context
from beam_rnn.nn import Conv1d as Conv1d
from beam_rnn.nn import Dense as Dense
from beam_rnn.nn import Embedding as Embedding
from beam_rnn.nn import EncoderDecoder as EncoderDecoder
from beam_rnn.nn import Flatten as Flatten
from beam_rnn.nn import Magnitude as Magnitude
from beam_rnn.nn import MaxPool as MaxPool
from beam_rnn.nn import Multiplicative as Multiplicative
from beam_rnn.nn import Network as Network
from beam_rnn.nn import NGram as NGram
from beam_rnn.nn import Spelling as Spelling
from beam_rnn.nn import StepModel as StepModel
from beam_rnn.streams.emit import every as every
from beam_rnn.streams.event import BadEvent as BadEvent
from beam_rnn.streams.event import Classified as Classified
from beam_rnn.streams.event import Generated as Generated
from beam_rnn.streams.event import Tagged as Tagged
from beam_rnn.streams.event import Transcribed as Transcribed
from beam_rnn.streams.event import Translated as Translated
from beam_rnn.streams.feature import Feature as Feature
from beam_rnn.streams.feature import flat as flat
from beam_rnn.streams.limits import Limits as Limits
from beam_rnn.streams.order import arrival as arrival
from beam_rnn.streams.order import by_event_time as by_event_time
from beam_rnn.streams.order import by_sequence as by_sequence
from beam_rnn.streams.order import event_time as event_time
from beam_rnn.streams.transcribing import Endpoint as Endpoint

if TYPE_CHECKING:
    from beam_rnn.transforms.inference import RnnModelHandler as RnnModelHandler
    from beam_rnn.transforms.metrics import counts as counts
    from beam_rnn.transforms.model import ModelUpdates as ModelUpdates
    from beam_rnn.transforms.moving import WriteState as WriteState
    from beam_rnn.transforms.rows import OnRows as OnRows
    from beam_rnn.transforms.streams import Classify as Classify
    from beam_rnn.transforms.streams import Pack as Pack
    from beam_rnn.transforms.streams import Tag as Tag
    from beam_rnn.transforms.transcribe import Transcribe as Transcribe
    from beam_rnn.transforms.writing import Generate as Generate
    from beam_rnn.transforms.writing import Translate as Translate
    from beam_rnn.weights import from_arpa as from_arpa
    from beam_rnn.weights import from_keras as from_keras
    from beam_rnn.weights import from_npz as from_npz
    from beam_rnn.weights import from_onnx as from_onnx
    from beam_rnn.weights import from_onnx_step as from_onnx_step
    from beam_rnn.weights import from_torch as from_torch
    from beam_rnn.weights import load as load
    from beam_rnn.weights import save as save

# Imported when first used: the networks alone need NumPy only.
_LATER = {
    "Classify": "beam_rnn.transforms.streams",
    "Generate": "beam_rnn.transforms.writing",
    "ModelUpdates": "beam_rnn.transforms.model",
    "Pack": "beam_rnn.transforms.streams",
    "OnRows": "beam_rnn.transforms.rows",
    "RnnModelHandler": "beam_rnn.transforms.inference",
    "Tag": "beam_rnn.transforms.streams",
    "Translate": "beam_rnn.transforms.writing",
    "Transcribe": "beam_rnn.transforms.transcribe",
    "WriteState": "beam_rnn.transforms.moving",
    "counts": "beam_rnn.transforms.metrics",
    "from_arpa": "beam_rnn.weights",
    "from_keras": "beam_rnn.weights",
    "from_npz": "beam_rnn.weights",
    "from_onnx": "beam_rnn.weights",
    "from_onnx_step": "beam_rnn.weights",
    "from_torch": "beam_rnn.weights",
    "load": "beam_rnn.weights",
    "save": "beam_rnn.weights",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_LATER[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
