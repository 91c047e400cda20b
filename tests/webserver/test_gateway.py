"""WSGI's environment and answers over granian's RSGI: a real web process that echoes what it is given."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.echo import LONG_PART, LONG_PARTS
from tests.support.waiting import wait_for
from tests.support.web import Served, served

pytestmark = pytest.mark.django_db
GET = b"GET /a%20b/%C3%A9?x=%C3%A9&y HTTP/1.1\r\nHost: example.org:81\r\n"


@pytest.fixture(scope="module")
def echo(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("web"), module="tests.support.echo", WEB_THREADS="1") as running:
        yield running


def environ_of(echo: Served, request: bytes) -> dict[str, Any]:
    answer = echo.ask(request)
    assert answer.startswith(b"HTTP/1.1 200")
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


def test_the_environment_is_what_wsgi_says(echo: Served) -> None:
    headers = b"Content-Type: text/plain\r\nCookie: a=1\r\nCookie: b=2\r\nAccept: x\r\nX-More: 1\r\nX-More: 2\r\n\r\n"
    with socket.create_connection(("127.0.0.1", echo.port), source_address=("127.0.3.1", 0)) as client:
        remote_port = client.getsockname()[1]
        client.sendall(GET + headers)
        found = json.loads(client.recv(2**16).partition(b"\r\n\r\n")[2])
    assert found == {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "Granian",
        "SCRIPT_NAME": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(echo.port),
        "REMOTE_ADDR": "127.0.3.1",
        "REMOTE_PORT": str(remote_port),
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/a b/é".encode().decode("latin-1"),
        "QUERY_STRING": "x=%C3%A9&y",
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "example.org:81",
        "HTTP_ACCEPT": "x",
        "HTTP_COOKIE": "a=1;b=2",
        "HTTP_X_MORE": "1,2",
        "CONTENT_TYPE": "text/plain",
        "body": "",
    }


def test_names_with_an_underscore_are_dropped(echo: Served) -> None:
    """Breaks on granian's WSGI, where the last of both spellings is the value."""
    for spellings in (("X-Forwarded-For", "X_Forwarded_For"), ("X_Forwarded-For", "X-Forwarded-For")):
        lines = b"".join(b"%s: %s\r\n" % (name.encode(), name.encode()) for name in (*spellings, "Content_Type"))
        found = environ_of(echo, GET + lines + b"\r\n")
        assert found["HTTP_X_FORWARDED_FOR"] == "X-Forwarded-For"
        assert not {"CONTENT_TYPE", "HTTP_CONTENT_TYPE"} & found.keys()


def test_that_a_header_was_sent_is_told_where_its_value_cannot_be(echo: Served) -> None:
    """Who asks whether a request was forwarded (/metrics) is not to be deceived by a byte."""
    found = environ_of(echo, GET + b"X-Forwarded-For: \xff\r\nX-More: 1\r\nX-More: 2\r\nX-Odd: \xff\r\n\r\n")
    assert (found["HTTP_X_FORWARDED_FOR"], found["HTTP_X_MORE"], found["HTTP_X_ODD"]) == ("", "1,2", "")


def test_a_body_is_read_where_there_is_one_thread(echo: Served) -> None:
    """Breaks with one thread in granian's pool: the body's arrival waits for the thread that waits for it."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
    assert environ_of(echo, head + b"abcde")["body"] == "abcde"
    with echo.connect() as client:
        client.sendall(head + b"ab")
        client.shutdown(socket.SHUT_WR)  # gone before the whole of it
        assert client.recv(2**16).endswith(b', "body": ""}\n')
    assert environ_of(echo, head + b"fghij")["body"] == "fghij"


def test_answers_keep_every_header_and_join_their_parts(echo: Served) -> None:
    head, _, body = echo.ask(GET + b"\r\n").partition(b"\r\n\r\n")
    assert b"set-cookie: a=1\r\nset-cookie: b=2" in head
    assert b"content-length: %d" % len(body) in head
    assert body.endswith(b"}\n")


def test_an_answer_of_any_length_is_sent_as_it_is_made(tmp_path: Path) -> None:
    """Breaks if parts were joined first: a statement of millions of rows would be held whole."""
    with served(tmp_path, module="tests.support.echo", WEB_THREADS="4") as running, running.connect() as client:
        client.sendall(b"GET /parts HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = b""
        while b"first" not in answer:
            answer += client.recv(2**16)
        assert b"content-length" not in answer.lower()
        assert b"second" not in answer
        assert running.ask(b"GET /go HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 200")
        while b"second" not in answer:
            answer += client.recv(2**16)


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_no_more_is_made_than_a_client_takes(tmp_path: Path, host: str) -> None:
    """Breaks if granian were given the whole of an answer: it would hold it for a client that reads slowly."""
    with served(tmp_path, module="tests.support.echo", WEB_THREADS="4", WEB_HOST=host) as running:
        with running.connect() as client:
            client.sendall(b"GET /long HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            counts = [-1, 0]
            while counts[-1] != counts[-2]:
                time.sleep(0.2)  # a part is made in far less
                counts.append(int(requests.get(f"http://127.0.0.1:{running.port}/made", timeout=20).text))
            assert 0 < counts[-1] * LONG_PART < 16 * 2**20
            size = 0
            while part := client.recv(2**20):
                size += len(part)
            assert size > LONG_PARTS * LONG_PART
        # a client that goes makes room
        with running.connect() as client:
            client.sendall(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
        assert environ_of(running, GET + b"\r\n")["REQUEST_METHOD"] == "GET"


def test_what_breaks_off_ends_and_is_logged(echo: Served) -> None:
    with echo.connect() as client:
        client.sendall(b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = b""
        while not answer.endswith(b"0\r\n\r\n"):
            answer += client.recv(2**16)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n5\r\nfirst\r\n0\r\n\r\n")
    wait_for(lambda: "ValueError: asked to break off" in echo.part.log.read_text(), what="the log")
    assert environ_of(echo, GET + b"\r\n")["REQUEST_METHOD"] == "GET"


def test_a_failure_is_500_and_logged(echo: Served) -> None:
    assert echo.ask(b"GET /failure HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 500")
    wait_for(lambda: "ValueError: asked to fail" in echo.part.log.read_text(), what="the log")
    assert environ_of(echo, GET + b"\r\n")["REQUEST_METHOD"] == "GET"


def test_http2_names_its_host_in_the_target(tmp_path: Path) -> None:
    """It is off by default. A request by hand: the static table's GET, http and `/`, and an authority in letters."""
    with served(tmp_path, module="tests.support.echo", WEB_HTTP2="on") as running, running.connect() as client:
        fields = b"\x82\x86\x84\x41\x07a.b:123"
        request = len(fields).to_bytes(3) + b"\1\5\0\0\0\1" + fields  # HEADERS, which end both headers and stream 1
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + request)
        received = b""
        while b"}\n" not in received:
            received += client.recv(2**16)
        found = json.loads(received[received.index(b"{") : received.index(b"}\n") + 1])
        assert (found["HTTP_HOST"], found["SERVER_PROTOCOL"], found["PATH_INFO"]) == ("a.b:123", "HTTP/2", "/")
