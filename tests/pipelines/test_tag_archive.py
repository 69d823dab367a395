"""An archive in Parquet, answered as `unroll` answers it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import beam_rnn as rnn
from pipelines import tag_archive


def network() -> rnn.Network:
    draw = np.random.default_rng(0)
    return rnn.Network(
        [
            rnn.LSTM(draw.normal(size=(16, 3)), draw.normal(size=(16, 4)), np.zeros(16)),
            rnn.Dense(draw.normal(size=(2, 4)), np.zeros(2), "softmax"),
        ],
        labels=["no", "yes"],
    )


@pytest.mark.parametrize("classify", [False, True])
def test_answers_are_those_of_unroll(tmp_path: Path, classify: bool) -> None:
    net = network()
    rnn.save(net, str(tmp_path / "net.safetensors"))
    draw = np.random.default_rng(1)
    sequences = {
        f"s{i}": draw.normal(size=(int(draw.integers(1, 30)), 3)).astype(np.float32)
        for i in range(60)
    }
    rows = [(key, x, step) for key, xs in sequences.items() for step, x in enumerate(xs)]
    order = draw.permutation(len(rows)).tolist()
    for number in range(3):
        part = [rows[i] for i in order[number::3]]
        xs = np.concatenate([x for _, x, _ in part])
        table = pa.table(
            {
                "stream": [key for key, _, _ in part],
                "time": pa.array([step * 1_000_000 for *_, step in part]).cast(pa.timestamp("us")),
                "x": pa.FixedSizeListArray.from_arrays(pa.array(xs), 3),
            }
        )
        pq.write_table(table, tmp_path / f"part{number}.parquet", row_group_size=100)
    arguments = ["--input", str(tmp_path / "part*.parquet"), "--output", str(tmp_path / "out")]
    arguments += ["--model", str(tmp_path / "net.safetensors")]
    assert tag_archive.main([*arguments, *(["--classify"] if classify else [])]) == 0

    written = pq.read_table(sorted(tmp_path.glob("out-*.parquet")))
    found = sorted(
        (row["stream"], row["step"], row["label"], row["score"]) for row in written.to_pylist()
    )
    assert net.labels is not None
    wanted = [
        (key, step, net.labels[y.argmax()], float(y.max()))
        for key, xs in sequences.items()
        for step, y in enumerate(net.unroll(xs)[0], 1)
        if not classify or step == len(xs)
    ]
    assert found == sorted(wanted)


def test_a_missing_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--input", "x", "--output", str(tmp_path / "out"), "--model", "missing"]
    assert tag_archive.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
