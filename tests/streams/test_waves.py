"""Waves: each steps a row at most once, and each row's events come in their order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from beam_rnn.nn.sequences import Wave
from beam_rnn.streams.waves import by_stream, waves


def cut(rows: list[int], most: int | None) -> tuple[list[list[int]], list[Wave]]:
    """The events of each wave, by their places in ``rows``."""
    order, first = by_stream(np.array(rows, np.int64))
    grouped = np.array(rows, np.int64)[order]
    by_wave, found = waves(grouped, first, np.zeros(len(rows), np.bool_), most)
    placed = np.split(order[by_wave], np.cumsum([wave.size for wave in found])[:-1])
    return [part.tolist() for part in placed if len(part)], found


def rows_of(wave: Wave) -> list[int]:
    if isinstance(wave.rows, slice):
        return list(range(wave.rows.start, wave.rows.stop))
    return wave.rows.tolist()


@given(rows=st.lists(st.integers(0, 20), max_size=200), most=st.none() | st.integers(1, 8))
def test_every_event_is_in_a_wave_behind_those_of_its_row(
    rows: list[int], most: int | None
) -> None:
    events, found = cut(rows, most)
    assert sorted(place for part in events for place in part) == list(range(len(rows)))
    for part, wave in zip(events, found, strict=True):
        assert [rows[place] for place in part] == rows_of(wave)
        assert len(set(rows_of(wave))) == wave.size
    in_turn = [place for part in events for place in part]
    for row in set(rows):
        mine = [place for place in in_turn if rows[place] == row]
        assert mine == sorted(mine)


def test_rows_that_step_often_take_turns() -> None:
    _, found = cut([0, 1, 2, 3] * 5, 2)
    assert [rows_of(wave) for wave in found] == [[0, 1]] * 5 + [[2, 3]] * 5


def test_rows_that_step_seldom_step_together() -> None:
    _, found = cut([0, 1, 2, 3] * 3, 2)
    assert [rows_of(wave) for wave in found] == [[0, 1, 2, 3]] * 3


def test_busy_rows_go_first_and_together() -> None:
    """Two rows of 40 events cost 40 waves, not 80, whichever rows they are."""
    _, found = cut([3, 6] * 40 + list(range(8)) * 5, 2)
    sizes = [len(rows_of(wave)) for wave in found]
    assert sizes == [2] * 45 + [2] * 15
    assert [rows_of(wave) for wave in found[:45]] == [[3, 6]] * 45
