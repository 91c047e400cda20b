"""Downloads through a real web process: whole, and no thread is lost to a client that does not read."""

from __future__ import annotations

from pathlib import Path

import pytest

from contributions.models import Contribution
from groups.models import User
from tests.support.factories import API, START, account, make_checkpoint, make_group
from tests.support.waiting import wait_for
from tests.support.web import served

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.system]
ROWS = 5_000


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
    fill()
    path = f"{API}users/{account(1)}/statement/"
    with served(tmp_path, WEB_THREADS="4") as web:
        with web.connect(source="127.0.0.2") as idle:
            idle.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            assert idle.recv(12) == b"HTTP/1.1 200"
            answer = web.get(path)
            body = answer.json()
            assert [row["round"] for row in body["results"]] == list(range(1, ROWS + 1))
            assert body["totals"][0]["paid"] == str(ROWS * (ROWS + 1) // 2)
            assert all(web.get(f"{API}groups/").status_code == 200 for _ in range(5))
        # its place is free again once it is gone
        lines = wait_for(lambda: web.get(f"{path}?format=csv"), what="an answer").text.splitlines()
        assert len(lines) == ROWS + 1
