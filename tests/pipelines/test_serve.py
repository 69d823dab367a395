"""The live page: what it sends, and to whom."""

import argparse
import http.client
import json
from typing import Any

import pytest

from beam_rnn.report import Page, Piece, Section
from pipelines.job import Refused
from pipelines.serve import Address, Server, address_of


class Shown:
    pages = Page("Live", sections=[Section("a", [Piece("<b>Anne")])], figures=[("1", "streams")])

    def look(self) -> Page:
        return self.pages


def server() -> Server:
    return Server(Address("127.0.0.1", 0), Shown().look)


def get(url: str, path: str, host: str | None = None) -> tuple[int, Any, bytes]:
    port = int(url.rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Host": host} if host else {})
    response = connection.getresponse()
    return response.status, response.headers, response.read() if path != "/events" else b""


def test_the_page_and_nothing_else() -> None:
    with server().running() as served:
        status, headers, body = get(served.url, "/")
        assert status == 200
        assert b"&lt;b&gt;Anne" in body
        assert b"<b>" not in body
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert b"connect-src 'self'" in body
        assert get(served.url, "/../setup.py")[0] == 404


def test_another_name_for_this_machine_is_refused() -> None:
    with server().running() as served:
        assert get(served.url, "/", "evil.example:80")[0] == 421
        assert get(served.url, "/events", "evil.example")[0] == 421
        port = served.url.rstrip("/").rpartition(":")[2]
        assert get(served.url, "/", f"localhost:{port}")[0] == 200


def test_what_changes_is_sent_and_then_that_it_has_ended() -> None:
    shown = Shown()
    served = Server(Address("127.0.0.1", 0), shown.look)
    with served.running():
        port = int(served.url.rstrip("/").rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/events")
        stream = connection.getresponse()

        def event() -> tuple[str, str]:
            name, data, _ = (stream.readline().decode() for _ in range(3))
            return name.removeprefix("event: ").strip(), data.removeprefix("data: ").strip()

        first = json.loads(event()[1])
        assert set(first["parts"]) == {"figures", "charts", "failures"}
        assert "&lt;b&gt;Anne" in first["articles"]["a"]
        shown.pages = Page("Live", sections=[*Shown.pages.sections, Section("b", [])])
        changed: dict[str, str] = {}
        while not changed:
            sent = json.loads(event()[1])
            changed = sent["articles"]
        assert list(changed) == ["b"]
        served._feed.over.set()  # as when the job ends
        names = []
        while not names or names[-1] != "ended":
            names.append(event()[0])


def test_a_port_that_is_taken() -> None:
    with server().running() as served:
        port = int(served.url.rstrip("/").rpartition(":")[2])
        with pytest.raises(Refused, match="name another port with --serve"):
            Server(Address("127.0.0.1", port), Shown().look)


def test_addresses() -> None:
    assert address_of("8000") == Address("127.0.0.1", 8000)
    assert address_of("0.0.0.0:8000") == Address("0.0.0.0", 8000)
    assert address_of("[::1]:80") == Address("::1", 80)
    for wrong in ("", "x", ":80", "1:99999", "-1"):
        with pytest.raises(argparse.ArgumentTypeError, match="neither"):
            address_of(wrong)
