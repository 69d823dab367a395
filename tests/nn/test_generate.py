"""Generated tokens against a loop over one stream with NumPy's own generator."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_rnn.nn.decode import Sampling
from beam_rnn.nn.draws import stream_numbers
from beam_rnn.nn.generate import generate
from tests.nn.models import assert_same_bits, states
from tests.nn.writers import WRITER, plainly


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**64 - 1),
    most=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    stop=st.sampled_from([None, 3, 5]),
    how=st.sampled_from([{}, {"temperature": 0}, {"top_p": 0.7}, {"allowed": [1, 2, 3]}]),
)
def test_streams_draw_together_as_each_alone(
    seed: int, most: list[int], stop: int | None, how: dict[str, Any]
) -> None:
    n = len(most)
    rng = np.random.default_rng(n)
    a, steps = states(WRITER, n), rng.integers(0, 50, n)
    streams = stream_numbers([b"%d" % i for i in range(n)])
    before = a.copy()
    drawn = generate(
        WRITER,
        a,
        np.array(most),
        Sampling(**how),
        seed=seed,
        streams=streams,
        steps=steps,
        stop=stop,
    )
    for i in range(n):
        tokens, score, after = plainly(
            before[i : i + 1], most[i], Sampling(**how), seed, streams[i], int(steps[i]), stop
        )
        assert drawn.tokens[i].tolist() == tokens
        assert drawn.score[i] == pytest.approx(score, rel=1e-6)
        assert drawn.stopped[i] == (len(tokens) < most[i])
        assert_same_bits(a[i], after[0])


def test_nobody_draws_nothing() -> None:
    none = np.zeros(0, np.int64)
    drawn = generate(
        WRITER,
        WRITER.initial_state(0),
        none,
        Sampling(),
        seed=0,
        streams=none.astype(np.uint64),
        steps=none,
    )
    assert drawn.tokens == []
