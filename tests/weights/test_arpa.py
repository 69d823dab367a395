"""n-gram models from ARPA files."""

from pathlib import Path

import pytest

import beam_rnn as rnn
from tests.nn.test_ctc import ARPA


def test_an_arpa_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.arpa"
    path.write_text(ARPA)
    assert rnn.from_arpa(path) == rnn.NGram.of_arpa(ARPA.splitlines())


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", ARPA.replace("-0.1", "0.1").encode()])
def test_a_broken_file_is_told_by_its_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "broken.arpa"
    path.write_bytes(data)
    with pytest.raises(rnn.WeightsError, match=r"broken\.arpa: "):
        rnn.from_arpa(path)
