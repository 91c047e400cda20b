"""A web process as `python -m ajo.web` starts it, and clients that write to its sockets themselves."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import requests
from django.db import connection

from devtools.stack.process import ManagedProcess, free_port
from tests.support.waiting import wait_for


@dataclass
class Served:
    """A web process and its port."""

    port: int
    part: ManagedProcess

    @property
    def workers(self) -> list[psutil.Process]:
        """Return the processes that serve, oldest first."""
        assert self.part.process is not None
        return sorted(psutil.Process(self.part.process.pid).children(), key=lambda each: each.create_time())

    def is_live(self, timeout: float = 2) -> bool:
        """Tell whether a new connection is answered."""
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/health/live", timeout=timeout).status_code == 200
        except requests.RequestException:
            return False

    def get(self, path: str, cookies: dict[str, str] | None = None) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=40, cookies=cookies)

    def connect(self, *, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=40, source_address=(source, 0))

    def ask(self, request: bytes) -> bytes:
        """Send bytes, and return what is answered until the connection closes or one piece has come."""
        with self.connect() as client:
            client.sendall(request)
            return client.recv(2**16)


def is_closed(client: socket.socket) -> bool:
    """Wait for one byte or the end, and tell whether the other side closed without an answer."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


@contextmanager
def served(home: Path, module: str = "ajo.web", **env: str) -> Iterator[Served]:
    """Start web processes on the tests' own servers, and yield them: the service's, or those that `module` starts."""
    database, port = connection.settings_dict, free_port()
    account = f"{database['USER']}:{quote(str(database['PASSWORD']))}"
    own = {
        "DATABASE_URL": f"postgres://{account}@{database['HOST']}:{database['PORT']}/{database['NAME']}",
        "PORT": str(port),
        "WEB_WORKERS": "1",
        "WEB_THREADS": "4",
    }
    own = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"} | own
    part = ManagedProcess("web", [sys.executable, "-m", module], home / "web.log", env=own | env)
    part.start()
    try:
        web = Served(port, part)
        wait_for(web.is_live, what="the web process")
        yield web
    finally:
        part.stop()
