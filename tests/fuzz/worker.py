"""The process in which broken input is read: it tells what came of each, and what it cost.

It reads (kind, bytes) from its standard input and answers with a JSON object: ``error`` (the type
of what was raised, or null), ``text``, ``known`` (whether the library raises it on purpose),
``seconds`` and ``bytes`` (by how much the memory of the process rose meanwhile).
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from beam_rnn.weights import apart

FRAME = struct.Struct("<BI")  # length of the kind, length of the bytes
MEMORY = 1 << 30  # what a process may take beyond what its imports need

# What reading data never does.
_FORBIDDEN = {
    "ctypes.dlopen", "exec", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.remove",
    "os.rename", "os.spawn", "os.system", "pickle.find_class", "socket.connect",
    "subprocess.Popen", "urllib.Request",
}  # fmt: skip
_watched: Path | None = None  # the only file that may be opened, while input is read


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched is None:
        return
    if event == "subprocess.Popen" and arguments[1] == apart.COMMAND:
        return  # reads what a C library may not survive
    if event in _FORBIDDEN:
        raise PermissionError(f"{event} {arguments!r:.200}")
    if event == "open" and isinstance(arguments[0], str):
        path, mode = arguments[0], arguments[1]
        reads = mode is None or mode in ("r", "rb")
        if not (reads and Path(path).resolve().parent == _watched.parent):
            raise PermissionError(f"open {path} {mode}")


def _peak() -> int:
    """Bytes of memory that the process held at most since the last call."""
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return int(lines["VmHWM"].split()[0]) * 1024


@contextmanager
def _watching(path: Path) -> Iterator[None]:
    global _watched
    _watched = path
    try:
        yield
    finally:
        _watched = None


def _answer(kind: str, data: bytes, path: Path) -> dict[str, Any]:
    from beam_rnn.errors import RnnError
    from tests.fuzz.readers import READERS

    path.write_bytes(data)
    read = READERS[kind]
    error: BaseException | None = None
    _peak()
    before = _peak()
    start = time.perf_counter()
    try:
        with _watching(path):
            read(data, path)
    except Exception as raised:
        error = raised
    seconds = time.perf_counter() - start
    text = "" if error is None else str(error)
    known = isinstance(error, RnnError)
    if error is not None and not known:
        text = "".join(traceback.format_exception(error))
    return {
        "error": None if error is None else type(error).__name__,
        "text": text,
        "known": known,
        "seconds": seconds,
        "bytes": max(0, _peak() - before),
    }


def _read(source: BinaryIO, size: int) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise EOFError
    return data


def main() -> None:
    """Answers until its input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get in between
    from tests.fuzz.readers import warm_up

    sys.addaudithook(_audit)
    with tempfile.TemporaryDirectory() as folder:
        warm_up(Path(folder))
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        answers.write(b"ready\n")
        answers.flush()
        try:
            while True:
                kind, length = FRAME.unpack(_read(sys.stdin.buffer, FRAME.size))
                name = _read(sys.stdin.buffer, kind).decode()
                data = _read(sys.stdin.buffer, length)
                answer = _answer(name, data, Path(folder, "input").with_suffix(Path(name).suffix))
                answers.write(json.dumps(answer).encode() + b"\n")
                answers.flush()
        except EOFError:
            pass


if __name__ == "__main__":
    main()
