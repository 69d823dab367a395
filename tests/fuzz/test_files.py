"""Weight files, state and packs that are broken in any way: an error of ours, or a sound result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import mutations, readers
from tests.fuzz.guard import Guarded

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    process = Guarded()
    yield process
    process.stop()


@pytest.mark.parametrize("kind", readers.kinds())
def test_sound_input_is_read(kind: str, guarded: Guarded) -> None:
    for data in readers.sound(kind):
        assert guarded.read(kind, data)["error"] is None


@pytest.mark.parametrize("kind", readers.kinds())
@given(draw=st.data())
def test_changed_bytes(kind: str, guarded: Guarded, draw: st.DataObject) -> None:
    guarded.read(kind, draw.draw(mutations.changed(readers.sound(kind))))


def changed_header(data: bytes) -> st.SearchStrategy[bytes]:
    """A safetensors file whose header says something else; the metadata are JSON inside JSON."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    texts = header.get("__metadata__", {})
    inner = sorted(key for key in texts if key not in ("beam_rnn.format", "beam_rnn.sha256"))

    def file(header: Any) -> bytes:
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + size :]

    outer = mutations.changed_json(header).map(file)
    if not inner:
        return outer
    return outer | st.sampled_from(inner).flatmap(
        lambda key: mutations.changed_json(json.loads(texts[key])).map(
            lambda value: file(header | {"__metadata__": texts | {key: json.dumps(value)}})
        )
    )


@pytest.mark.parametrize("kind", ["native.safetensors", "torch.safetensors"])
@given(draw=st.data())
def test_changed_headers(kind: str, guarded: Guarded, draw: st.DataObject) -> None:
    data = draw.draw(st.sampled_from(readers.sound(kind)))
    guarded.read(kind, draw.draw(changed_header(data)))


ARCHIVES = [kind for kind in readers.kinds() if kind in ("npz.npz", "keras.keras", "torch.pt")]


@pytest.mark.parametrize("kind", ARCHIVES)
@given(draw=st.data())
def test_changed_members(kind: str, guarded: Guarded, draw: st.DataObject) -> None:
    """Archives that are sound, so that what is in them is looked at."""
    guarded.read(kind, draw.draw(mutations.changed_member(readers.sound(kind)[0])))


@given(draw=st.data())
def test_changed_keras_configuration(guarded: Guarded, draw: st.DataObject) -> None:
    (data,) = readers.sound("keras.keras")
    content = mutations.members(data)
    config = draw.draw(mutations.changed_json(json.loads(content["config.json"])))
    content["config.json"] = json.dumps(config).encode()
    guarded.read("keras.keras", mutations.zipped(content))
