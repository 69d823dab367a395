"""What reads the input of each kind, and sound input from which the broken is made."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.numpy
from apache_beam import coders
from rich.console import Console

from beam_rnn import EncoderDecoder, Network, weights
from beam_rnn.features import MFCC, Deltas, Frames, LogMel
from beam_rnn.inspection import inspected
from beam_rnn.nn.ctc import Heard, Prefix
from beam_rnn.streams import columns
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.pack import Packed
from beam_rnn.streams.shard import Shard
from beam_rnn.streams.state import Block, Tag
from beam_rnn.streams.transcribing import Hearing
from beam_rnn.streams.translating import OutputsCodec, Read
from tests.nn.test_ctc import ARPA
from tests.streams.steppers import labelling
from tests.weights import exact
from tests.weights.builders import OnnxGraph, normal
from tests.weights.keras_files import ARRAYS, archive, base, hdf5

Reader = Callable[[bytes, Path], Any]

SHARDS = 32
NET = exact.words()
NUMBERS = Codec(bytes.decode, lambda value: b"%d" % value, int)
OUTPUTS = OutputsCodec(*NUMBERS)
_NPZ: list[dict[str, Any]] = [
    {"layer": "Embedding", "E": "E"},
    {"layer": "GRU", "W_x": "W_x", "W_a": "W_a", "b": "b"},
    {"layer": "Dense", "W_y": "W_y", "b_y": "b_y", "activation": "softmax"},
]


def _used(net: Network | EncoderDecoder) -> None:
    """A network that was read also steps."""
    if isinstance(net, EncoderDecoder):
        return
    with np.errstate(all="ignore"):
        net.unroll(np.zeros((2, *net.input_shape), net.input_dtype))


def _stepped(log: list[bytes], packed: Packed) -> None:
    """A log that was read also steps, ends and is written."""
    stepper = labelling(NET, SHARDS, NUMBERS, emit=Emit.of("each"), lookahead=1, expire_after=50)
    shard = Shard(0)
    stepper.load(shard, log)
    with np.errstate(all="ignore"):
        stepper.receive(shard, packed)
        for _ in stepper.settle():
            pass
        stepper.write(shard)
        stepper.due(shard)
        list(stepper.close(shard, 10))
        list(stepper.close(shard, None))
    stepper.write(shard)


def _finished(memory: bytes) -> None:
    """What a feature remembers also goes on and ends."""
    with np.errstate(all="ignore"):
        _, after = _CEPSTRA.feed(_TONE, memory)
        _CEPSTRA.finish(after)


def _pack() -> Packed:
    return Packed(
        [b"ann", b"bob", b"cy"],
        np.array([0, 1, 2, 0]),
        np.array([10, 20, 30, 40]),
        np.array([False, True, False, False]),
        np.array([1, 2, 3, 4]),
        None,
    )


def _pack_of_values() -> Packed:
    return Packed(
        [b"ann", b"bob"],
        np.array([0, 1, 1]),
        np.array([10, 20, 30]),
        np.array([False, False, True]),
        np.array([1, 2, 3]),
        [11, 12, 13],
    )


_VALUES = coders.IterableCoder(coders.VarIntCoder())


def _unpacked(data: bytes) -> Packed:
    return Packed.decode(data, lambda values: list(_VALUES.decode(values)))


READERS: dict[str, Reader] = {
    "native.safetensors": lambda data, path: _used(weights.load(path)),
    "npz.npz": lambda data, path: _used(weights.from_npz(path, _NPZ)),
    "onnx.onnx": lambda data, path: _used(weights.from_onnx(path)),
    "keras.keras": lambda data, path: _used(weights.from_keras(path)),
    "keras.h5": lambda data, path: _used(weights.from_keras(path)),
    "torch.safetensors": lambda data, path: _used(weights.from_torch(path)),
    "torch.pt": lambda data, path: _used(weights.from_torch(path)),
    "arpa.arpa": lambda data, path: weights.from_arpa(path),
    "step.onnx": lambda data, path: weights.from_onnx_step(path, {"s": "t"}),
    "columns": lambda data, path: columns.decode(data),
    "speech": lambda data, path: Hearing.decode(data, 5),
    "slopes": lambda data, path: _finished(data),
    "pending": lambda data, path: NUMBERS.decode_pending(data),
    "outputs": lambda data, path: OUTPUTS.decode_pending(data),
    "block": lambda data, path: Block.decode(data, _TAG, NET.state_size),
    "log": lambda data, path: _stepped([sound("log")[0], data], _pack()),
    "pack": lambda data, path: _stepped([], _unpacked(data)),
    "inspect": lambda data, path: Console(file=io.StringIO()).print(inspected(str(path), 3)),
}
_HEARD = Hearing(
    7, Heard(9, 2, [Prefix((1, 2), (0, 4), -0.5, -1.0), Prefix((1, 3), (0, 4), -2.0, -3.0)])
)
_CEPSTRA = Deltas(MFCC(LogMel(Frames(8000, 200, 80, source_rate=5000), bands=13)))
_TONE = np.sin(np.arange(900) / 3).astype(np.float32)
_TAG = Tag(NET.fingerprint, SHARDS)


def sound(kind: str) -> list[bytes]:
    """Input of a kind as it should be; more than one, so that they can be spliced."""
    if kind not in _sound:
        _sound[kind] = _SOUND[kind]()
    return _sound[kind]


_sound: dict[str, list[bytes]] = {}


def _written(write: Callable[[Path], Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made"
        write(path)
        return path.read_bytes()


def _native() -> list[bytes]:
    nets = (exact.words(), exact.vectors(), exact.layers())
    return [_written(lambda path, net=net: weights.save(net, path)) for net in nets]  # type: ignore[misc]


def _npz() -> list[bytes]:
    arrays = {"E": normal(1, 9, 3), "W_x": normal(2, 12, 3), "W_a": normal(3, 12, 4),
              "b": normal(4, 12), "W_y": normal(5, 2, 4), "b_y": normal(6, 2)}  # fmt: skip
    files = []
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, **arrays)
        files.append(buffer.getvalue())
    return files


def _onnx() -> list[bytes]:
    """Graphs of words to labels, and of vectors through two directions."""
    one = OnnxGraph()
    x = one.node("Gather", one.const(normal(1, 9, 3)), one.input("x", ["T", "B"], 7))
    y = one.squeeze(one.recurrent("GRU", x, 3, 4, linear_before_reset=1), 1)
    y = one.node("Add", one.node("MatMul", y, one.const(normal(5, 4, 2))), one.const(normal(6, 2)))
    y = one.node("Softmax", y, axis=-1)
    other = OnnxGraph(opset=11)
    z = other.recurrent("LSTM", other.input("x", ["T", "B", 3]), 3, 2, dirs=2)
    z = other.node("Transpose", z, perm=[0, 2, 1, 3])
    z = other.node("Reshape", z, other.const(np.array([0, 0, -1])))
    return [one.model(y).SerializeToString(), other.model(z).SerializeToString()]


def _onnx_step() -> list[bytes]:
    """A step t = s + x, y = t * t of rows of 3."""
    text = """<ir_version: 9, opset_import: ["" : 17]>
        step (float[n, 3] x, float[n, 3] s) => (float[n, 3] y, float[n, 3] t)
        { t = Add (s, x)  y = Mul (t, t) }"""
    return [onnx.parser.parse_model(text).SerializeToString()]


def _keras() -> list[bytes]:
    return [_written(lambda path: archive(path, base()))]


def _keras_h5() -> list[bytes]:
    import json

    names = {
        "words": ["embeddings"],
        "cell": ["kernel", "recurrent_kernel", "bias"],
        "head": ["kernel", "bias"],
    }
    arrays = iter(ARRAYS.values())
    stored, attributes = {}, {"/": {"model_config": json.dumps(base()).encode()}}
    for layer, leaves in names.items():
        attributes[f"model_weights/{layer}"] = {
            "weight_names": np.array([f"{layer}/{leaf}:0".encode() for leaf in leaves])
        }
        for leaf in leaves:
            stored[f"model_weights/{layer}/{layer}/{leaf}:0"] = next(arrays)
    return [hdf5(stored, attributes)]


def _torch_arrays() -> dict[str, np.ndarray]:
    return {
        "embed.weight": normal(1, 9, 3),
        "rnn.weight_ih_l0": normal(2, 12, 3),
        "rnn.weight_hh_l0": normal(3, 12, 4),
        "rnn.bias_ih_l0": normal(4, 12),
        "rnn.bias_hh_l0": normal(5, 12),
        "head.weight": normal(6, 2, 4),
        "head.bias": normal(7, 2),
    }


def _torch() -> list[bytes]:
    one = _torch_arrays()
    other = {name: array for name, array in one.items() if name.startswith("rnn")}
    return [safetensors.numpy.save(arrays) for arrays in (one, other)]


def _torch_pt() -> list[bytes]:
    import torch

    files = []
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        buffer = io.BytesIO()
        arrays = {name: torch.from_numpy(array) for name, array in _torch_arrays().items()}
        torch.save(arrays, buffer, **options)
        files.append(buffer.getvalue())
    return files


def _log() -> list[bytes]:
    """Blocks of one log: labels, ends, events that wait for their answers."""
    stepper = labelling(NET, SHARDS, NUMBERS, emit=Emit.of("change"), lookahead=1)
    shard = Shard(0)
    blocks: list[bytes] = []
    for packed in (_pack(), _pack_of_values()):
        stepper.receive(shard, packed)
        for _ in stepper.settle():
            pass
        blocks += stepper.write(shard)[1]
    return blocks


def _columns() -> list[bytes]:
    return [
        columns.encode({"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": [b"x", b"yz"]}),
        columns.encode({"t": np.arange(4), "e": np.array([True, False]), "s": []}),
    ]


_SOUND: dict[str, Callable[[], list[bytes]]] = {
    "native.safetensors": _native,
    "npz.npz": _npz,
    "onnx.onnx": _onnx,
    "keras.keras": _keras,
    "keras.h5": _keras_h5,
    "torch.safetensors": _torch,
    "torch.pt": _torch_pt,
    "arpa.arpa": lambda: [ARPA.encode()],
    "step.onnx": _onnx_step,
    "columns": _columns,
    "speech": lambda: [_HEARD.encode(), Hearing().encode()],
    "slopes": lambda: [_CEPSTRA.feed(_TONE[:n])[1] for n in (100, 900)],
    "pending": lambda: [NUMBERS.encode_pending([(5, 1), (6, 22)]), NUMBERS.encode_pending([])],
    "outputs": lambda: [
        OUTPUTS.encode_pending([Read(normal(seed, n, 3), ids) for seed, n in enumerate(lengths)])
        for lengths, ids in (((2, 1), None), ((0,), None), ((2,), np.array([4, 7])))
    ],
    "block": _log,
    "log": _log,
    "inspect": lambda: [*_log(), *_native()],
    "pack": lambda: [_pack().encode(_VALUES.encode), _pack_of_values().encode(_VALUES.encode)],
}


def kinds() -> list[str]:
    """The kinds that can be read here: files of torch need torch."""
    try:
        import torch  # noqa: F401
    except ImportError:
        return [kind for kind in READERS if kind != "torch.pt"]
    return list(READERS)


def warm_up(folder: Path) -> None:
    """Reads sound input of every kind once, so that what is imported late is there."""
    import encodings.cp437  # names of zip members that are not UTF-8  # noqa: F401

    for kind in kinds():
        for data in sound(kind):
            path = folder / f"input{Path(kind).suffix}"
            path.write_bytes(data)
            READERS[kind](data, path)
