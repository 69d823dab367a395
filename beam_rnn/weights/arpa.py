"""ARPA files -> n-gram models."""

from __future__ import annotations

import os

from beam_rnn.errors import ModelError, WeightsError
from beam_rnn.nn.ngram import NGram
from beam_rnn.weights import files


def from_arpa(path: files.PathLike) -> NGram:
    """Reads an n-gram model with back-off, as KenLM and SRILM write it.

    Args:
      path: on any filesystem that Beam knows; text in UTF-8, not compressed.

    Raises:
      WeightsError: the file is missing, or a line is broken; the message has its number.
    """
    name = os.fspath(path)
    try:
        return NGram.of_arpa(files.read(name).decode().splitlines())
    except (ModelError, UnicodeDecodeError) as error:
        raise WeightsError(f"{name}: {error}") from error
