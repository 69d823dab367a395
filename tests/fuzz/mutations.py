"""Hypothesis strategies that break what is valid: bytes, JSON, members of zip archives."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

Bytes = st.SearchStrategy[bytes]

_SIZES = [0, 1, 2, 127, 255, 65535, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1,
          1 << 63, (1 << 64) - 1]  # fmt: skip
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from(_SIZES), st.floats(),
    st.text(max_size=8), st.sampled_from(["", "..", "/etc/passwd", "None", "LSTM", "a/../b"]),
)  # fmt: skip
JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@st.composite
def changed(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds after a few edits; or bytes of any kind."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        edit = draw(st.sampled_from(_EDITS))
        edit(draw, data, seeds)
    return bytes(data)


def _place(draw: st.DrawFn, data: bytearray) -> int:
    return draw(st.integers(0, max(len(data) - 1, 0)))


def _flip(draw: st.DrawFn, data: bytearray, seeds: Sequence[bytes]) -> None:
    if data:
        data[_place(draw, data)] ^= 1 << draw(st.integers(0, 7))


def _overwrite(draw: st.DrawFn, data: bytearray, seeds: Sequence[bytes]) -> None:
    if data:
        data[_place(draw, data)] = draw(st.integers(0, 255))


def _size(draw: st.DrawFn, data: bytearray, seeds: Sequence[bytes]) -> None:
    """Overwrites what may be a size, wherever it is."""
    width = draw(st.sampled_from([1, 2, 4, 8]))
    value = draw(st.sampled_from([*_SIZES, len(data)])) % (1 << 8 * width)
    at = _place(draw, data)
    data[at : at + width] = value.to_bytes(width, draw(st.sampled_from(["little", "big"])))


def _truncate(draw: st.DrawFn, data: bytearray, seeds: Sequence[bytes]) -> None:
    del data[_place(draw, data) :]


def _cut(draw: st.DrawFn, data: bytearray, seeds: Sequence[bytes]) -> None:
    at = _place(draw, data)
    del data[at : at + draw(st.integers(1, 40))]


def _repeat(draw: st.DrawFn, data: bytearray, seeds: Sequence[bytes]) -> None:
    at = _place(draw, data)
    data[at:at] = data[at : at + draw(st.integers(1, 40))] * draw(st.integers(1, 3))


def _splice(draw: st.DrawFn, data: bytearray, seeds: Sequence[bytes]) -> None:
    """The beginning of one file, the rest of another."""
    other = bytearray(draw(st.sampled_from(seeds)))
    data[_place(draw, data) :] = other[_place(draw, other) :]


_EDITS = [_flip, _flip, _overwrite, _size, _size, _truncate, _cut, _repeat, _splice]


@st.composite
def changed_json(draw: st.DrawFn, value: Any) -> Any:
    """The value with one to three of its parts replaced, removed or repeated."""
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 3))):
        parts = list(_parts(value))
        if not parts:
            return draw(JSON)
        container, key = draw(st.sampled_from(parts))
        edit = draw(st.sampled_from(["replace", "replace", "remove", "other", "more"]))
        if edit == "remove":
            del container[key]
        elif edit == "other":  # what stands elsewhere in the value
            source, place = draw(st.sampled_from(parts))
            if place in source if isinstance(source, dict) else place < len(source):
                container[key] = json.loads(json.dumps(source[place]))
        elif edit == "more" and isinstance(container, list):
            container.insert(key, json.loads(json.dumps(container[key])))
        else:
            container[key] = draw(JSON)
    return value


def _parts(value: Any) -> Any:
    """All (container, key) of a JSON value."""
    keys: Any = ()
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        yield value, key
        yield from _parts(value[key])


def members(data: bytes) -> dict[str, bytes]:
    """The members of a zip archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(content: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    """A sound zip archive of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as file:
        for name, data in content.items():
            file.writestr(name, data)
    return buffer.getvalue()


@st.composite
def changed_member(
    draw: st.DrawFn, seed: bytes, change: Callable[[str, bytes], Bytes] | None = None
) -> bytes:
    """A sound zip archive, one member of which is changed."""
    content = members(seed)
    name = draw(st.sampled_from(sorted(content)))
    if change is None:
        content[name] = draw(changed([content[name]]))
    else:
        content[name] = draw(change(name, content[name]))
    return zipped(content, draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])))
