"""Spellings of a proxy's forwarding headers that WSGI cannot tell apart, sent by a client over granian."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from django.db import connection

from devtools.stack.process import ManagedProcess, free_port
from tests.support.factories import API, make_checkpoint, make_group

pytestmark = [pytest.mark.system, pytest.mark.django_db(transaction=True)]
DEFAULT = "X-Forwarded-For"


@contextmanager
def web_behind_a_proxy(home: Path, **env: str) -> Iterator[str]:
    """Run a web process that takes this test for its trusted proxy, and yield its address."""
    database, port = connection.settings_dict, free_port()
    make_checkpoint()
    make_group(1)
    account = f"{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
    own = {
        "DATABASE_URL": f"postgres://{account}/{database['NAME']}",
        "PORT": str(port),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "TRUSTED_PROXIES": "127.0.0.1",
        "READ_RATE": "5/day",
        "WEB_WORKERS": "2",
    }
    web = ManagedProcess("web", [sys.executable, "-m", "ajo.web"], home / "web.log", env=os.environ | own | env)
    try:
        web.start()
        web.wait_until(lambda: is_up(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        web.stop()


def is_up(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health/live", timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize("path", ["groups/1/", "status/"])
@pytest.mark.parametrize("header", [DEFAULT, "Clientaddress"])
def test_no_other_spelling_passes_by_the_rate_of_a_client(tmp_path: Path, header: str, path: str) -> None:
    """As a proxy in Go hands it on: its own header, then, for they are sorted, what the client spelled otherwise."""
    env = {} if header == DEFAULT else {"CLIENT_ADDRESS_HEADER": header}
    with web_behind_a_proxy(tmp_path, **env) as address:

        def status(client: str, **others: str) -> int:
            return requests.get(address + API + path, headers={header: client} | others, timeout=20).status_code

        made_up = [f"203.0.113.{number}" for number in range(8)]
        others = [{"X_Forwarded_For": each, "x-Forwarded_For": each, "Client_address": each} for each in made_up]
        assert [status("198.51.100.7", **each) for each in others] == [200] * 5 + [429] * 3
        assert status("198.51.100.8") == 200


def test_no_other_spelling_makes_plain_http_pass_for_https(tmp_path: Path) -> None:
    """A redirect is what plain http gets."""
    with web_behind_a_proxy(tmp_path, PUBLIC_URL="https://127.0.0.1", READ_RATE="") as address:
        for path in (f"{API}groups/1/", "/admin/login/"):

            def status(proto: str, path: str = path, **others: str) -> int:
                headers = {"X-Forwarded-Proto": proto, DEFAULT: "198.51.100.7"} | others
                return requests.get(address + path, headers=headers, timeout=20, allow_redirects=False).status_code

            assert status("https") == 200
            assert status("http") == 301
            assert status("http", X_Forwarded_Proto="https") == 301
            assert status("https", X_Forwarded_Proto="http") == 200
