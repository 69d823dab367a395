"""A live page on loopback: HTML once, then its parts as they change (server-sent events)."""

import argparse
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from beam_rnn.report import Page, articles, page, parts
from pipelines.job import Refused

PORT = 8470
EVERY = 1.0  # seconds between two looks at what has changed
READERS = 16  # connections that follow at the same time
PATIENCE = 2.0  # seconds in which readers take the last of it when the job has ended

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Address(NamedTuple):
    """Where a page is served."""

    host: str
    port: int


def add_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--serve``."""
    parser.add_argument(
        "--serve",
        type=address_of,
        nargs="?",
        const=Address(LOOPBACK[0], PORT),
        metavar="PORT",
        help=f"show a live page while it runs, on this machine alone (default port: {PORT}); "
        "HOST:PORT shows it to whoever reaches that address",
    )


def address_of(text: str) -> Address:
    """``PORT`` on loopback, or ``HOST:PORT``.

    Raises:
      argparse.ArgumentTypeError: it is neither.
    """
    host, colon, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535 or (colon and not host):
        raise argparse.ArgumentTypeError(f"{text} is neither a port nor HOST:PORT")
    return Address(host.strip("[]") or LOOPBACK[0], int(port))


class _Feed:
    """The page's parts and articles as HTML, made at most once a period for all readers."""

    def __init__(self, look: Callable[[], Page]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._at = -EVERY
        self._made: tuple[dict[str, str], dict[str, str]] = {}, {}
        self.over = threading.Event()

    def page(self) -> str:
        with self._lock:
            return page(self._look(), live="events")

    def now(self) -> tuple[dict[str, str], dict[str, str]]:
        over = self.over.is_set()
        with self._lock:
            if over or time.monotonic() - self._at >= EVERY / 2:
                shown = self._look()
                self._made = parts(shown), articles(shown, shown.sections)
                self._at = time.monotonic()
            return self._made


class Server:
    """Serves a page until the job ends.

    Args:
      address: where; port 0 takes one that is free.
      look: gives the page as it is now; called by one thread at a time.

    Raises:
      Refused: nothing can be served there.
    """

    def __init__(self, address: Address, look: Callable[[], Page]) -> None:
        self._feed = _Feed(look)
        handler = type("Handler", (_Handler,), {"feed": self._feed, "host": address.host})
        try:
            self._server = ThreadingHTTPServer(tuple(address), handler)
        except OSError as error:
            raise Refused(
                f"nothing can be served at {address.host}:{address.port}"
                f" ({error.strerror or error}): name another port with --serve"
            ) from None
        self._server.daemon_threads = True
        self.url = f"http://{address.host}:{self._server.server_port}/"

    @contextmanager
    def running(self) -> Iterator["Server"]:
        """Serves while the block runs; then readers get the last of it."""
        thread = threading.Thread(target=self._server.serve_forever, name="serve", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._feed.over.set()
            end = time.monotonic() + PATIENCE
            while _Handler.readers_of(self._feed) and time.monotonic() < end:
                time.sleep(0.02)
            self._server.shutdown()
            self._server.server_close()
            thread.join()


_readers: dict[_Feed, int] = {}
_counting = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    """One request: the page, or its events. Everything else is refused."""

    feed: _Feed
    host: str

    @staticmethod
    def readers_of(feed: _Feed) -> int:
        with _counting:
            return _readers.get(feed, 0)

    def do_GET(self) -> None:
        # A page elsewhere whose name leads here must not read it (DNS rebinding).
        asked = (self.headers.get("Host") or "").rpartition(":")[0].strip("[]")
        if self.host in LOOPBACK and asked not in LOOPBACK:
            self.send_error(421)
        elif self.path == "/":
            self._send_head("text/html; charset=utf-8")
            self.wfile.write(self.feed.page().encode())
        elif self.path == "/events":
            self._follow()
        else:
            self.send_error(404)

    def _send_head(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()

    def _follow(self) -> None:
        with _counting:
            many = _readers.get(self.feed, 0) >= READERS
            if not many:
                _readers[self.feed] = _readers.get(self.feed, 0) + 1
        if many:
            self.send_error(503, "too many readers")
            return
        try:
            self._send_head("text/event-stream")
            with contextlib.suppress(OSError):  # the reader has gone
                self._send_changes()
        finally:
            with _counting:
                _readers[self.feed] -= 1

    def _send_changes(self) -> None:
        sent: dict[tuple[str, str], int] = {}
        over = False
        while not over:
            over = self.feed.over.wait(EVERY if sent else 0)
            changed: dict[str, dict[str, str]] = {}
            for what, made in zip(("parts", "articles"), self.feed.now(), strict=True):
                own = changed[what] = {}
                for name, html in made.items():
                    if sent.get((what, name)) != hash(html):
                        sent[what, name] = hash(html)
                        own[name] = html
            self._send("parts", json.dumps(changed))
        self._send("ended", "")

    def _send(self, event: str, data: str) -> None:
        self.wfile.write(f"event: {event}\ndata: {data}\n\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing: the terminal belongs to the job."""
