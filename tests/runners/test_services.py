"""Services and their installation: clear words when they do not start, nothing left behind."""

import sys
from pathlib import Path

import pytest

from tests.runners import install
from tests.runners.services import Service, ServiceError, free_port

SERVER = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port={port})"


def _python(code: str, folder: Path) -> Service:
    return Service("probe", [sys.executable, "-u", "-c", code], folder)


def test_a_service_is_ready_when_its_port_is_open_and_ends_when_stopped(tmp_path: Path) -> None:
    port = free_port()
    service = _python(SERVER.format(port=port), tmp_path)
    service.wait_for_port(port)
    service.wait_for_line("Serving HTTP")
    assert service.running()
    service.stop()
    assert not service.running()


def test_a_service_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    service = _python("raise SystemExit('no licence')", tmp_path)
    with pytest.raises(ServiceError, match=r"probe ended with code 1:\nno licence"):
        service.wait_for_port(free_port())


def test_a_service_that_is_never_ready_is_told(tmp_path: Path) -> None:
    service = _python("import time; time.sleep(60)", tmp_path)
    with pytest.raises(ServiceError, match=r"no 'ready' within 0\.2 s"):
        service.wait_for_line("ready", seconds=0.2)
    service.stop()


def test_a_failed_installation_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\necho no such module\nexit 1\n")
    go.chmod(0o755)
    runners = tmp_path / "runners"
    monkeypatch.setenv("BEAM_RNN_RUNNERS", str(runners))
    monkeypatch.setenv("PATH", f"{go.parent}:/bin:/usr/bin")
    assert install.main() == 1
    assert "no such module" in capsys.readouterr().out
    assert list(runners.rglob("*")) == []


def test_a_missing_program_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BEAM_RNN_RUNNERS", str(tmp_path / "runners"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install.main() == 1
    assert "go is not on the PATH" in capsys.readouterr().out
