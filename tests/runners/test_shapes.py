"""Generate, Translate and Tag of whole sequences on every runner: as in batch, to the bit.

A runner cuts bundles as it likes: draws, too, must not depend on it.
"""

import pytest

from tests.runners.harness import Runner
from tests.runners.shapes import SHAPES


@pytest.mark.parametrize("name", SHAPES)
def test_a_stream_gives_what_the_batch_gives(runner: Runner, name: str) -> None:
    shape = SHAPES[name]()
    assert shape.found(runner, seed=len(name)) == sorted(shape.wanted)
