"""A disk that can be full."""

import contextlib
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path


class SmallDisk:
    """A file system of 1 MB; where it may not be mounted, a limit of this process's file sizes.

    Either way a write fails as the system says it: no space left, or file too large.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
        self.mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
        self._ballast = folder / "ballast"
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        """From now on every write fails."""
        if not self.mounted:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, self._limits[1]))
            return
        with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as ballast:
            while ballast.write(bytes(4096)):
                pass

    def free(self) -> None:
        """There is space again."""
        if self.mounted:
            self._ballast.unlink(missing_ok=True)
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)

    def close(self) -> None:
        """Unmounts it; its files are gone."""
        self.free()
        if self.mounted:
            subprocess.run(["umount", str(self.folder)], check=True)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """A small disk at `folder`, which is made."""
    disk = SmallDisk(folder)
    try:
        yield disk
    finally:
        disk.close()
