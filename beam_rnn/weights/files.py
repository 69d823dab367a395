"""Weight files as bytes: any Beam filesystem path, bounded, with errors that name the path."""

from __future__ import annotations

import os
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from beam_rnn.errors import WeightsError

PathLike = str | os.PathLike[str]

LARGEST_FILE = 4 << 30
_CHUNK = 1 << 20
_MOST_EXPANSION = 20  # weights hardly compress; a zip bomb does so a thousandfold
_SMALL = 64 << 20  # what any machine can hold: below it the expansion does not matter


def read(path: PathLike) -> bytes:
    """Returns all bytes of the file at ``path`` (local, or any Beam filesystem).

    Raises:
      WeightsError: it is missing, cannot be read, or has more than ``LARGEST_FILE`` bytes.
    """
    name = os.fspath(path)
    try:
        with _open(name) as file:
            return _up_to(name, file, LARGEST_FILE)
    except (OSError, ValueError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{name}: cannot be read: {error}") from error


def write(path: PathLike, data: bytes) -> None:
    """Writes ``data`` to ``path``; a local file appears whole or not at all.

    Raises:
      WeightsError: it cannot be written.
    """
    name = os.fspath(path)
    try:
        if _remote(name):
            from apache_beam.io.filesystem import CompressionTypes
            from apache_beam.io.filesystems import FileSystems

            with FileSystems.create(
                name, "application/octet-stream", CompressionTypes.UNCOMPRESSED
            ) as file:
                file.write(data)
        else:
            _replace(Path(name), data)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{name}: cannot be written: {error}") from error


def beside(path: PathLike, location: str) -> str:
    """Returns the path of the file that a weight file names as its neighbour.

    Raises:
      WeightsError: ``location`` is not inside the folder of ``path``.
    """
    name = os.fspath(path)
    parts = location.replace("\\", "/").split("/")
    escapes = not location or "" in parts or ".." in parts or ":" in location
    if not escapes and _remote(name):
        from apache_beam.io.filesystems import FileSystems

        return FileSystems.join(FileSystems.split(name)[0], *parts)
    folder = Path(name).resolve().parent
    target = folder.joinpath(*parts)
    if escapes or not target.resolve().is_relative_to(folder):
        raise WeightsError(
            f"{name}: external data {location!r}: expected a file inside the folder of the model"
        )
    return str(target)


def check_expansion(path: PathLike, what: str, size: int, stored: int) -> None:
    """Refuses ``what`` if it claims far more bytes than its file could hold."""
    if size > max(_SMALL, _MOST_EXPANSION * stored):
        raise WeightsError(
            f"{os.fspath(path)}: {what} claims {size} bytes in a file of {stored}: refused"
        )


class Archive:
    """A zip archive in memory, its members by name.

    Raises:
      WeightsError: it is not a zip archive, or claims far more than it could hold.
    """

    def __init__(self, path: str, data: bytes, expected: str) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(BytesIO(data))
        except Exception as error:  # zipfile raises errors of many kinds for a broken archive
            raise WeightsError(f"{path}: expected {expected} (zip): {error}") from error
        infos = self._zip.infolist()
        self._infos = {i.filename: i for i in infos if i.filename and not i.is_dir()}
        total = sum(info.file_size for info in infos)
        check_expansion(path, "the archive", total, len(data))

    def names(self) -> list[str]:
        """The members."""
        return sorted(self._infos)

    def read(self, name: str) -> bytes:
        """The bytes of a member, at most as many as it declares."""
        info = self._infos.get(name)
        if info is None:
            raise WeightsError(
                f"{self._path}: member {name!r} is missing, found {self.names()!s:.500}"
            )
        try:
            with self._zip.open(info) as file:
                return _up_to(self._path, file, info.file_size)
        except WeightsError:
            raise
        except Exception as error:  # as above
            raise WeightsError(f"{self._path}: member {name!r} is broken: {error}") from error


def needs(package: str, extra: str, what: str) -> ImportError:
    """Returns the error for an optional package that is not installed."""
    return ImportError(f"{what} needs {package}: pip install 'beam-rnn[{extra}]'", name=package)


def _remote(name: str) -> bool:
    return "://" in name


def _open(name: str) -> IO[bytes] | Any:
    if _remote(name):
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        return FileSystems.open(name, "application/octet-stream", CompressionTypes.UNCOMPRESSED)
    if not os.path.isfile(name):
        raise WeightsError(f"{name}: no such file")
    return open(name, "rb")


def _up_to(name: str, file: IO[bytes], limit: int) -> bytes:
    """Reads to the end in chunks, so that only bytes that exist take memory."""
    chunks: list[bytes] = []
    size = 0
    while chunk := file.read(_CHUNK):
        size += len(chunk)
        if size > limit:
            raise WeightsError(f"{name}: holds more than the {limit} bytes that were expected")
        chunks.append(chunk)
    return b"".join(chunks)


def _replace(path: Path, data: bytes) -> None:
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(part, 0o644)  # mkstemp's 0600 would hide a shared model from its readers
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
