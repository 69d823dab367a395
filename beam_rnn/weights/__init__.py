"""Weight files <-> networks: our own format, ONNX, Keras, PyTorch and .npz."""

from beam_rnn.weights.arpa import from_arpa
from beam_rnn.weights.keras import from_keras
from beam_rnn.weights.native import load, save
from beam_rnn.weights.npz import from_npz
from beam_rnn.weights.onnx import from_onnx
from beam_rnn.weights.onnx_step import from_onnx_step
from beam_rnn.weights.torch import from_torch

__all__ = [
    "from_arpa",
    "from_keras",
    "from_npz",
    "from_onnx",
    "from_onnx_step",
    "from_torch",
    "load",
    "save",
]
