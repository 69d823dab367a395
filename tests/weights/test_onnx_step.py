"""ONNX models as step models: states of any shape and type, and names that do not exist."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from onnx import TensorProto as T  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402

from beam_rnn.errors import ModelError, WeightsError  # noqa: E402
from beam_rnn.nn.sequences import Wave  # noqa: E402
from beam_rnn.weights import from_onnx_step, onnx_step  # noqa: E402


def weights(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


W, U = weights(0, 4, 4), weights(1, 4, 4)


def save(path: Path, nodes: Any, inputs: Any, outputs: Any, **arrays: np.ndarray) -> Path:
    """A graph of nodes (operator, inputs, outputs[, attributes])."""
    made = [helper.make_node(n[0], n[1], n[2], **(n[3] if len(n) > 3 else {})) for n in nodes]
    values = [[helper.make_tensor_value_info(*v) for v in part] for part in (inputs, outputs)]
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(made, "step", *values, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def cell(path: Path, batch: Any = "n", features: int = 4) -> Path:
    """h' = tanh(x W + h U) with x (n, features), h (1, n, 4),
    count (n) int64 the steps, y = h' * scale.
    """
    return save(
        path,
        [
            ("MatMul", ["x", "W"], ["xW"]),
            ("Squeeze", ["h", "zero"], ["h2"]),
            ("MatMul", ["h2", "U"], ["hU"]),
            ("Add", ["xW", "hU"], ["z"]),
            ("Tanh", ["z"], ["new"]),
            ("Unsqueeze", ["new", "zero"], ["h_next"]),
            ("Add", ["count", "one"], ["count_next"]),
            ("Mul", ["new", "scale"], ["y"]),
        ],
        [
            ("x", T.FLOAT, [batch, features]),
            ("h", T.FLOAT, [1, batch, 4]),
            ("count", T.INT64, [batch]),
            ("scale", T.FLOAT, []),
        ],
        [
            ("h_next", T.FLOAT, [1, batch, 4]),
            ("y", T.FLOAT, [batch, 4]),
            ("count_next", T.INT64, [batch]),
        ],
        W=weights(0, features, 4),
        U=U,
        zero=np.array([0]),
        one=np.array([1]),
    )


STATE = {"h": "h_next", "count": "count_next"}
SCALE = {"scale": np.float32(2)}
X = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)


def expected(x: np.ndarray) -> np.ndarray:
    h, rows = np.zeros(4, np.float32), []
    for row in x:
        h = np.tanh(row @ W + h @ U)
        rows.append(2 * h)
    return np.array(rows)


def test_a_cell_with_a_counter(tmp_path: Path) -> None:
    model = from_onnx_step(cell(tmp_path / "cell.onnx"), STATE, constants=SCALE, labels="abcd")
    assert (model.state, model.output_size, model.inputs.shape) == (5, 4, (4,))
    y, a = model.unroll(X)
    np.testing.assert_allclose(y, expected(X), atol=1e-6)
    np.testing.assert_allclose(a[:4], y[-1] / 2, atol=1e-6)
    assert a[4] == 6


def test_rows_do_not_depend_on_their_company(tmp_path: Path) -> None:
    model = from_onnx_step(cell(tmp_path / "cell.onnx"), STATE, constants=SCALE)
    x = np.random.default_rng(3).normal(size=(50, 4)).astype(np.float32)
    together = model.initial_state(50)
    y = model.advance(x, together, [Wave(slice(0, 50), 50)])
    for i in (0, 17, 49):
        alone = model.initial_state(1)
        assert (
            model.advance(x[i : i + 1], alone, [Wave(slice(0, 1), 1)]).tobytes() == y[i].tobytes()
        )
        assert alone[0].tobytes() == together[i].tobytes()


def test_a_model_of_one_row_is_called_row_by_row(tmp_path: Path) -> None:
    path = cell(tmp_path / "one.onnx", batch=1)
    with pytest.raises(WeightsError, match=r"'x' has shape \[1, 4\]: say its lengths, with None"):
        from_onnx_step(path, STATE, constants=SCALE)
    shapes = {"x": (None, 4), "h": (1, None, 4), "count": (None,)}
    model = from_onnx_step(path, STATE, constants=SCALE, shapes=shapes)
    a = model.initial_state(6)
    y = model.advance(X, a, [Wave(slice(0, 6), 6)])
    np.testing.assert_allclose(y[3], expected(X[3:4])[0], atol=1e-6)


def test_company_that_matters_is_found_out(tmp_path: Path) -> None:
    """y has the mean over the rows of a call: only calls of one row do."""
    path = save(
        tmp_path / "mean.onnx",
        [("ReduceMean", ["x"], ["m"], {"axes": [0], "keepdims": 1}), ("Add", ["x", "m"], ["y"]),
         ("Add", ["s", "x"], ["s_next"])],
        [("x", T.FLOAT, ["n", 4]), ("s", T.FLOAT, ["n", 4])],
        [("y", T.FLOAT, ["n", 4]), ("s_next", T.FLOAT, ["n", 4])],
    )  # fmt: skip
    model = from_onnx_step(path, {"s": "s_next"})
    y = model.advance(X, model.initial_state(6), [Wave(slice(0, 6), 6)])
    np.testing.assert_array_equal(y, 2 * X)


def test_it_pickles_by_path_and_refuses_a_changed_file(tmp_path: Path) -> None:
    path = cell(tmp_path / "cell.onnx")
    model = from_onnx_step(path, STATE, constants=SCALE)
    sent = pickle.dumps(model)
    assert len(sent) < 2000
    again = pickle.loads(sent)
    assert again.fingerprint == model.fingerprint
    assert again.unroll(X)[0].tobytes() == model.unroll(X)[0].tobytes()
    other = from_onnx_step(path, STATE, constants={"scale": np.float32(3)})
    assert other.fingerprint != model.fingerprint
    onnx_step._sessions.clear()
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(WeightsError, match="has changed since it was read"):
        pickle.loads(sent).unroll(X)


@pytest.mark.parametrize(
    ("state", "options", "reason"),
    [
        (
            {"hidden": "h_next"},
            {},
            r"no input 'hidden', the model has \['count', 'h', 'scale', 'x'",
        ),
        ({"h": "h_new"}, {}, r"no output 'h_new', the model has \['count_next', 'h_next', 'y'\]"),
        (STATE, {"constants": {"rate": 1}}, "no input 'rate'"),
        (STATE, {"shapes": {"g": (1,)}}, "no input 'g'"),
        (STATE, {"output": "z"}, "no output 'z'"),
        (STATE, {"constants": {}}, r"\['x', 'scale'\] are neither state nor constant"),
        ({}, {}, "state is empty"),
        ({"h": "y", "count": "count_next"}, {}, r"output 'y' has shape \(1, 4\), the state 'h'"),
    ],
)
def test_names_that_do_not_exist_are_told(
    tmp_path: Path, state: Any, options: Any, reason: str
) -> None:
    path = cell(tmp_path / "cell.onnx")
    with pytest.raises(WeightsError, match=reason):
        from_onnx_step(path, state, **{"constants": SCALE, **options})


def test_shapes_that_change_are_told(tmp_path: Path) -> None:
    """A cache that grows by what it reads is no state."""
    path = save(
        tmp_path / "cache.onnx",
        [("Concat", ["c", "x"], ["c_next"], {"axis": 1}), ("Identity", ["x"], ["y"])],
        [("x", T.FLOAT, ["n", 2]), ("c", T.FLOAT, ["n", "length"])],
        [("y", T.FLOAT, ["n", 2]), ("c_next", T.FLOAT, ["n", "more"])],
    )
    with pytest.raises(WeightsError, match=r"'c' has shape \['n', 'length'\]: say its lengths"):
        from_onnx_step(path, {"c": "c_next"})
    with pytest.raises(WeightsError, match=r"'c_next' has shape \(1, 6\), the state 'c' \(1, 4\)"):
        from_onnx_step(path, {"c": "c_next"}, shapes={"c": (None, 4)})


def test_whole_numbers_beyond_float32_are_told(tmp_path: Path) -> None:
    path = save(
        tmp_path / "square.onnx",
        [("Mul", ["s", "s"], ["squared"]), ("Add", ["squared", "x"], ["s_next"]),
         ("Cast", ["x"], ["y"], {"to": T.FLOAT})],
        [("x", T.INT64, ["n"]), ("s", T.INT64, ["n"])],
        [("y", T.FLOAT, ["n"]), ("s_next", T.INT64, ["n"])],
    )  # fmt: skip
    model = from_onnx_step(path, {"s": "s_next"}, ids=5000)
    assert model.unroll(np.array([4000, 1]))[1].tolist() == [16_000_001, 1]
    with pytest.raises(ModelError, match=r"'s_next' has whole numbers beyond 2\^24"):
        model.unroll(np.array([4999, 1]))


def test_types_that_are_no_state_are_told(tmp_path: Path) -> None:
    path = save(
        tmp_path / "double.onnx",
        [("Identity", ["s"], ["s_next"]), ("Identity", ["x"], ["y"])],
        [("x", T.FLOAT, ["n"]), ("s", T.DOUBLE, ["n"])],
        [("y", T.FLOAT, ["n"]), ("s_next", T.DOUBLE, ["n"])],
    )
    with pytest.raises(WeightsError, match=r"'s' is a tensor\(double\), expected one of"):
        from_onnx_step(path, {"s": "s_next"})


@pytest.mark.parametrize("data", [b"", b"no model", b"\x08\x07"])
def test_broken_files_are_told(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"broken\.onnx: expected an ONNX model"):
        from_onnx_step(path, {"s": "s_next"})


def test_a_name_of_an_axis_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = cell(tmp_path / "cell.onnx", batch="axis")
    path.write_bytes(path.read_bytes().replace(b"axis", b"\x80xis"))
    with pytest.raises(WeightsError, match=r"cell\.onnx: expected an ONNX model: 'utf-8'"):
        from_onnx_step(path, {"h": "h_next", "count": "count_next"})


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        from_onnx_step(tmp_path / "none.onnx", {"s": "s_next"})
