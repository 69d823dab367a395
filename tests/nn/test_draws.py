"""Draws by counter: NumPy's own Philox is the oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_rnn.nn.draws import philox, stream_numbers, uniform

WORD = st.integers(0, 2**64 - 1)


@given(counter=st.integers(0, 2**64 - 2), key=st.tuples(WORD, WORD))
def test_the_words_are_those_of_numpy(counter: int, key: tuple[int, int]) -> None:
    """Rows of other counters beside it, so that many are computed at once."""
    counters = np.array([counter + 1, 1, 2**63], np.uint64)
    keys = np.array([key, (0, 1), (5, 6)], np.uint64).T
    wanted = np.random.Philox(key=np.array(key, np.uint64), counter=counter).random_raw(4)
    assert philox(counters, keys)[:, 0].tolist() == wanted.tolist()


@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
@pytest.mark.parametrize("rows", [1, 3, 40])
def test_a_stream_draws_what_its_generator_would(seed: int, rows: int) -> None:
    """Few rows and many; steps in any order."""
    streams = stream_numbers([b"stream %d" % i for i in range(rows)])
    wanted = [
        np.random.Generator(np.random.Philox(key=np.array([seed, s], np.uint64))).random(50)
        for s in streams
    ]
    steps = np.random.default_rng(rows).integers(0, 50, rows)
    drawn = uniform(seed, streams, steps)
    assert drawn.tolist() == [row[step] for row, step in zip(wanted, steps, strict=True)]


def test_streams_have_numbers_that_never_change() -> None:
    """Written down here: another hash would give the streams of a running job other draws."""
    a, b, empty = 0x2F42665B399EF840, 0x754F854DE3C27284, 0xB4B2797457A0A6E4
    assert stream_numbers([b"a", b"b", b"a", b""]).tolist() == [a, b, a, empty]
