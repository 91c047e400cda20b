"""Web processes against hostile connections: real processes, raw sockets."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ajo.webserver import connections, watchdog
from tests.support.waiting import wait_for
from tests.support.web import Served, is_closed, served

pytestmark = pytest.mark.django_db
LOGIN = b"POST /admin/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: csrftoken=" + b"a" * 32 + b"\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


@pytest.fixture(scope="module")
def site(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("web")) as running:
        yield running


def test_connections_that_say_nothing_keep_nobody_out_and_are_closed(site: Served) -> None:
    """Breaks without limits on connections: 1,100 of them take all places of two processes, at leisure."""
    with ExitStack() as clients:
        silent = [clients.enter_context(site.connect()) for _ in range(1_100)]
        assert site.is_live()
        began = time.monotonic()
        assert all(is_closed(client) for client in silent)
        assert time.monotonic() - began < connections.FIRST_BYTE_TIMEOUT + 5


def test_one_address_holds_its_share_of_connections_at_most(site: Served) -> None:
    """They are idle after an answer each: no deadline closes them, and those of another address stay."""
    with ExitStack() as clients:
        own = [clients.enter_context(site.connect()) for _ in range(connections.PER_CLIENT + 20)]
        other = clients.enter_context(site.connect(source="127.0.0.2"))
        for client in (other, *own):
            client.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert client.recv(2**16).startswith(b"HTTP/1.1 200")
        assert all(is_closed(client) for client in own[:20])
        for client in (other, own[-1]):
            client.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert client.recv(2**16).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "beginning", [b"GET /health/live HTTP/1.1\r\nHost: a\r\n", LOGIN + FORM + b"Content-Length: 99\r\n\r\n"]
)
def test_a_request_that_does_not_arrive_is_ended(site: Served, beginning: bytes) -> None:
    """A header or a body, of which a byte comes now and then."""
    with site.connect() as client:
        client.settimeout(1)
        client.sendall(beginning)
        began = time.monotonic()
        while time.monotonic() < began + connections.REQUEST_TIMEOUT + 10:
            try:
                if not client.recv(2**16):
                    break
            except TimeoutError:
                client.sendall(b"a")
            except ConnectionError:
                break
        assert time.monotonic() - began < connections.REQUEST_TIMEOUT + 5


@pytest.mark.parametrize(
    "path",
    [
        b"/admin/login/",
        b"/health/live",
        b"/metrics",
        b"/nowhere",
        b"/static/admin/css/base.css",
        b"/api/v1/groups/",
        b"/api/v1/transactions/",
    ],
)
def test_slow_bodies_leave_threads_for_everybody_else(site: Served, path: bytes) -> None:
    """Breaks without ajo/edge/request_bodies.py: sixteen of them hold every thread."""
    cookie = b"Cookie: csrftoken=" + b"a" * 32 + b"\r\n"
    beginning = b"POST " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + cookie + FORM + b"Content-Length: 99\r\n\r\na"
    with ExitStack() as clients:
        for number in range(16):
            client = clients.enter_context(site.connect(source=f"127.0.1.{number + 1}"))
            client.sendall(beginning)
        assert [site.is_live() for _ in range(4)] == [True] * 4


def test_one_client_sends_one_body_at_a_time(site: Served) -> None:
    """Breaks if it could hold all places: staff could not sign in."""
    with site.connect(source="127.0.2.1") as slow, site.connect(source="127.0.2.1") as another:
        slow.sendall(LOGIN + FORM + b"Content-Length: 99\r\n\r\na")
        refused = LOGIN + FORM + b"Content-Length: 9\r\n\r\nusername="
        wait_for(lambda: _answer(site, "127.0.2.1", refused).startswith(b"HTTP/1.1 503"), what="a place taken")
        assert b"retry-after: 2" in _answer(site, "127.0.2.1", refused)
        assert _answer(site, "127.0.2.2", refused).startswith(b"HTTP/1.1 403")  # by Django, which has read it
        another.close()


def _answer(site: Served, source: str, request: bytes) -> bytes:
    with site.connect(source=source) as client:
        client.sendall(request)
        return client.recv(2**16)


def test_readers_who_do_not_read_leave_threads_for_everybody_else(site: Served) -> None:
    """Breaks if granian got an answer in parts: each would hold a thread until its client has taken most of it."""
    big = (
        b"GET /static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    )
    with ExitStack() as clients:
        for _ in range(8):
            client = clients.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", site.port))
            client.sendall(big * 4)
        time_out = 5
        assert [site.is_live(time_out) for _ in range(4)] == [True] * 4


def test_http2_is_off(site: Served) -> None:
    """Its headers unfold: 8 KB to 16 MB."""
    answer = site.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
    assert b"\0\0" not in answer[:9]  # no SETTINGS frame


def test_http2_is_spoken_where_it_is_asked_for(tmp_path: Path) -> None:
    with served(tmp_path, WEB_HTTP2="on") as running:
        assert running.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")[3:4] == b"\4"


def test_a_header_that_is_too_large_is_431(site: Served) -> None:
    head = b"GET /api/v1/groups/ HTTP/1.1\r\nHost: 127.0.0.1\r\nIf-None-Match: "
    assert site.ask(head + b'"a", ' * 4_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431")
    assert site.ask(head + b'"a", ' * 1_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Content-Length: 300000\r\n", b"413"),
        (b"Content-Length: 99999999999999999\r\n", b"413"),
        (b"Transfer-Encoding: chunked\r\n", b"411"),
    ],
)
def test_a_body_that_cannot_be_taken_is_refused_before_it_comes(site: Served, headers: bytes, status: bytes) -> None:
    assert site.ask(LOGIN + FORM + headers + b"\r\n").split(b" ")[1] == status


def test_an_upload_is_refused_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    """Breaks without ajo/webserver/uploads.py: anybody with a cookie of his own making fills the temporary folder."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    part = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + b"a" * 200_000
    with served(tmp_path, TMPDIR=str(temporary)) as running, running.connect() as client:
        head = LOGIN + b"Content-Type: multipart/form-data; boundary=x\r\n"
        client.sendall(head + b"Content-Length: %d\r\n\r\n" % (len(part) + 7) + part + b"\r\n--x--")
        assert client.recv(2**16).startswith(b"HTTP/1.1 400")
        assert list(temporary.glob("*.upload*")) == []


