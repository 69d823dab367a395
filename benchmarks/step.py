"""Our step and unroll against ONNX Runtime, naive NumPy and the bare matrix product.

One thread each, in one process, in turns: each round measures every side once. What is measured
is the time of the thread on a core, so that other work on the machine does not count; a figure is
the median of the rounds.

    python -m benchmarks.step [--quick] [--json FILE]
"""

# ruff: noqa: E402 -- the number of threads is set before NumPy loads its BLAS

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from beam_rnn import nn
from beam_rnn.nn.stepping import Kernel

Floats = np.ndarray
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
SIDES = ("ours", "compiled", "onnxruntime", "naive", "product")
OURS = {"ours": "", "compiled": "compiled "}  # by NumPy, and by numba (extra fast)


def in_turns(sides: dict[str, Callable[[], Any]], rounds: int, slice_of: float) -> dict[str, float]:
    """Median seconds of one call of each side; every round takes ``slice_of`` seconds each."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    calls = {}
    for name, call in sides.items():
        call()
        start = time.thread_time()
        call()
        calls[name] = max(1, int(slice_of / max(time.thread_time() - start, 1e-7)))
    for _ in range(rounds):
        for name, call in sides.items():
            start = time.thread_time()
            for _ in range(calls[name]):
                call()
            times[name].append((time.thread_time() - start) / calls[name])
    return {name: float(np.median(all_)) for name, all_ in times.items()}


def weights(kind: str, H: int, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    shapes = (GATES[kind] * H, H), (GATES[kind] * H, H), (GATES[kind] * H,)
    W_x, W_a, b = (rng.normal(size=s, scale=H**-0.5).astype(np.float32) for s in shapes)
    return W_x, W_a, b


def networks(kind: str, W_x: Floats, W_a: Floats, b: Floats) -> dict[str, nn.Network]:
    """The cell stepped by NumPy, and by its compiled twin where there is one."""
    found = {}
    for side in OURS:
        os.environ["BEAM_RNN_COMPILED"] = "1" if side == "compiled" else "0"
        cell = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}[kind](W_x, W_a, b)
        if side == "ours" or not isinstance(cell.kernel, Kernel):
            cell.kernel  # noqa: B018 -- made ready while the environment says how
            found[side] = nn.Network([cell])
    return found


def onnx_session(kind: str, W_x: Floats, W_a: Floats, b: Floats) -> Any:
    """The same cell over (T, B, D), state in, hidden vectors and state out."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    G, H = GATES[kind], W_a.shape[1]
    # Ours: i,f,g,o and r,z,n. ONNX: i,o,f,c and z,r,h.
    order = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}[kind]
    W, R, B = (w.reshape(G, H, *w.shape[1:])[order].reshape(w.shape) for w in (W_x, W_a, b))
    constants = {"W": W[None], "R": R[None], "B": np.concatenate([B, np.zeros_like(B)])[None]}
    carried = ["h", "c"] if kind == "LSTM" else ["h"]
    axes = {"x": [None, None, H], **{name: [1, None, H] for name in carried}}
    node = helper.make_node(
        kind,
        ["x", *constants, "", *carried],
        ["y", *(f"{name}_next" for name in carried)],
        hidden_size=H,
        **({"linear_before_reset": 1} if kind == "GRU" else {}),
    )
    graph = helper.make_graph(
        [node],
        kind,
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in axes.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in node.output],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def naive(kind: str, W_x: Floats, W_a: Floats, b: Floats) -> Callable[[Floats, Floats], Floats]:
    """The step as the textbook has it."""

    def sigmoid(z: Floats) -> Floats:
        return 1 / (1 + np.exp(-z))

    def lstm(x: Floats, a: Floats) -> Floats:
        h, c = np.split(a, 2, axis=1)
        i, f, g, o = np.split(x @ W_x.T + h @ W_a.T + b, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return np.concatenate([sigmoid(o) * np.tanh(c), c], axis=1)

    def gru(x: Floats, h: Floats) -> Floats:
        r, z, n = np.split(x @ W_x.T + b, 3, axis=1)
        u_r, u_z, u_n = np.split(h @ W_a.T, 3, axis=1)
        z = sigmoid(z + u_z)
        return (1 - z) * np.tanh(n + sigmoid(r + u_r) * u_n) + z * h

    def rnn(x: Floats, h: Floats) -> Floats:
        return np.tanh(x @ W_x.T + h @ W_a.T + b)

    return {"LSTM": lstm, "GRU": gru, "RNN": rnn}[kind]


def measure_step(kind: str, H: int, B: int, rounds: int, slice_of: float) -> dict[str, Any]:
    arrays = weights(kind, H)
    nets = networks(kind, *arrays)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(B, H)).astype(np.float32)
    a = rng.normal(size=(B, nets["ours"].state_size), scale=0.3).astype(np.float32)
    textbook = naive(kind, *arrays)
    session = onnx_session(kind, *arrays)
    feed = {"x": x[None], "h": np.ascontiguousarray(a[None, :, :H])}
    if kind == "LSTM":
        feed["c"] = np.ascontiguousarray(a[None, :, H:])
    carried = [f"{name}_next" for name in feed if name != "x"]
    both = np.ascontiguousarray(np.concatenate([x, a[:, :H]], axis=1))
    W = np.ascontiguousarray(np.concatenate(arrays[:2], axis=1).T)
    out = np.empty((B, W.shape[1]), np.float32)
    expected = textbook(x, a)
    for net in nets.values():
        np.testing.assert_allclose(net.step(x, a)[1], expected, atol=2e-5)
    np.testing.assert_allclose(session.run(carried, feed)[0][0], expected[:, :H], atol=2e-5)
    sides = {
        **{side: partial(net.step, x, a) for side, net in nets.items()},
        "onnxruntime": lambda: session.run(carried, feed),  # the state alone: h is y
        "naive": lambda: textbook(x, a),
        "product": lambda: np.matmul(both, W, out),
    }
    return {"cell": kind, "H": H, "B": B, **in_turns(sides, rounds, slice_of)}


