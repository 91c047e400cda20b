"""Downloads through a real web process: sent as they are made, and no thread is lost to a client that does not read."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from contributions.models import Contribution
from groups.models import User
from tests.support.factories import API, START, account, make_checkpoint, make_group
from tests.support.waiting import wait_for
from tests.support.web import Served, served

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.system]
ROWS = 5_000  # some 2 MB, more than is made for a client that does not read
SLOW = "127.0.0.2"  # the address of a client that does not read


def fill() -> None:
    make_checkpoint()
    make_group(1, members=(1,))
    user = User.objects.get(wallet_address=account(1))
    rows = [
        Contribution(
            group_id=1, user=user, round=number, amount=number, tx_hash=f"{number:064x}", ledger=number,
            event_id=f"{number << 32:019d}-0000000000", created_at=START,
        )
        for number in range(1, ROWS + 1)
    ]  # fmt: skip
    Contribution.objects.bulk_create(rows, batch_size=2_000)


def test_a_long_statement_arrives_whole_beside_a_client_that_does_not_read(tmp_path: Path) -> None:
    """Breaks where its parts are joined first: then it has a length, and is held whole."""
    fill()
    path = f"{API}users/{account(1)}/statement/"
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    with served(tmp_path, WEB_THREADS="4") as web:
        with socket.socket() as idle, web.connect(source=SLOW) as other:
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # the kernel keeps little for it
            idle.bind((SLOW, 0))
            idle.connect(("127.0.0.1", web.port))
            idle.sendall(request)
            assert idle.recv(12) == b"HTTP/1.1 200"
            answer = web.get(path)
            assert answer.headers["Transfer-Encoding"] == "chunked"
            assert "Content-Length" not in answer.headers
            body = answer.json()
            assert [row["round"] for row in body["results"]] == list(range(1, ROWS + 1))
            assert body["totals"][0]["paid"] == str(ROWS * (ROWS + 1) // 2)
            assert all(web.get(f"{API}groups/").status_code == 200 for _ in range(5))
            other.sendall(request)
            assert other.recv(12) == b"HTTP/1.1 503"  # it has not taken the first one
        wait_for(lambda: is_served(web, request), what="its place is free again once it is gone")
        assert len(web.get(f"{path}?format=csv").text.splitlines()) == ROWS + 1


def is_served(web: Served, request: bytes) -> bool:
    """Tell whether the client that does not read is sent one again."""
    with web.connect(source=SLOW) as client:
        client.sendall(request)
        return client.recv(12) == b"HTTP/1.1 200"
