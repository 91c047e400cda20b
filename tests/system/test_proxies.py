"""Spellings of a proxy's forwarding header that WSGI cannot tell apart, sent by a client over granian."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from django.db import connection

from devtools.stack.process import ManagedProcess, free_port
from tests.support.factories import API, make_checkpoint, make_group

pytestmark = [pytest.mark.system, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A web process that takes this test for its trusted proxy."""
    database, port = connection.settings_dict, free_port()
    make_checkpoint()
    make_group(1)
    env = os.environ | {
        "DATABASE_URL": f"postgres://{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
        f"/{database['NAME']}",
        "PORT": str(port),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "TRUSTED_PROXIES": "127.0.0.1",
        "CLIENT_ADDRESS_HEADER": "Clientaddress",
        "READ_RATE": "5/day",
        "WEB_WORKERS": "2",
    }
    web = ManagedProcess("web", [sys.executable, "-m", "ajo.web"], tmp_path / "web.log", env=env)
    try:
        web.start()
        web.wait_until(lambda: is_up(port))
        yield f"http://127.0.0.1:{port}{API}"
    finally:
        web.stop()


def is_up(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health/live", timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize("path", ["groups/1/", "status/"])
def test_no_other_spelling_passes_by_the_rate_of_a_client(url: str, path: str) -> None:
    """As a proxy in Go hands it on: its own header, and whatever the client sent that is spelled otherwise."""
    statuses = []
    for number in range(8):
        made_up = f"203.0.113.{number}"
        headers = {"Clientaddress": "198.51.100.7", "X-Forwarded-For": made_up, "X_Forwarded_For": made_up}
        statuses.append(requests.get(url + path, headers=headers | {"Client_address": made_up}, timeout=20).status_code)
    assert statuses == [200] * 5 + [429] * 3
    assert requests.get(url + path, headers={"Clientaddress": "198.51.100.8"}, timeout=20).status_code == 200