def test_a_web_process_that_hangs_is_replaced(tmp_path: Path) -> None:
    """Breaks without ajo/webserver/watchdog.py: the kernel goes on giving it every other connection."""
    with served(tmp_path, WEB_WORKERS="2") as running:
        first, second = running.workers
        first.send_signal(signal.SIGSTOP)
        seconds = watchdog.MAX_MISSED_BEATS + 20
        wait_for(lambda: first not in running.workers and len(running.workers) == 2, seconds, "another process")
        assert second in running.workers
        wait_for(lambda: all(running.is_live() for _ in range(10)), what="every connection answered")


def test_a_process_whose_threads_are_all_stuck_is_one_that_hangs() -> None:
    entered, release = threading.Barrier(3), threading.Event()

    def application(environ: dict[str, object], start_response: object) -> list[bytes]:
        entered.wait(10)
        release.wait(10)
        return []

    requests = watchdog.Requests(application, threads=2)
    threads = [threading.Thread(target=requests, args=({}, None)) for _ in range(2)]
    for thread in threads:
        thread.start()
    entered.wait(10)
    now = time.monotonic()
    assert not requests.are_stuck(now + watchdog.STUCK_AFTER / 2)
    assert requests.are_stuck(now + watchdog.STUCK_AFTER + 1)
    release.set()
    for thread in threads:
        thread.join()
    assert not requests.are_stuck(now + watchdog.STUCK_AFTER + 1)
