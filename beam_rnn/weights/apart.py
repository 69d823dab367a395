"""Weight files that only a C library reads: they are read in a process of its own.

On broken files libhdf5 may not end, may die, and believes any size. So another process reads
them, whose time and memory are limited, and which may die. What it sends back is a file of our
own format, which is checked like any other.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from typing import IO, Any

from beam_rnn.errors import WeightsError

_START = 120.0  # seconds in which the process imports what it needs, on a busy machine
_SECONDS = 10.0  # to read a file; a large one gets more
_BYTES_PER_SECOND = 10 << 20
_MEMORY = 128 << 20  # bytes beyond what the process needs for itself; a large file gets more
_MULTIPLE = 8

_READY = b"ready"

# The package imports this module before it is run; runpy warns of that.
COMMAND = [sys.executable, "-P", "-W", "ignore::RuntimeWarning:runpy", "-m", __name__]

_lock = threading.Lock()
_process: subprocess.Popen[bytes] | None = None  # waits for the next file


def read(path: str, data: bytes, **options: Any) -> bytes:
    """The network in a Keras file, as ``save`` would write it.

    Args:
      path: of the file, for errors.
      data: its bytes.
      options: of ``beam_rnn.weights.keras.network_of``.

    Raises:
      WeightsError: what ``network_of`` raises, or the file could not be read within bounds.
    """
    with _lock:
        try:
            answer, made = _ask(_running(), {"path": path, **options}, data)
        except (OSError, ValueError, TimeoutError) as error:
            _stop()
            raise WeightsError(f"{path}: could not be read: {error}") from None
    if answer is not None:
        raise WeightsError(answer)
    return made


def _ask(process: subprocess.Popen[bytes], request: Any, data: bytes) -> tuple[str | None, bytes]:
    assert process.stdin is not None
    deadline = time.monotonic() + _SECONDS + len(data) / _BYTES_PER_SECOND
    _send(process.stdin, request, data)

    def receive() -> bytes:
        return _receive(process.stdout, _size(_receive(process.stdout, 8, deadline)), deadline)

    answer: str | None = json.loads(receive())
    return answer, receive()


def _receive(source: IO[bytes] | None, size: int, deadline: float) -> bytes:
    assert source is not None
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        while size > 0:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError("it took too long")
            part = os.read(source.fileno(), min(size, 1 << 20))
            if not part:
                raise OSError("the process that read it has died")
            parts.append(part)
            size -= len(part)
    return b"".join(parts)


def _send(to: IO[bytes], told: Any, data: bytes) -> None:
    text = json.dumps(told).encode()
    to.write(len(text).to_bytes(8, "little") + text + len(data).to_bytes(8, "little"))
    to.write(data)
    to.flush()


def _size(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _running() -> subprocess.Popen[bytes]:
    global _process
    if _process is None or _process.poll() is not None:
        _stop()
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        _process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths},
        )
        _receive(_process.stdout, len(_READY), time.monotonic() + _START)
    return _process


@atexit.register
def _stop() -> None:
    global _process
    if _process is not None:
        _process.kill()
        _process.communicate()
        _process = None


def _forget() -> None:
    """The process belongs to the one that has forked."""
    global _process, _lock
    _process, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _serve(source: IO[bytes], answers: IO[bytes]) -> None:
    """What the other process does, until its input ends."""
    import h5py  # noqa: F401

    from beam_rnn.weights import native
    from beam_rnn.weights.keras import network_of

    own = _address_space()
    answers.write(_READY)
    answers.flush()
    while head := source.read(8):
        request = json.loads(source.read(_size(head)))
        data = source.read(_size(source.read(8)))
        _bound(own + _MEMORY + _MULTIPLE * len(data))
        path = request.pop("path")
        try:
            made, told = native.encode(path, network_of(path, data, **request)), None
        except WeightsError as error:
            made, told = b"", str(error)
        except MemoryError:
            made, told = b"", f"{path}: takes more memory than its size explains"
        _send(answers, told, made)


def _address_space() -> int:
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _bound(size: int) -> None:
    """Bounds the memory of this process, where the system can."""
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (size, hard))


if __name__ == "__main__":
    _answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get in between
    _serve(sys.stdin.buffer, _answers)
