"""The parent's side of a process that reads broken input."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.fuzz.worker import FRAME

SECONDS = 40  # for one input; what is usual is a millisecond, what is read apart may have 10
FLOOR = 16 << 20  # bytes of memory that any input may cost
MULTIPLE = 40  # and those for each of its bytes


class Guarded:
    """A process that reads input, started anew when it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, kind: str, data: bytes) -> dict[str, Any]:
        """What came of reading ``data``; fails for a crash, a hang, code run or too much memory.

        Any error of the library is right; so is none.
        """
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        name = kind.encode()
        process.stdin.write(FRAME.pack(len(name), len(data)) + name + data)
        process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(SECONDS):
                self.stop()
                raise AssertionError(f"{kind}: still reading after {SECONDS} s: {data!r}")
        line = process.stdout.readline()
        if not line:
            code = process.wait()
            self._process = None
            raise AssertionError(f"{kind}: the process died ({code}) of {data!r}")
        answer: dict[str, Any] = json.loads(line)
        if answer["error"] and not answer["known"]:
            raise AssertionError(f"{kind}: {answer['text']}")
        assert "\n" not in answer["text"], answer["text"]
        assert answer["bytes"] <= FLOOR + MULTIPLE * len(data), f"{answer['bytes']} bytes of memory"
        return answer

    def stop(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        return self._process
