"""Silero VAD (MIT, https://github.com/snakers4/silero-vad) as a network of ours.

    python training/silero.py --output models/silero_vad.safetensors

The weights are read from the ONNX file of the PyPI package; nothing is trained.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file

import beam_rnn as rnn
from training import packages

PACKAGE = "silero-vad==6.2.3"
FOLDER = packages.CACHE / "silero_vad"
_MEMBER = "silero_vad/data/silero_vad_16k_op15.onnx"
RATE = 16_000
STEP = 512
"""Samples that the network reads in a step, 32 ms."""
CONTEXT = 64
"""Samples of the step before that it reads again."""


def fetch(folder: Path = FOLDER) -> Path:
    """The ONNX file, taken out of the wheel that pip downloads into ``folder`` once."""
    return packages.member(PACKAGE, _MEMBER, folder)


def network(onnx_path: Path) -> rnn.Network:
    """The network of the ONNX file: x (512,) samples of 16 kHz -> y (1,) probability of speech.

    The file reads 64 samples of the step before and 512 new ones, mirrors the last 64 at their
    end, and takes the magnitude of 4 windows of 256 samples (a convolution with a Fourier basis,
    stride 128).
    """
    import onnx

    weights: Mapping[str, np.ndarray] = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(onnx_path).graph.initializer
    }
    basis = weights["model.stft.forward_basis_buffer"].transpose(0, 2, 1)
    layers: list[object] = [
        rnn.Context(CONTEXT, (STEP,)),
        rnn.Conv1d(basis, np.zeros(len(basis), np.float32), None, 128, (0, 64), "reflect"),
        rnn.Magnitude(),
    ]
    for place, stride in enumerate((1, 2, 2, 1)):
        name = f"model.encoder.{place}.reparam_conv"
        filters = weights[f"{name}.weight"].transpose(0, 2, 1)
        layers.append(rnn.Conv1d(filters, weights[f"{name}.bias"], "relu", stride))
    cell, head = "model.decoder.rnn", "model.decoder.decoder.2"
    layers += [
        rnn.Flatten(),
        rnn.LSTM(
            weights[f"{cell}.weight_ih"],
            weights[f"{cell}.weight_hh"],
            weights[f"{cell}.bias_ih"] + weights[f"{cell}.bias_hh"],
        ),
        rnn.Activation("relu"),
        rnn.Dense(weights[f"{head}.weight"][:, :, 0], weights[f"{head}.bias"], "sigmoid"),
    ]
    card = {
        "source": f"PyPI {PACKAGE}, {_MEMBER}",
        "licence": "MIT, Silero Team",
        "input": f"{STEP} samples of {RATE} Hz in -1..1",
    }
    return rnn.Network(layers, card=card)


def main() -> None:
    """Writes the network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, help="where the network goes (safetensors)")
    rnn.save(network(fetch()), parser.parse_args().output)


if __name__ == "__main__":
    main()
