"""RecordBatches of any columns: each row is packed, or leaves with a reason; none is lost."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue
from hypothesis import given, settings
from hypothesis import strategies as st

import beam_rnn as rnn
from beam_rnn.streams.limits import Limits
from beam_rnn.streams.order import Numbers
from beam_rnn.streams.pack import Packed
from beam_rnn.transforms.batches import PackBatches
from tests.fuzz.test_events import BAD_EVENT, NETWORKS, little_memory

pytestmark = pytest.mark.slow
TIME = datetime.timedelta(seconds=20)
LIMITS = Limits(event_bytes=20)
NUMBER = st.integers(-3, 7) | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats()
TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int64": (pa.int64(), st.integers(0, 5) | st.integers(-(1 << 63), (1 << 63) - 1)),
    "int8": (pa.int8(), st.integers(-128, 127)),
    "uint64": (pa.uint64(), st.integers(0, 5) | st.integers(0, (1 << 64) - 1)),
    "float64": (pa.float64(), st.floats()),
    "float16": (pa.float16(), st.floats(width=16).map(np.float16)),
    "bool": (pa.bool_(), st.booleans()),
    "string": (pa.string(), st.text(max_size=30)),
    "large string": (pa.large_string(), st.text(max_size=3)),
    "binary": (pa.binary(), st.binary(max_size=3)),
    "decimal": (pa.decimal128(6, 2), st.decimals(0, 9, places=2)),
    "null": (pa.null(), st.none()),
    "date": (pa.date32(), st.dates()),
    "seconds": (pa.timestamp("s"), st.integers(-(1 << 63) + 1, (1 << 63) - 1)),
    "ms": (pa.timestamp("ms", tz="UTC"), st.integers(-(1 << 60), 1 << 60)),
    "us": (pa.timestamp("us", tz="Europe/Berlin"), st.integers(-(1 << 50), 1 << 50)),
    "ns": (pa.timestamp("ns"), st.integers(-(1 << 63) + 1, (1 << 63) - 1)),
    "pairs": (pa.list_(pa.float32(), 2), st.lists(st.floats(width=32), min_size=2, max_size=2)),
    "ids": (pa.list_(pa.int64()), st.lists(st.integers(0, 3), min_size=2, max_size=2)),
    "ragged": (pa.list_(pa.int32()), st.lists(st.integers(0, 3), max_size=3)),
    "nested": (pa.list_(pa.list_(pa.int64())), st.lists(st.lists(st.integers(0, 3)), max_size=2)),
    "texts": (pa.list_(pa.string()), st.lists(st.text(max_size=2), min_size=2, max_size=2)),
    "struct": (pa.struct([("a", pa.int64())]), st.fixed_dictionaries({"a": st.integers(0, 3)})),
    "map": (pa.map_(pa.string(), pa.int64()), st.just([("a", 1)])),
}
LIKELY = {
    "stream": ["string", "large string"],
    "x": ["int64", "pairs", "ids", "float64"],
    "time": ["us", "ns", "seconds", "int64"],
    "end": ["bool"],
    "reset": ["bool"],
    "seq": ["int64", "int8", "uint64"],
}


@st.composite
def column(draw: st.DrawFn, name: str, rows: int) -> pa.Array:
    kinds = (
        st.sampled_from(LIKELY[name]) if draw(st.integers(0, 3)) else st.sampled_from(list(TYPES))
    )
    kind, values = TYPES[draw(kinds)]
    if draw(st.integers(0, 9)) == 0:
        values = st.none() | values
    made = pa.array([draw(values) for _ in range(rows + 1)], kind)
    if pa.types.is_string(kind) and draw(st.booleans()):
        made = made.dictionary_encode()
    return made.slice(1) if draw(st.booleans()) else made.slice(0, rows)


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    rows = draw(st.integers(0, 4))
    names = [name for name in LIKELY if name in ("stream", "x") or draw(st.booleans())]
    if draw(st.integers(0, 9)) == 0:
        names = draw(st.lists(st.sampled_from(list(LIKELY)), max_size=4))  # twice, or missing
    return pa.RecordBatch.from_arrays([draw(column(name, rows)) for name in names], names=names)


def fate(net: rnn.Network, given: list[pa.RecordBatch], numbers: Numbers | None) -> tuple[Any, Any]:
    pack = PackBatches(net.inputs, 3, numbers, LIMITS)
    pack.setup()
    pack.start_bundle()
    outputs: list[Any] = []
    for batch in given:
        outputs += pack.process(batch, Timestamp(5), GlobalWindow())
    outputs += pack.finish_bundle()
    packed, bad = [], []
    for output in outputs:
        if isinstance(output, TaggedOutput):
            failed = output.value.value if isinstance(output.value, WindowedValue) else output.value
            BAD_EVENT.encode(failed)
            bad.append(failed)
        else:
            packed.append(Packed.decode(output.value[1], lambda data: []))
    return packed, bad


def rows_of(bad: list[rnn.BadEvent]) -> int:
    return sum(e.input.num_rows if isinstance(e.input, pa.RecordBatch) else 1 for e in bad)


@pytest.mark.parametrize("name", NETWORKS)
@settings(deadline=TIME)
@given(given=st.lists(batches(), max_size=3), numbered=st.booleans())
def test_each_row_is_packed_or_told_as_if_its_batch_were_alone(
    name: str, given: list[pa.RecordBatch], numbered: bool
) -> None:
    net = NETWORKS[name]
    numbers = Numbers("seq", 0, None, "wait", 10) if numbered else None
    with little_memory():
        packed, bad = fate(net, given, numbers)
    assert sum(map(len, packed)) + rows_of(bad) == sum(batch.num_rows for batch in given)
    alone = [fate(net, [batch], numbers) for batch in given]
    assert sorted(e.reason for e in bad) == sorted(e.reason for _, b in alone for e in b)
    xs = sorted(x.tobytes() for pack in packed for x in pack.x)
    assert xs == sorted(x.tobytes() for own, _ in alone for pack in own for x in pack.x)
    for pack in packed:
        net.inputs.check(pack.x)
        assert numbers is None or pack.seq.min(initial=0) >= 0
