"""Serve a WSGI application by granian's RSGI interface, which shows header names as they were sent.

granian's own WSGI interface writes the value of `X_Forwarded_For` over that of `X-Forwarded-For`, for both have one
name in WSGI. Here names with underscores are dropped, as nginx, Apache and gunicorn do. `spawn` is granian's
`spawn_target`: what runs in each web process.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from granian._granian import CallbackScheduler, RSGIProtocolClosed, RSGIWorker
from granian._signals import set_loop_signals
from granian.server.common import WORKERS_METHODS
from granian.server.mp import WorkerProcess

from ajo.webserver.pacing import MAX_UNDELIVERED, ConnectionClosed, Pace

Headers = list[tuple[str, str]]
StartResponse = Callable[[str, Headers], object]
WsgiApplication = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

# A body's arrival is told by a thread of the pool, while another waits for it.
MIN_THREADS: Final = 2
_CONSTANTS: Final = {
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "Granian",
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multiprocess": True,
    "wsgi.multithread": True,
    "wsgi.run_once": False,
    "wsgi.version": (1, 0),
}


class Gateway:
    """Answers granian's requests by a WSGI application, each on the thread of the pool on which granian calls it."""

    def __init__(self, application: WsgiApplication, loop: asyncio.AbstractEventLoop) -> None:
        self._application = application
        self._loop = loop

    def __call__(self, watcher: Any) -> None:
        """Answer one request. Raise nothing: granian calls this without looking; it logs what `err` is given."""
        try:
            self._answer(watcher.scope, watcher.proto)
        except BaseException as failure:
            watcher.err(failure)

    def _answer(self, scope: Any, protocol: Any) -> None:
        started: list[Any] = []
        environ = environ_of(scope) | {"wsgi.input": RequestBody(protocol, self._loop)}
        body = self._application(environ, lambda *given: started.extend(given))
        try:
            if isinstance(body, list):
                protocol.response_bytes(int(started[0][:3]), started[1], b"".join(body))
            else:
                self._stream(protocol, started, iter(body), environ)
        finally:
            close = getattr(body, "close", None)
            if close:
                close()

    def _stream(self, protocol: Any, started: list[Any], parts: Iterator[bytes], environ: dict[str, Any]) -> None:
        """Send an answer part by part: more is made when the client has taken most of it. Stop if the client goes.

        A failure before the first part is a 500; a later one ends the answer as if it were whole.
        """
        first = next(parts, b"")
        transport = protocol.response_stream(int(started[0][:3]), started[1])
        address, port, own_port = (environ[name] for name in ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_PORT"))
        sent, pace = 0, None
        try:
            for part in chain([first], parts):
                asyncio.run_coroutine_threadsafe(_send(transport, part), self._loop).result()
                sent += len(part)
                if sent > MAX_UNDELIVERED:
                    pace = pace or Pace(address, int(port), int(own_port))
                    pace.wait()
        except (RSGIProtocolClosed, ConnectionClosed):
            return


async def _send(transport: Any, part: bytes) -> None:
    await transport.send_bytes(part)


class RequestBody:
    """WSGI's `wsgi.input`, as far as ajo/edge/request_bodies.py needs it: it is read once."""

    def __init__(self, protocol: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._protocol = protocol
        self._loop = loop

    def read(self, size: int = -1) -> bytes:
        """Return the whole body, whatever `size`; an empty one where the client went before it had sent it.

        The client bounds it by its Content-Length, which the caller has checked.
        """
        try:
            body: bytes = asyncio.run_coroutine_threadsafe(self._received(), self._loop).result()
        except RSGIProtocolClosed:
            return b""
        return body

    async def _received(self) -> bytes:
        body: bytes = await self._protocol()
        return body


def environ_of(scope: Any) -> dict[str, Any]:
    """Return WSGI's environment of a request, without `wsgi.input` and without headers that have an underscore."""
    path, query = scope.path, scope.query_string
    environ: dict[str, Any] = {
        **_CONSTANTS,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": path if path.isascii() else path.encode().decode("latin-1"),
        "QUERY_STRING": query if query.isascii() else query.encode().decode("latin-1"),
        "wsgi.url_scheme": scope.scheme,
    }
    environ["SERVER_NAME"], environ["SERVER_PORT"] = _address_and_port(scope.server)
    environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = _address_and_port(scope.client)
    headers = scope.headers
    values: dict[str, str] = {}
    for name, value in headers.items():
        values[name] = value if name not in values else f"{values[name]}{';' if name == 'cookie' else ','}{value}"
    if len(values) < len(headers):  # some values are not of visible ASCII: that they were sent is not to be hidden
        values |= {name: "" for name in headers if name not in values}
    for name, value in values.items():
        if key := wsgi_name(name):
            environ[key] = value
    if "HTTP_HOST" not in environ:  # HTTP/2 has it in the request's target
        environ["HTTP_HOST"] = scope.authority or ""
    return environ


@lru_cache(maxsize=1024)
def wsgi_name(header: str) -> str:
    """Return what WSGI's environment calls a header; empty for one whose name another could be taken for."""
    if "_" in header:
        return ""
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"


@lru_cache(maxsize=1024)
def _address_and_port(peer: str) -> tuple[str, str]:
    """Split `192.0.2.1:80` and `[2001:db8::1]:80`."""
    address, _, port = peer.rpartition(":")
    return address.strip("[]"), port


class ThreadScheduler(CallbackScheduler):
    """granian's way from its Rust into Python: it calls the gateway where others hand over to an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, gateway: Gateway, *unused: Any) -> None:
        super().__init__()
        self._schedule_fn = gateway


@WorkerProcess.wrap_target  # type: ignore[untyped-decorator]
def spawn(
    worker_id: int,
    application: WsgiApplication,
    sock: Any,
    ipc: Any,
    loop: asyncio.AbstractEventLoop,
    runtime_mode: Any,
    runtime_threads: int,
    runtime_blocking_threads: int | None,
    blocking_threads: int,
    *options: Any,
) -> None:
    """Serve `application` in a web process until a signal. `options` are those of granian's own spawners, in order."""
    idle, backpressure, _task_impl, http_mode, http1, http2, _websockets, static, _log, tls, _scope, metrics = options
    shutdown, stopped = set_loop_signals(loop), asyncio.Event()  # type: ignore[no-untyped-call]
    shutdown.add_cb(lambda: loop.call_soon_threadsafe(stopped.set))
    threads = max(MIN_THREADS, blocking_threads)
    worker_class: Any = RSGIWorker  # granian's stub lacks arguments
    worker = worker_class(
        worker_id, sock, ipc, runtime_threads, runtime_blocking_threads, threads, idle, backpressure,
        http_mode, http1, http2, False, static, *tls, metrics,
    )  # fmt: skip
    serve = getattr(worker, WORKERS_METHODS[runtime_mode][(sock[0] or sock[1]).is_uds()])
    serve(ThreadScheduler(loop, Gateway(application, loop), None, None, None), loop, shutdown)
    loop.run_until_complete(stopped.wait())
