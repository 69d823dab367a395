"""The columnar lane: Arrow RecordBatches of events in, of answers out; nothing is per event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import create
from numpy.typing import NDArray

from beam_rnn.errors import InputError
from beam_rnn.nn.inputs import Inputs
from beam_rnn.streams.answers import Answers
from beam_rnn.streams.event import BadEvent, why
from beam_rnn.streams.labels import Labels
from beam_rnn.streams.limits import DEFAULT, Limits
from beam_rnn.streams.order import Numbers
from beam_rnn.streams.pack import Packed, shard_of
from beam_rnn.transforms.metrics import METRICS
from beam_rnn.transforms.pack import FAILED, PackEvents, Packs, check_each

_TIME = pa.timestamp("us", tz="UTC")
_ROWS = 1 << 17  # rows that are held before they are sent on: four times as many as of objects


class Columns:
    """The columns of a batch as arrays.

    Args:
      batch: with ``stream`` (strings), ``x`` (ids, or lists of one length), and perhaps ``time``
        (timestamps, or microseconds; all or none), ``end`` and ``reset`` (booleans).
      inputs: what the network takes.
      time: microseconds of the batch, where it has no times.
      numbers: how events are numbered, by which column, or None: they are not.

    Raises:
      InputError: a column is missing, of another type, or has nulls.
    """

    def __init__(
        self, batch: pa.RecordBatch, inputs: Inputs, time: int, numbers: Numbers | None = None
    ) -> None:
        n = batch.num_rows
        no_times = "time" in batch.schema.names and batch.column("time").null_count == n
        if no_times:
            batch = batch.drop_columns(["time"])
        needed = ["stream", "x"]
        if numbers is not None:
            assert isinstance(numbers.of, str)
            needed.append(numbers.of)
        for name in (*needed, "time", "end", "reset"):
            if name not in batch.schema.names:
                if name in needed:
                    raise InputError(f"a batch without the column {name!r}: {batch.schema.names}")
            elif batch.column(name).null_count:
                raise InputError(f"column {name!r} has nulls")
        stream = batch.column("stream")
        if pa.types.is_dictionary(stream.type):
            stream = stream.dictionary_decode()
        if not (pa.types.is_string(stream.type) or pa.types.is_large_string(stream.type)):
            raise InputError(f"column 'stream' is of {stream.type}, expected strings")
        self.stream = stream.cast(pa.string())
        self.x = _rows(batch.column("x"), inputs, n)
        self.time = np.full(n, time, np.int64)
        if "time" in batch.schema.names:
            times = batch.column("time")
            if pa.types.is_timestamp(times.type):
                finer = times.type.unit == "ns"  # what is below a microsecond is cut
                times = times.cast(pa.timestamp("us", tz=times.type.tz), safe=not finer)
            elif not pa.types.is_integer(times.type):
                raise InputError(f"column 'time' is of {times.type}, expected timestamps")
            self.time = times.cast(pa.int64()).to_numpy(zero_copy_only=False)
        self.end = _flags(batch, "end")
        self.reset = _flags(batch, "reset")
        self.seq = np.zeros(n, np.int64)
        if numbers is not None:
            self.seq = _numbers(batch, numbers)


def _flags(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    if name not in batch.schema.names:
        return np.zeros(batch.num_rows, np.bool_)
    if not pa.types.is_boolean(batch.column(name).type):
        raise InputError(f"column {name!r} is of {batch.column(name).type}, expected bool")
    flags: NDArray[Any] = batch.column(name).to_numpy(zero_copy_only=False)
    return flags


def _numbers(batch: pa.RecordBatch, numbers: Numbers) -> NDArray[Any]:
    column = batch.column(numbers.of)
    if not pa.types.is_integer(column.type):
        raise InputError(f"column {numbers.of!r} is of {column.type}, expected whole numbers")
    seq: NDArray[Any] = column.cast(pa.int64()).to_numpy(zero_copy_only=False) - numbers.start
    if len(seq) and seq.min() < 0:
        least = int(seq.min()) + numbers.start
        raise InputError(f"number {least} in {numbers.of!r}, expected {numbers.start} or more")
    return seq


def _rows(column: pa.Array, inputs: Inputs, n: int) -> NDArray[Any]:
    shape = inputs.shape
    if not shape:
        values = column
    elif pa.types.is_fixed_size_list(column.type) or pa.types.is_list(column.type):
        lengths = pa.compute.unique(pa.compute.list_value_length(column)).to_pylist()
        if lengths not in ([], [shape[0]]):
            raise InputError(f"column 'x' has lists of {lengths} values, expected {shape[0]}")
        values = column.flatten()
    else:
        raise InputError(f"column 'x' is of {column.type}, expected lists of {shape[0]} values")
    if values.null_count:
        raise InputError("column 'x' has nulls")
    whole = pa.types.is_integer(values.type)
    if not (whole or (pa.types.is_floating(values.type) and inputs.limits is None)):
        expected = "numbers" if inputs.limits is None else "integer ids"
        raise InputError(f"column 'x' is of {column.type}, expected {expected}")
    rows = values.to_numpy(zero_copy_only=False).reshape(n, *shape)
    with np.errstate(over="ignore"):  # what is then infinite is refused by itself
        typed: NDArray[Any] = rows.astype(inputs.dtype, copy=False)
    return typed


class PackBatches(beam.DoFn):
    """RecordBatches -> (shard, packed columns); bad rows and batches to the output "failed".

    Args:
      inputs: what the network takes.
      shards: the number of shards.
      numbers: how events are numbered, or None: they are not.
      limits: how large the names of streams may be.
    """

    def __init__(
        self,
        inputs: Inputs,
        shards: int,
        numbers: Numbers | None = None,
        limits: Limits = DEFAULT,
    ) -> None:
        self.inputs = inputs
        self.shards = shards
        self.numbers = numbers
        self.limits = limits
        self.packs = Packs(inputs, _ROWS)

    def setup(self) -> None:
        self.known: dict[str, tuple[bytes, int]] = {}

    def start_bundle(self) -> None:
        self.held: dict[Any, list[Columns]] = {}
        self.count = 0

    def process(
        self,
        batch: pa.RecordBatch,
        time: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterable[Any]:
        try:
            columns = Columns(batch, self.inputs, time.micros, self.numbers)
            longest = pa.compute.max(pa.compute.binary_length(columns.stream)).as_py() or 0
            if too_large := self.limits.too_large("longest stream", longest):
                raise InputError(too_large)
        except (InputError, KeyError, pa.ArrowException) as error:
            METRICS.failed.inc(batch.num_rows)
            bad = BadEvent(None, why(error), batch)
            return [beam.pvalue.TaggedOutput(FAILED, bad)]
        self.held.setdefault(window, []).append(columns)
        self.count += batch.num_rows
        if self.count >= self.packs.limit:
            return self.finish_bundle()
        return ()

    def finish_bundle(self) -> Iterator[Any]:
        held = self.held
        self.start_bundle()
        for window, parts in held.items():
            stream = pa.concat_arrays([part.stream for part in parts])
            time, end, reset, seq, x = (
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("time", "end", "reset", "seq", "x")
            )
            good = np.arange(len(time))
            try:
                x = self.inputs.check(x)
            except InputError:  # one row at least is bad: find which
                x, bad = check_each(list(x), self.inputs)
                for place, reason in bad:
                    METRICS.failed.inc()
                    event = BadEvent(stream[place].as_py(), reason, self._row(parts, place))
                    yield beam.pvalue.TaggedOutput(
                        FAILED, create(event, int(time[place]), (window,))
                    )
                good = np.delete(good, [place for place, _ in bad])
                stream = stream.take(pa.array(good))
            columns = Packed(
                [],
                good,
                time[good],
                end[good],
                x,
                None,
                reset=reset[good] if reset.any() else None,
                seq=None if self.numbers is None else seq[good],
            )
            for shard, packed in self._by_shard(stream, columns):
                yield self.packs.element(shard, packed, window)

    def _row(self, parts: list[Columns], place: int) -> Any:
        for part in parts:
            if place < len(part.x):
                return part.x[place]
            place -= len(part.x)
        raise IndexError(place)

    def _by_shard(self, stream: pa.Array, columns: Packed) -> Iterator[tuple[int, Packed]]:
        if not len(stream):
            return
        encoded = stream.dictionary_encode()
        places = encoded.indices.to_numpy()
        located = [self._locate(name) for name in encoded.dictionary.to_pylist()]
        home = np.array([number for _, number in located], np.uint32)
        shard = home[places]
        order = shard.argsort(kind="stable")
        columns, shard = columns[order], shard[order]
        # Streams, those of a shard together, and the place of each among them.
        streams = home.argsort(kind="stable")
        numbers, first, count = np.unique(home[streams], return_index=True, return_counts=True)
        within = np.empty(len(home), np.int64)
        within[streams] = np.arange(len(home)) - np.repeat(first, count)
        columns.stream = within[places[order]]
        starts = shard.searchsorted(numbers)
        for number, mine, low, high in zip(
            numbers.tolist(),
            np.split(streams, first[1:]),
            starts.tolist(),
            [*starts[1:].tolist(), len(shard)],
            strict=True,
        ):
            packed = columns[low:high]
            packed.streams = [located[i][0] for i in mine.tolist()]
            yield number, packed

    def _locate(self, name: str) -> tuple[bytes, int]:
        found = self.known.get(name)
        if found is None:
            if len(self.known) >= self.packs.known_keys:
                self.known.clear()
            encoded = name.encode()
            found = self.known[name] = encoded, shard_of(encoded, self.shards)
        return found


def batches_of(answers: Answers) -> Iterator[Any]:
    """Labels as RecordBatches, one for each window, with their times and windows.

    Columns: ``stream``, ``time``, ``x`` (where answers are about events), ``step``, ``label``
    (string, or int64 without labels), ``score``.
    """
    windows: dict[Any, list[int]] = {}
    for place, home in enumerate(answers.homes):
        windows.setdefault(home.window, []).append(place)
    for (named, latest), streams in windows.items():
        if len(windows) == 1:
            batch = _batch(answers, slice(None))
        else:
            inside = np.isin(answers.stream, streams)
            batch = _batch(answers, np.flatnonzero(inside))
        if batch.num_rows:
            yield create(batch, min(int(answers.time.min()), latest), named)


def _batch(answers: Answers, rows: Any) -> pa.RecordBatch:
    stream = pa.DictionaryArray.from_arrays(answers.stream[rows], pa.array(answers.names))
    labels: Labels = answers.what
    label = pa.array(labels.label[rows])
    if labels.names:
        label = pa.DictionaryArray.from_arrays(label, pa.array(labels.names)).dictionary_decode()
    named = {
        "stream": stream.dictionary_decode(),
        "time": _times(answers.time[rows]),
        "x": list_array(np.asarray(labels.input)[rows]) if len(labels.input) else None,
        "step": pa.array(labels.step[rows]),
        "label": label,
        "score": pa.array(labels.score[rows]),
    }
    kept = {name: column for name, column in named.items() if column is not None}
    return pa.RecordBatch.from_arrays(list(kept.values()), names=list(kept))


def _times(time: NDArray[Any]) -> pa.Array:
    """Microseconds as timestamps; null where Beam was given none."""
    return pa.array(time, mask=time == MIN_TIMESTAMP.micros).cast(_TIME)


def list_array(x: NDArray[Any]) -> pa.Array:
    """Rows (n,) or (n, K) as an Arrow array of numbers, or of lists of K numbers."""
    if x.ndim == 1:
        return pa.array(x)
    return pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])


class ToBatches(PackEvents):
    """(key, value) -> the events of a bundle as RecordBatches, one for each window."""

    carries_values = False

    def _element(self, shard: int, packed: Packed, window: Any, values: bytes) -> Any:
        assert packed.x is not None
        streams = pa.array([self.key_coder.decode(key) for key in packed.streams], pa.string())
        stream = pa.DictionaryArray.from_arrays(packed.stream, streams)
        named = {
            "stream": stream.dictionary_decode(),
            "time": _times(packed.time),
            "x": list_array(packed.x),
            "end": pa.array(packed.end),
        }
        batch = pa.RecordBatch.from_arrays(list(named.values()), names=list(named))
        return create(batch, int(packed.time.min()), (window,))
