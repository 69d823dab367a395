"""A stateful feature in the stepper: what it remembers is state like a⟨t⟩."""

from collections import defaultdict
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from beam_rnn.streams.codec import Codec
from beam_rnn.streams.emit import Emit
from beam_rnn.streams.pack import Packed
from beam_rnn.streams.shard import Shard
from tests.streams.reference import Event, Said, reference
from tests.streams.steppers import labelling
from tests.streams.test_stepper import NET, rows_of

TEXT = Codec(bytes.decode, str.encode, bytes.decode)


class Pairs:
    """Digits in pairs: each pair is one input, their sum modulo 10; the odd one waits."""

    def feed(self, value: Any, memory: bytes) -> tuple[list[tuple[str, int]], bytes]:
        digits = memory.decode() + value
        pairs = [digits[i : i + 2] for i in range(0, len(digits) - 1, 2)]
        odd = digits[len(pairs) * 2 :]
        return [(pair, sum(map(int, pair)) % 10) for pair in pairs], odd.encode()

    def finish(self, memory: bytes) -> list[tuple[str, int]]:
        return [(memory.decode(), int(memory))] if memory else []


Chunk = tuple[str, int, str, bool]  # stream, time, digits, whether the sequence ends
HISTORIES = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 60),
        st.text("0123456789", max_size=5) | st.just("not digits"),
        st.sampled_from([False, False, True]),
    ),
    max_size=40,
)


def expected(history: list[Chunk], expire_after: int | None, **options: Any) -> tuple[Any, Any]:
    """Each chunk through the feature by itself, then as the reference says."""
    events: list[Event] = []
    bad = []
    memory: dict[str, bytes] = defaultdict(bytes)
    latest: dict[str, int] = {}
    place: dict[str, int] = {}  # of the last input of the present sequence
    inputs: list[str] = []

    def add(stream: str, time: int, pieces: list[tuple[str, int]]) -> None:
        for value, x in pieces:
            place[stream] = len(events)
            events.append(Event(stream, time, x, False))
            inputs.append(value)

    def end(stream: str, time: int) -> None:
        add(stream, time, Pairs().finish(memory.pop(stream, b"")))
        if stream in place:
            at = place.pop(stream)
            events[at] = events[at]._replace(end=True)
            until[at] = time

    until: dict[int, int] = {}
    for stream, time, digits, ends in history:
        if expire_after and stream in latest and time - latest[stream] >= expire_after:
            end(stream, latest.pop(stream) + expire_after)
        try:
            pieces, memory[stream] = Pairs().feed(digits, memory[stream])
        except ValueError as error:
            bad.append((stream, f"ValueError: {error}", digits))
            ends = False
        else:
            add(stream, time, pieces)
        latest[stream] = max(time, latest.get(stream, time))
        if ends:
            end(stream, time)
            del latest[stream]
    # The reference knows only numbers: give each input its place, and look it up again.
    by_stream: dict[str, list[int]] = defaultdict(list)
    for i, event in enumerate(events):
        by_stream[event.stream].append(i)
    said = reference(NET, events, **options)
    answers: dict[str, list[Said]] = {}
    for stream, mine in said.items():
        answers[stream] = [
            answer._replace(input=inputs[i], time=events[i].time)
            for answer, i in zip(mine, by_stream[stream], strict=False)
        ]
    return answers, bad


@example(  # a later block of the log says that nothing is remembered any more
    history=[("a", 0, "000", False), ("a", 50, "0000", False), ("a", 50, "", False)],
    cuts=[1, 1, 1],
    lookahead=0,
    expire_after=50,
)
@given(
    history=HISTORIES,
    cuts=st.lists(st.integers(1, 8), min_size=40, max_size=40),
    lookahead=st.integers(0, 2),
    expire_after=st.sampled_from([None, 50]),
)
def test_any_cut_gives_the_inputs_of_the_whole(
    history: list[Chunk], cuts: list[int], lookahead: int, expire_after: int | None
) -> None:
    time, timed = 0, []
    for stream, gap, digits, ends in history:
        time += gap
        timed.append((stream, time, digits, ends))
    log: list[bytes] = []
    answers: dict[str, list[Said]] = defaultdict(list)
    bad = []
    rest = timed
    for size in cuts:
        chunk, rest = rest[:size], rest[size:]
        if not chunk:
            break
        stepper = labelling(
            NET,
            1,
            TEXT,
            emit=Emit.of("each"),
            lookahead=lookahead,
            feature=Pairs(),
            expire_after=expire_after,
        )
        shard = Shard(0)
        stepper.load(shard, log)
        streams = sorted({stream for stream, *_ in chunk})
        pack = Packed(
            [stream.encode() for stream in streams],
            np.array([streams.index(stream) for stream, *_ in chunk]),
            np.array([time for _, time, *_ in chunk]),
            np.array([ends for *_, ends in chunk]),
            None,
            [digits for _, _, digits, _ in chunk],
        )
        stepper.receive(shard, pack)
        (said,) = stepper.settle()
        for name, answer in rows_of(said):
            answers[name].append(answer)
        bad += [(event.stream, event.reason, event.input) for _, _, event in said.bad]
        clear, blocks = stepper.write(shard)
        log = ([] if clear else log) + blocks
    wanted, failed = expected(timed, expire_after, lookahead=lookahead)
    assert answers == wanted
    assert sorted(bad) == sorted(failed)
