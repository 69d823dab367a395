"""Events of any value, in any company: each is packed, or leaves with a reason; none is lost."""

from __future__ import annotations

import datetime
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest
from apache_beam import coders
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue, create
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import beam_rnn as rnn
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.limits import Limits
from beam_rnn.streams.pack import Packed
from beam_rnn.streams.shard import Shard
from beam_rnn.transforms.pack import PackEvents
from tests.streams.steppers import labelling
from tests.weights import exact

pytestmark = pytest.mark.slow
TIME = datetime.timedelta(seconds=20)  # for one example; what is usual is a hundredth of it
BAD_EVENT = coders.RowCoder.from_type_hint(rnn.BadEvent, None)
LIMITS = Limits(event_bytes=500)
IDS = exact.words()
VECTORS = exact.vectors()
MIXED = rnn.Network(
    [
        rnn.Columns([(1, [rnn.Embedding(exact.exact(1, 4, 2))]), (1, [])]),
        rnn.GRU(exact.exact(2, 3, 3), exact.exact(3, 3, 1), exact.exact(4, 3)),
    ]
)
NETWORKS = {"ids": IDS, "vectors": VECTORS, "columns": MIXED}


class Spiteful:
    """Raises whatever it is asked."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def _raise(self, *args: Any) -> Any:
        raise self.error

    __array__ = __len__ = __iter__ = __index__ = __float__ = __bool__ = __reduce__ = _raise


class Untold(Exception):
    """Cannot even be told."""

    def __str__(self) -> str:
        raise RuntimeError


ERRORS = st.sampled_from(
    [ValueError("\ud800"), TypeError("x" * 10_000), Untold(), MemoryError(), RecursionError("deep")]
)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=5)
NUMBERS = st.integers() | st.integers(0, 5) | st.floats(width=32) | st.floats()
SCALARS = st.one_of(
    st.none(), st.booleans(), NUMBERS, st.complex_numbers(), TEXTS, st.binary(max_size=5),
    st.decimals(), st.fractions(), st.dates(), st.datetimes(), st.timedeltas(),
    st.just("long" * 1000), st.builds(Spiteful, ERRORS), st.just(len), st.just(lambda: 0),
    hnp.from_dtype(np.dtype("i8")), hnp.from_dtype(np.dtype("f4")), hnp.from_dtype(np.dtype("u8")),
)  # fmt: skip
ARRAYS = hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=2, max_side=3)) | (
    hnp.arrays(st.sampled_from(["f4", "f8", "i8", "u8", "?"]), 2)
)
PAIRS = st.lists(NUMBERS, min_size=2, max_size=2) | st.tuples(NUMBERS, NUMBERS)
ANYTHING = st.one_of(
    st.integers(0, 5), PAIRS, ARRAYS, SCALARS,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2), inner, max_size=2), max_leaves=4,
    ),
)  # fmt: skip
KEYS = st.sampled_from(["a", "b", "é"]) | SCALARS | st.just([])
VALUE_CODERS = st.sampled_from(
    [
        coders.FastPrimitivesCoder(),
        coders.PickleCoder(),
        coders.StrUtf8Coder(),
        coders.VarIntCoder(),
    ]
)
Event = tuple[Any, Any]


class Fate(NamedTuple):
    """What became of events."""

    packed: list[tuple[int, Packed]]
    bad: list[rnn.BadEvent]


@contextmanager
def little_memory() -> Iterator[None]:
    """Fails where the peak of memory is far above what the small values here take."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20, f"{peak} bytes of memory"


def fate(net: rnn.Network, coder: Any, events: list[Event], x: Callable[[Any], Any] | None) -> Fate:
    pack = PackEvents(net.inputs, 3, coders.StrUtf8Coder(), coder, x, None, False, limits=LIMITS)
    pack.setup()
    pack.start_bundle()
    outputs: list[Any] = []
    for event in events:
        outputs += pack.process(event, create(event, 5_000_000, (GlobalWindow(),)))
    outputs += pack.finish_bundle()
    packed, bad = [], []
    values = coders.IterableCoder(coder)
    for output in outputs:
        if isinstance(output, TaggedOutput):
            failed = output.value.value if isinstance(output.value, WindowedValue) else output.value
            BAD_EVENT.encode(failed)
            assert len(failed.reason) <= 1000
            bad.append(failed)
        else:
            shard, data = output.value
            packed.append((shard, Packed.decode(data, lambda d: list(values.decode(d)))))
    return Fate(packed, bad)


def step(net: rnn.Network, coder: Any, packed: list[tuple[int, Packed]]) -> int:
    """How many answers the packed events get."""
    stepper = labelling(
        net, 3, Codec(bytes.decode, coder.encode, coder.decode), emit=Emit.of("each")
    )
    for number, pack in packed:
        stepper.receive(Shard(number), pack)
    return sum(len(answers) + len(answers.bad) for answers in stepper.settle())


def extracted(value: Any) -> Any:
    """An ``x`` that takes everything apart."""
    return value[0] if isinstance(value, list) else value


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("x", [None, extracted], ids=["value", "x"])
@settings(deadline=TIME)
@given(events=st.lists(st.tuples(KEYS, ANYTHING), max_size=6), coder=VALUE_CODERS)
def test_each_event_is_packed_or_told_as_if_it_were_alone(
    name: str, x: Callable[[Any], Any] | None, events: list[Event], coder: Any
) -> None:
    net = NETWORKS[name]
    with little_memory():
        together = fate(net, coder, events, x)
        assert sum(len(pack) for _, pack in together.packed) + len(together.bad) == len(events)
        assert step(net, coder, together.packed) == len(events) - len(together.bad)
    alone = [fate(net, coder, [event], x) for event in events]
    reasons = [bad.reason for each in alone for bad in each.bad]
    assert sorted(bad.reason for bad in together.bad) == sorted(reasons)
    xs = [pack.x.tobytes() for each in alone for _, pack in each.packed if pack.x is not None]
    got = [x.tobytes() for _, pack in together.packed for x in (() if pack.x is None else pack.x)]
    assert sorted(got) == sorted(xs)


@given(error=ERRORS, place=st.integers(0, 4))
def test_an_option_that_raises_fails_its_event_alone(error: Exception, place: int) -> None:
    def raises(value: int) -> int:
        if value == place:
            raise error
        return value

    packed, bad = fate(IDS, coders.VarIntCoder(), [("a", value) for value in range(5)], raises)
    assert [event.input for event in bad] == [place]
    assert [pack.x.tolist() for _, pack in packed if pack.x is not None] == [
        [value for value in range(5) if value != place]
    ]


def test_a_long_text_among_many_ids_takes_no_memory() -> None:
    """NumPy would make texts of all of them, each as long as the longest."""
    events: list[Event] = [("a", 1)] * 5000 + [("b", "x" * 100_000)]
    with little_memory():
        packed, bad = fate(IDS, coders.FastPrimitivesCoder(), events, None)
    assert sum(len(pack) for _, pack in packed) == 5000
    assert [(event.stream, event.input) for event in bad] == [("b", None)]
