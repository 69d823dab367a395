"""A Beam filesystem in memory: its definition makes Beam know paths that begin with its scheme."""

from __future__ import annotations

import io
from typing import Any, ClassVar

from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem, MatchResult

MEMORY = "inmemory://models"


class MemoryFileSystem(FileSystem):
    """A Beam filesystem for paths that begin with ``inmemory://``."""

    files: ClassVar[dict[str, bytes]] = {}

    @classmethod
    def scheme(cls) -> str:
        return "inmemory"

    def open(self, path: str, *args: Any, **kw: Any) -> io.BytesIO:
        if path not in self.files:
            raise BeamIOError(f"no {path}")
        return io.BytesIO(self.files[path])

    def create(self, path: str, *args: Any, **kw: Any) -> io.BytesIO:
        files = self.files

        class File(io.BytesIO):
            def close(self) -> None:
                files[path] = self.getvalue()
                super().close()

        return File()

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath, *paths])

    def split(self, path: str) -> tuple[str, str]:
        return path.rpartition("/")[0], path.rpartition("/")[2]

    def mkdirs(self, path: str) -> None: ...
    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> list[FileMetadata]:
        return []

    def match(self, *args: Any, **kw: Any) -> list[MatchResult]:
        return []

    def copy(self, *args: Any) -> None: ...
    def rename(self, *args: Any) -> None: ...
    def exists(self, path: str) -> bool:
        return path in self.files

    def size(self, path: str) -> int:
        return len(self.files[path])

    def last_updated(self, path: str) -> float:
        return 0.0

    def checksum(self, path: str) -> str:
        return ""

    def metadata(self, path: str) -> FileMetadata:
        return FileMetadata(path, self.size(path))

    def delete(self, paths: list[str]) -> None: ...
