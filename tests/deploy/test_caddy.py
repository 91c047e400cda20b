"""A real Caddy before the service: nobody chooses the address or the scheme that Ajo believes.

It runs the shipped sample, deploy/caddy/Caddyfile, on plain http: certificates are Caddy's own business.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests

from ajo.settings import BASE_DIR
from devtools.stack.process import ManagedProcess, free_port
from tests.support.waiting import wait_for

CLIENT = "127.0.2.7"  # the proxy itself asks from another
SAMPLE = BASE_DIR / "deploy" / "caddy" / "Caddyfile"


@dataclass(frozen=True)
class Front:
    url: str
    log: Path

    def client_of(self, headers: dict[str, str]) -> str:
        """The client's address in the access log of a request with these headers."""
        asking = HTTPConnection(self.url.removeprefix("http://"), timeout=20, source_address=(CLIENT, 0))
        with closing(asking):
            asking.request("GET", "/health/live", headers=headers)
            answer = asking.getresponse()
            assert answer.status == 200
            request_id = str(answer.headers["X-Request-ID"])
        line = wait_for(lambda: logged(self.log, request_id), what="its log line")
        return str(line["client"])


def logged(log: Path, request_id: str) -> dict[str, Any]:
    """The access log's line of this request, or nothing."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if f'"{request_id}"' in line]
    return lines[0] if lines else {}


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    home, port, origin = tmp_path_factory.mktemp("caddy"), free_port(), free_port()
    text = SAMPLE.read_text()
    for old, new in {
        "ajo.example {": f"{{\n\tadmin off\n}}\n\nhttp://127.0.0.1:{port} {{",
        "127.0.0.1:8000": f"127.0.0.1:{origin}",
    }.items():
        assert old in text
        text = text.replace(old, new)
    (home / "Caddyfile").write_text(text)
    env = os.environ | {
        "PORT": str(origin), "PUBLIC_URL": f"http://127.0.0.1:{port}", "TRUSTED_PROXIES": "127.0.0.1",
        "ACCESS_LOG": "on", "WEB_WORKERS": "1", "HOME": str(home),
    }  # fmt: skip
    web = ManagedProcess("web", [sys.executable, "-m", "ajo.web"], home / "web.log", env=env)
    argv = ["caddy", "run", "--adapter", "caddyfile", "--config", str(home / "Caddyfile")]
    caddy = ManagedProcess("caddy", argv, home / "caddy.log", env=env)
    try:
        web.start()
        caddy.start()
        caddy.wait_until(lambda: is_live(f"http://127.0.0.1:{port}"))
        yield Front(f"http://127.0.0.1:{port}", home / "web.log")
    finally:
        caddy.stop()
        web.stop()


def is_live(url: str) -> bool:
    try:
        return requests.get(f"{url}/health/live", timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-For", "X_Forwarded_For", "X-Forwarded_For", "x_forwarded-for", "Forwarded"],
)
def test_no_header_of_a_client_names_another(front: Front, header: str) -> None:
    assert front.client_of({header: "192.0.2.7"}) == CLIENT


def test_metrics_are_not_for_the_world(front: Front) -> None:
    assert requests.get(f"{front.url}/metrics", timeout=20).status_code == 404


def test_answers_are_compressed(front: Front) -> None:
    answer = requests.get(f"{front.url}/api/v1/schema/", headers={"Accept-Encoding": "gzip"}, timeout=20)
    assert (answer.status_code, answer.headers["Content-Encoding"]) == (200, "gzip")
