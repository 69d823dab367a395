"""What a file of state or a model holds, as tables for the terminal."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from beam_rnn.nn import EncoderDecoder, Network
from beam_rnn.streams.describe import Described, Row, describe
from beam_rnn.streams.state import MAGIC
from beam_rnn.weights import files, from_keras, from_onnx, load

_READERS: dict[str, Callable[[str], Network]] = {
    ".onnx": from_onnx,
    ".keras": from_keras,
    ".h5": from_keras,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WIDEST = 40  # characters of a key


def inspected(path: str, most: int) -> RenderableType:
    """Tables of what the file ``path`` holds: a block of state, or a model.

    Args:
      path: on any filesystem that Beam knows.
      most: how many streams, labels or tokens are listed.

    Raises:
      WeightsError: the file cannot be read, or is neither.
      StateError: it is a broken block of state.
    """
    data = files.read(path)
    if data.startswith(MAGIC):
        return _of_state(describe(data), most)
    reader = next((read for end, read in _READERS.items() if path.endswith(end)), load)
    return _of_model(reader(path), most)


def _of_state(state: Described, most: int) -> RenderableType:
    facts: dict[str, Any] = {
        "state": f"format {state.version}, {state.size:,} bytes",
        "model": state.fingerprint,
        "shards": state.shards,
        "block": f"number {state.serial} of its log" + (", a tag beside it" * state.tagged),
        "streams": f"{len(state.rows):,} live, {len(state.ended):,} ended",
        "a⟨t⟩": f"{state.state_size} values, {4 * state.state_size} bytes for each stream",
    }
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stream", overflow="fold")
    for name in ("steps", "last", "label", "memory", "pending", "next", "missed", "held", "a⟨t⟩"):
        table.add_column(name, justify="right")
    for row in state.rows[:most]:
        table.add_row(*_cells(row))
    parts: list[RenderableType] = [_facts(facts), Text(), table]
    if len(state.rows) > most:
        parts.append(Text(f"and {len(state.rows) - most:,} more streams"))
    if state.ended:
        names = ", ".join(_key(stream) for stream in state.ended[:most])
        more = f" and {len(state.ended) - most:,} more" if len(state.ended) > most else ""
        parts.append(Text(f"ended: {names}{more}"))
    return Group(*parts)


def _cells(row: Row) -> Iterator[Text]:
    nothing = "-"
    yield Text(_key(row.stream))
    yield Text(f"{row.steps:,}")
    yield Text(_time(row.last))
    yield Text(nothing if row.label < 0 else str(row.label))
    yield Text(f"{row.memory:,}" if row.memory else nothing)
    yield Text(f"{row.pending:,}" if row.pending else nothing)
    yield Text("failed" if row.next < 0 else str(row.next) if row.next else nothing)
    for count in (row.missed, row.held):
        yield Text(f"{count:,}" if count else nothing)
    yield Text(f"{row.low:.3g} to {row.high:.3g}")


def _key(stream: bytes) -> str:
    try:
        text = stream.decode()
    except UnicodeDecodeError:
        text = ""
    shown = text if text.isprintable() and text else repr(stream)  # nothing steers the terminal
    return shown if len(shown) <= _WIDEST else shown[: _WIDEST - 1] + "…"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _time(micros: int) -> str:
    try:
        return f"{_EPOCH + timedelta(microseconds=micros):%Y-%m-%d %H:%M:%S.%f}"
    except OverflowError:  # no time, or the end of all
        return "-"


def _of_model(model: Network | EncoderDecoder, most: int) -> RenderableType:
    count = sum(array.size for _, layer in _parts(model) for _, array in _arrays(layer))
    facts: dict[str, Any] = {
        "model": f"{model.fingerprint}, {count:,} parameters",
    }
    if isinstance(model, Network):
        C = model.output_size
        facts |= {
            "input": f"{np.dtype(model.input_dtype)} {model.input_shape}",
            "output": f"{C} values",
            "a⟨t⟩": f"{model.state_size} values, {4 * model.state_size} bytes for each stream",
            "look-ahead": f"{model.lookahead} steps",
        }
        for name in ("labels", "vocabulary"):
            facts |= {name: _listed(getattr(model, name), most)}
    parts: list[RenderableType] = [_facts(facts), Text(), _layers(model)]
    if model.card:
        card = json.dumps(model.card, indent=2, ensure_ascii=False)
        lines = (_printable(line) for line in card.splitlines())
        parts += [Text(), Text("\n".join(lines))]
    return Group(*parts)


def _facts(facts: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        if value is not None:
            table.add_row(Text(name, style="bold"), Text(str(value)))
    return table


def _listed(names: Sequence[str] | None, most: int) -> str | None:
    if names is None:
        return None
    shown = ", ".join(map(repr, names[:most]))
    return f"{len(names):,}: {shown}" + (", …" if len(names) > most else "")


def _layers(model: Any) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("layer", "kind", "arrays", "equation"):
        table.add_column(name, overflow="fold")
    for name, layer in _parts(model):
        arrays = [f"{field} {array.shape}" for field, array in _arrays(layer)]
        told, _, _ = (inspect.getdoc(type(layer)) or "").partition("\nAttributes:")
        table.add_row(
            Text(name), Text(type(layer).__name__), Text("\n".join(arrays)), Text(told.strip())
        )
    return table


def _parts(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All layers in a model, by their names in its file."""
    if dataclasses.is_dataclass(value):
        if not isinstance(value, Network | EncoderDecoder):
            yield name, value
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            if field.name != "card":
                yield from _parts(inner, f"{name}.{field.name}" if name else field.name)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _parts(inner, f"{name}.{place}")


def _arrays(layer: Any) -> Iterator[tuple[str, np.ndarray]]:
    for field in dataclasses.fields(layer):
        value = getattr(layer, field.name)
        if isinstance(value, np.ndarray):
            yield field.name, value
