"""Transcribe without Beam: any cut gives the same texts; what waits survives its bytes."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import beam_rnn as rnn
from beam_rnn.errors import StateError
from beam_rnn.nn.ctc import CTC, Heard, Prefix
from beam_rnn.streams import columns
from beam_rnn.streams.codec import Codec
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.pack import Packed
from beam_rnn.streams.shard import Shard
from beam_rnn.streams.stepper import Stepper
from beam_rnn.streams.transcribing import Endpoint, Hearing, Transcribing
from tests.streams.tones import FRAMES, LABELS, network, said, sound

SOUNDS = Codec(bytes.decode, bytes, bytes)
ENDPOINT = Endpoint(silence=0.3, after_speech=0.1, longest=0.5)
DECODER = CTC(LABELS, width=4)


def stepper(net: rnn.Network, **options: Any) -> Stepper:
    usual: dict[str, Any] = {
        "decoder": DECODER,
        "endpoint": ENDPOINT,
        "seconds": 0.01,
        "emit": Emit(change=True),
        "lookahead": net.lookahead,
    }
    return Stepper(Transcribing(net, SOUNDS, **{**usual, **options}), 1, feature=FRAMES)


def pack(events: list[tuple[str, bytes, bool]], start: int = 0) -> Packed:
    streams = sorted({stream for stream, _, _ in events})
    return Packed(
        [stream.encode() for stream in streams],
        np.array([streams.index(stream) for stream, _, _ in events]),
        np.arange(start, start + len(events)),
        np.array([end for _, _, end in events]),
        None,
        [chunk for _, chunk, _ in events],
    )


def run(net: rnn.Network, bundles: list[list[tuple[str, bytes, bool]]], **options: Any) -> Any:
    """What each stream is told: in each bundle the state is read from its log."""
    log: list[bytes] = []
    told = defaultdict(list)
    for number, events in enumerate([*bundles, None]):
        work, shard = stepper(net, **options), Shard(0)
        work.load(shard, log)
        if events is None:
            made = list(work.close(shard, None))
        else:
            work.receive(shard, pack(events, number * 1000))
            made = list(work.settle())
        for answers in made:
            assert not answers.bad
            for stream, text in zip(answers.stream.tolist(), answers.what, strict=True):
                told[answers.names[stream]].append(text)
        clear, blocks = work.write(shard)
        log = ([] if clear else log) + blocks
    assert not log
    return dict(told)


def rows(text: str, seed: int) -> np.ndarray:
    pieces, _ = FRAMES.feed(sound(text, seed))
    return np.array([x for _, x in pieces])


TEXTS = st.text("aabbc  -", min_size=1, max_size=12)


@settings(max_examples=60)
@given(
    texts=st.lists(TEXTS, min_size=1, max_size=4),
    cuts=st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), max_size=20),
    bundles=st.integers(1, 5),
    lookahead=st.sampled_from([0, 0, 3]),
    width=st.sampled_from([1, 4]),
    ends=st.booleans(),
)
@example(["aaaaaaaaaa"], [], 1, 0, 1, False)
def test_any_cut_gives_the_same_texts(
    texts: list[str], cuts: list[Any], bundles: int, lookahead: int, width: int, ends: bool
) -> None:
    net, decoder = network(lookahead=lookahead), CTC(LABELS, width=width)
    events = []
    for place, text in enumerate(texts):
        samples = sound(text, place)
        edges = [0, *sorted(int(cut * len(samples)) for of, cut in cuts if of == place)]
        parts = zip(edges, [*edges[1:], len(samples)], strict=True)
        chunks = [samples[low:high].tobytes() for low, high in parts]
        for i, chunk in enumerate(chunks):
            events.append((i, (f"stream {place}", chunk, ends and i == len(chunks) - 1)))
    ordered = [event for _, event in sorted(events, key=lambda event: event[0])]
    size = -(-len(ordered) // bundles)
    cut_up = [ordered[i : i + size] for i in range(0, len(ordered), size)]
    told = run(net, cut_up, decoder=decoder)
    for place, text in enumerate(texts):
        expected = said(net, rows(text, place), decoder, ENDPOINT)
        found = told[f"stream {place}"]
        assert [(t.step, t.text, t.final, t.times) for t in found] == expected
        for answer in found:
            assert answer.end == answer.step * 0.01
            if answer.times:
                assert answer.start == answer.times[0]


def test_texts_are_what_was_said() -> None:
    told = run(network(), [[("s", sound("ab ca--bb-a").tobytes(), True)]])["s"]
    assert [text.text for text in told if text.final] == ["ab ca", "bb", "a"]
    assert [text.text for text in told[:5]] == ["a", "ab", "ab c", "ab ca", "ab ca"]
    first, second, third = (text for text in told if text.final)
    assert first.times == pytest.approx([0.0, 0.15])
    assert second.start == pytest.approx(0.49)
    assert first.end < second.start < third.start


@pytest.mark.parametrize(
    ("endpoint", "finals"),
    [
        (Endpoint(), ["ab"]),
        (Endpoint(after_speech=0.1), ["a", "b"]),
        (Endpoint(longest=0.13), ["a", "b"]),
    ],
)
def test_a_piece_ends_by_its_rules(endpoint: Endpoint, finals: list[str]) -> None:
    told = run(network(), [[("s", sound("a-b").tobytes(), True)]], endpoint=endpoint)["s"]
    assert [text.text for text in told if text.final] == finals


def test_silence_alone_is_dropped_and_says_nothing_but_at_the_end() -> None:
    told = run(network(), [[("s", sound("-" * 10).tobytes(), True)]])["s"]
    assert [(text.text, text.final) for text in told] == [("", True)]
    assert told[0].start == pytest.approx(0.9)  # a piece of 0.3 s after the other was dropped


def test_partial_texts_come_as_emit_says() -> None:
    chunks = [[("s", sound("ab").tobytes(), True)]]
    final = run(network(), chunks, emit=Emit())["s"]
    each = run(network(), chunks, emit=Emit(each=1))["s"]
    some = run(network(), chunks, emit=Emit(each=4))["s"]
    assert [text.text for text in final] == ["ab"]
    assert [text.step for text in each] == list(range(1, 11))
    assert [text.text for text in each] == ["a"] * 5 + ["ab"] * 5
    assert [text.step for text in some] == [4, 8, 10]
    assert final[0] == each[-1] == some[-1]


def test_another_decoder_does_not_read_the_state() -> None:
    work, shard = stepper(network()), Shard(0)
    work.load(shard, [])
    work.receive(shard, pack([("s", sound("ab").tobytes(), False)]))
    list(work.settle())
    _, blocks = work.write(shard)
    other = stepper(network(), decoder=CTC(LABELS, words=["ab"]))
    with pytest.raises(StateError, match="state of model"):
        other.load(Shard(0), blocks)


FINITE = st.floats(-1e6, 0) | st.just(-np.inf)


@st.composite
def hearings(draw: st.DrawFn) -> Hearing:
    common = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 99)), max_size=4))
    prefixes = []
    for _ in range(draw(st.integers(1, 4))):
        more = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 99)), max_size=4))
        pairs = [*common, *more]
        labels, at = tuple(k for k, _ in pairs), tuple(t for _, t in pairs)
        prefixes.append(Prefix(labels, at, draw(FINITE), draw(FINITE), draw(st.floats(-9, 9))))
    return Hearing(draw(st.integers(0, 1 << 40)), Heard(draw(st.integers(0, 999)), 3, prefixes))


@given(hearings())
def test_what_waits_survives_its_bytes(hearing: Hearing) -> None:
    assert Hearing.decode(hearing.encode(), 5) == hearing


@given(hearings(), st.data())
def test_broken_bytes_are_told(hearing: Hearing, data: st.DataObject) -> None:
    good = hearing.encode()
    named = columns.decode(good)
    with pytest.raises(StateError):
        Hearing.decode(good[:-1], 5)
    name = data.draw(st.sampled_from(sorted(named)))
    wrong = dict(named)
    if data.draw(st.booleans()):
        del wrong[name]
    else:
        wrong[name] = np.concatenate([named[name], named[name][:1]])
        if np.array_equal(wrong[name], named[name]):
            return
    with pytest.raises(StateError):
        Hearing.decode(columns.encode(wrong), 5)


def test_labels_that_the_decoder_does_not_have_are_told() -> None:
    hearing = Hearing(0, Heard(1, 0, [Prefix((4,), (0,))]))
    with pytest.raises(StateError, match="do not fit"):
        Hearing.decode(hearing.encode(), 4)


@pytest.mark.parametrize("name", ["silence", "after_speech", "longest"])
def test_an_endpoint_needs_time(name: str) -> None:
    with pytest.raises(rnn.OptionError, match="expected seconds above 0"):
        dataclasses.replace(Endpoint(), **{name: 0.0})
