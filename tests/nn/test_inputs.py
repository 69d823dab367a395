"""Many inputs checked at once, as each by itself."""

from typing import Any

import numpy as np
import pytest

from beam_rnn.errors import InputError
from beam_rnn.nn.inputs import Inputs

ONE = {(): 3, (3,): [1, 2, 3], (2, 3): [[1, 2, 3], [4, 5, 6]]}


@pytest.mark.parametrize("limits", [None, (9,)])
@pytest.mark.parametrize("shape", list(ONE))
def test_many_at_once_are_as_each_alone(shape: Any, limits: Any) -> None:
    inputs = Inputs(shape, limits and limits * max(int(np.prod(shape)), 1))
    for kind in (lambda x: x, np.array):
        if limits is None and not shape and kind is not np.array:
            continue  # a number alone is an id
        xs = [kind(ONE[shape])] * 4
        rows = inputs.stack(xs)
        assert rows.dtype == inputs.dtype
        np.testing.assert_array_equal(rows, np.concatenate([inputs.check_one(x) for x in xs]))


BAD = [[[1, 2, 3], [4, 5]], [[1, 2, 3]], [["a"] * 3] * 2, [[True] * 3] * 2]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_one_among_them_is_told(bad: Any) -> None:
    with pytest.raises(InputError):
        Inputs((2, 3), None).stack([ONE[2, 3], bad])
