"""Proxies that a test puts in front of a server and switches: pass on, answer something else, delay, cut, hang, refuse.

`Proxy` speaks HTTP and stands before a Stellar RPC; `TcpProxy` passes bytes and stands before a Redis.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import requests

HANGS_FOR = 60  # seconds at most; a test that ends lets go


class NoAnswer(Exception):
    """Closes the connection without a byte."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `sent` is how many bytes of the body leave before the connection closes, None for all."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    sent: int | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request on its way: `call` is the decoded JSON-RPC request, `ended` is set when the fault is switched off."""

    call: dict[str, Any]
    forward: Callable[[], Reply]
    ended: threading.Event

    @property
    def method(self) -> str:
        return str(self.call.get("method"))

    def changed(self, change: Callable[[dict[str, Any]], None]) -> Reply:
        """Forward the request, and return its answer after `change` was applied to the decoded JSON."""
        reply = self.forward()
        answer = json.loads(reply.body)
        change(answer)
        return replace(reply, body=json.dumps(answer).encode())


Fault = Callable[[Exchange], Reply]


class Proxy:
    """Passes requests on to `upstream`, a URL; `met` counts those that a fault has met."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.met = 0
        self._fault: Fault | None = None
        self._ended = threading.Event()
        self._port = 0
        self._listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """Apply `fault` to every request while the block runs."""
        self.met, self._fault, self._ended = 0, fault, threading.Event()
        try:
            yield
        finally:
            self._fault = None
            self._ended.set()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse connections while the block runs, and close those that stand at their next request."""
        with self.failing(_closes):
            self._stop()
            try:
                yield
            finally:
                self._listen()

    def answer(self, body: bytes) -> Reply:
        def forward() -> Reply:
            headers = {"Content-Type": "application/json"}
            answer = requests.post(self.upstream, data=body, headers=headers, timeout=HANGS_FOR)
            return Reply(answer.content, answer.status_code)

        fault = self._fault
        if fault is None:
            return forward()
        self.met += 1
        return fault(Exchange(json.loads(body), forward, self._ended))

    def _listen(self) -> None:
        self._server = _Server(("127.0.0.1", self._port), _Handler)
        self._server.proxy = self
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def _stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._stop()


def _closes(exchange: Exchange) -> Reply:
    raise NoAnswer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    proxy: Proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up, as it should."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            reply = self.server.proxy.answer(body)
        except (NoAnswer, requests.RequestException):
            self.close_connection = True
            return
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body[: reply.sent])
        self.close_connection = self.close_connection or reply.sent is not None


class TcpProxy:
    """Passes bytes between its clients and a server. While `held`, nothing reaches the server; `waits` tells of it."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._open = threading.Event()
        self._open.set()
        self.waits = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def held(self) -> Iterator[None]:
        self.waits.clear()
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for source, sink, gated in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pump, args=(source, sink, gated), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, gated: bool) -> None:
        with suppress(OSError):  # either side may go at any time
            while data := source.recv(65_536):
                if gated and not self._open.is_set():
                    self.waits.set()
                    self._open.wait(HANGS_FOR)
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()  # the other direction's thread, which this has ended too, closes the other one

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.set()
        self._listener.close()
