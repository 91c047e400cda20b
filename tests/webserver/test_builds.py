"""Transactions built by real web processes, many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from stellar_sdk import TransactionEnvelope

from devtools.sandbox.sandbox import Sandbox
from tests.support.building import BUILD
from tests.support.sending import BOB, host_code, looked_up
from tests.support.web import Served
from tests.webserver.test_posts import chain, followed, url, web

__all__ = ["chain", "followed", "web"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_builds_at_once_are_all_answered_and_one_is_submitted(web: Served, followed: Sandbox) -> None:
    args = {"member": BOB.public_key, "group_id": "2"}
    body: Any = {"function": "join_group", "source": BOB.public_key, "args": args}

    def answered(_: int) -> requests.Response:
        """Post until there is a place: a busy machine may have none within the server's patience."""
        while (answer := requests.post(url(web, BUILD), json=body, timeout=60)).status_code == 503:
            assert "Retry-After" in answer.headers
        return answer

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(answered, range(40)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["sequence"] for answer in answers}) == 1
    envelope = TransactionEnvelope.from_xdr(answers[0].json()["xdr"], followed.chain.passphrase)
    envelope.sign(BOB)
    assert requests.post(url(web), data={"xdr": envelope.to_xdr()}, timeout=60).status_code == 202  # SEP-7's callback
    followed.chain.close_ledger()
    assert host_code(looked_up(followed, envelope)) == "SUCCESS"
    toml = requests.get(url(web, "/.well-known/stellar.toml"), timeout=60)
    assert f'NETWORK_PASSPHRASE="{followed.chain.passphrase}"' in toml.text
