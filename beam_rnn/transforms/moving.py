"""State that leaves a job, and state with which a job begins: one file for each shard."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems

from beam_rnn.errors import StateError, WeightsError
from beam_rnn.streams.moving import resharded
from beam_rnn.streams.pack import Packed
from beam_rnn.streams.state import Block
from beam_rnn.weights import files

STATE = "state"


def state_file(folder: str, shard: int, shards: int) -> str:
    """The path of the file of a shard."""
    return FileSystems.join(folder, f"shard-{shard:05}-of-{shards:05}.state")


def read_state(folder: str, shard: int, shards: int) -> bytes:
    """The state of a shard, as ``WriteState`` or ``reshard`` wrote it.

    Raises:
      StateError: there is no such file.
    """
    try:
        return files.read(state_file(folder, shard, shards))
    except WeightsError as error:
        raise StateError(str(error)) from None


def reshard(source: str, target: str, shards: int) -> None:
    """Writes the state in the folder ``source`` for another number of shards into ``target``.

    Raises:
      StateError: the files in ``source`` are broken, or not all those of one job.
      WeightsError: a file cannot be written.
    """
    made = resharded(_all_of(source), shards)
    if "://" not in target:
        _make_folder(target)
    for shard, data in enumerate(made):
        files.write(state_file(target, shard, shards), data)


def _all_of(folder: str) -> Iterable[bytes]:
    """The state of all shards in a folder."""
    pattern = FileSystems.join(folder, "shard-00000-of-*.state")
    found = [
        match.path for result in FileSystems.match([pattern]) for match in result.metadata_list
    ]
    if len(found) != 1:
        raise StateError(f"{folder}: expected the state of one job, found {found} as shard 0")
    number = found[0].rpartition("-of-")[2].removesuffix(".state")
    if not number.isdigit():
        raise StateError(f"{found[0]}: expected a number of shards in its name")
    return (read_state(folder, shard, int(number)) for shard in range(int(number)))


def _make_folder(path: str) -> None:
    with contextlib.suppress(OSError):  # it is there: if it is not, writing fails
        FileSystems.mkdirs(path)


def every_shard(pipeline: beam.Pipeline, shards: int) -> beam.PCollection[tuple[int, bytes]]:
    """A pack without events for each shard, so that each is opened."""
    none = np.zeros(0, np.int64)
    data = Packed([], none, none, np.zeros(0, np.bool_), None, None).encode(_no_values)
    elements = [(shard, data) for shard in range(shards)]
    return pipeline | "AllShards" >> beam.Create(elements, reshuffle=False)


def _no_values(values: list[Any]) -> bytes:
    return b""


@dataclass
class WriteState(beam.PTransform):
    """Writes the state that left a job: one file for each shard.

    ``Tag(..., export=True)`` and its like give, when the input ends, ``.state``: what is known of
    the streams whose sequences have not ended. A job goes on with it by ``restore=folder``, and
    with another number of shards after ``beam-rnn reshard``. Gives the paths of the files.

    Args:
      folder: on any filesystem that Beam knows; a local one must be there.
    """

    folder: str

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, state: beam.PCollection[tuple[int, bytes]]) -> beam.PCollection[str]:
        return state | "Write" >> beam.Map(_written, self.folder).with_output_types(str)


def _written(state: tuple[int, bytes], folder: str) -> str:
    shard, data = state
    tag, _ = Block.read(data)
    path = state_file(folder, shard, tag.shards)
    files.write(path, data)
    return path