def measure_unroll(kind: str, H: int, B: int, T: int, rounds: int, slice_of: float) -> Any:
    arrays = weights(kind, H)
    nets = networks(kind, *arrays)
    x = np.random.default_rng(1).normal(size=(B, T, H)).astype(np.float32)
    session = onnx_session(kind, *arrays)
    feed = {"x": np.ascontiguousarray(x.swapaxes(0, 1)), "h": np.zeros((1, B, H), np.float32)}
    if kind == "LSTM":
        feed["c"] = feed["h"]
    theirs = session.run(None, feed)[0][:, 0].swapaxes(0, 1)
    for net in nets.values():
        np.testing.assert_allclose(net.unroll(x)[0], theirs, atol=1e-4)
    wanted = ["y", *(f"{name}_next" for name in feed if name != "x")]
    sides: dict[str, Callable[[], Any]] = {
        **{side: partial(net.unroll, x) for side, net in nets.items()},
        "onnxruntime": lambda: session.run(wanted, feed),
    }
    return {"cell": kind, "H": H, "B": B, "T": T, **in_turns(sides, rounds, slice_of)}


def mean(rows: list[dict[str, Any]], peer: str, side: str) -> float:
    """Geometric mean of peer / side."""
    return float(np.exp(np.mean([np.log(row[peer] / row[side]) for row in rows])))


def show(what: str, row: dict[str, Any]) -> None:
    times = "  ".join(f"{side} {row[side] * 1e6:.1f}" for side in SIDES if side in row)
    print(f"{what:7} {row['cell']:4} H {row['H']:3} B {row['B']:4}  {times} us", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer sizes, half a minute")
    parser.add_argument("--cells", nargs="+", choices=GATES, default=list(GATES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="where to write every figure")
    options = parser.parse_args()
    slice_of = 0.002 if options.quick else 0.005
    batches = (1, 4, 16, 64, 256, 1024) if options.quick else tuple(2**i for i in range(11))
    steps, unrolls, figures = [], [], {}
    for kind in options.cells:
        for H in (32, 64, 128, 256, 512):
            for B in batches:
                row = measure_step(kind, H, B, options.rounds, slice_of)
                steps.append(row)
                show("step", row)
        unrolled = []
        for B in (1, 64):
            for H in (32, 64, 128, 256, 512):
                row = measure_unroll(kind, H, B, 100, options.rounds, slice_of)
                unrolled.append(row)
                show("unroll", row)
        unrolls += unrolled
        mine = [row for row in steps if row["cell"] == kind]
        large = [row for row in mine if row["H"] >= 256 and row["B"] >= 32]
        for side, name in OURS.items():
            if side not in mine[0]:
                continue
            name += kind
            figures[f"{name} step against onnxruntime"] = mean(mine, "onnxruntime", side)
            figures[f"{name} step against naive NumPy"] = mean(mine, "naive", side)
            share = f"{name} share of the bare product, H >= 256, B >= 32"
            figures[share] = mean(large, "product", side)
            for row in unrolled:
                if row["B"] == 1:
                    alone = f"{name} one sequence alone, H = {row['H']}, against onnxruntime"
                    figures[alone] = row["onnxruntime"] / row[side]
            many = [row for row in unrolled if row["B"] == 64]
            figures[f"{name} 64 sequences, against onnxruntime"] = mean(many, "onnxruntime", side)
    print("\n> 1: we are faster; geometric means where there are many sizes")
    for name, value in figures.items():
        print(f"{value:6.2f}  {name}")
    if options.json:
        result = {
            "machine": platform.processor() or platform.machine(),
            "numpy": np.__version__,
            "figures": figures,
            "step": steps,
            "unroll": unrolls,
        }
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
