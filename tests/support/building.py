"""Builds over HTTP, wallets that sign outside, and a sandbox of accounts and groups to build for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from pytest_django import Settings
from stellar_sdk import Keypair, TransactionEnvelope

from ajo.soroban.models import ChainTransaction
from ajo.soroban.rpc.pool import nodes
from ajo.transactions import fees, state
from devtools.sandbox.network import BASE_RESERVE
from devtools.sandbox.sandbox import Sandbox
from tests.support.faults import when
from tests.support.nodes import use_nodes
from tests.support.proxy import Proxy
from tests.support.sending import ALICE, AMOUNT, BOB, CAROL, host_code, looked_up, send

BUILD = "/api/v1/transactions/build/"
PREPARE = "/api/v1/transactions/prepare/"
CLIENT = Client()


@pytest.fixture
def building(db: None, settings: Settings) -> Iterator[Sandbox]:
    """Start a chain with three funded accounts and a group of Alice's, group 1, with room for two more."""
    with Sandbox(base_reserve=BASE_RESERVE) as running:
        chain = running.chain
        settings.STELLAR_NETWORK_PASSPHRASE = chain.passphrase
        settings.AJO_CONTRACT_ID = running.contract
        settings.SOROBAN_RPC_URL = [running.url]
        settings.RPC_RETRIES = 0
        forget()
        for each in (ALICE, BOB, CAROL):
            chain.fund(each.public_key)
        make_group(running)
        chain.close_ledger()
        yield running
        forget()


def make_group(sandbox: Sandbox, token: str = "", members: int = 3) -> None:
    """Create a group of Alice's in the open ledger."""
    token = token or sandbox.chain.token
    sandbox.chain.call(ALICE.public_key, "create_group", ALICE.public_key, token, AMOUNT, 3600, members, 0, 0, 0)


def forget() -> None:
    """Forget what the process knows of nodes and of the network."""
    nodes.cache_clear()
    state._settings.clear()
    fees._bids.clear()


def post(path: str, body: Any) -> Any:
    """Post JSON; return the response."""
    return CLIENT.post(path, json.dumps(body), content_type="application/json")


def built(function: str, source: Keypair, /, *, status: int = 200, more: Any = None, **args: Any) -> Any:
    """Build a call and return the answer's JSON, after its status was checked."""
    body = {"function": function, "source": source.public_key, "args": args} | (more or {})
    answer = post(BUILD, body)
    assert answer.status_code == status, answer.content
    return answer.json()


def join(member: Keypair = BOB, *, status: int = 200, **more: Any) -> Any:
    """Build a member's joining of group 1 that it pays itself."""
    return built("join_group", member, status=status, more=more, member=member.public_key, group_id="1")


def opened(answer: Any) -> TransactionEnvelope:
    """Return the envelope of a build's answer."""
    return TransactionEnvelope.from_xdr(answer["xdr"], settings.STELLAR_NETWORK_PASSPHRASE)


def signed(answer: Any, *keys: Keypair) -> TransactionEnvelope:
    """Sign what was built, as wallets do."""
    envelope = opened(answer)
    for key in keys:
        envelope.sign(key)
    return envelope


def applied(sandbox: Sandbox, *envelopes: TransactionEnvelope) -> list[str]:
    """Send signed envelopes, close a ledger; return the host's codes."""
    for envelope in envelopes:
        assert send(sandbox, envelope)["status"] == "PENDING"
    sandbox.chain.close_ledger()
    return [host_code(looked_up(sandbox, envelope)) for envelope in envelopes]


def stored(answer: Any, *keys: Keypair, **columns: Any) -> ChainTransaction:
    """Store what was built as submitted: its row, without sending it."""
    envelope = signed(answer, *keys)
    bounds: Any = envelope.transaction.preconditions
    columns = {"status": "pending", "next_attempt_at": "2026-01-01T00:00:00Z"} | columns
    return ChainTransaction.objects.create(
        hash=envelope.hash_hex(),
        xdr=envelope.to_xdr(),
        function=answer["function"],
        source=answer["source"],
        sequence=int(answer["sequence"]),
        max_time=bounds.time_bounds.max_time,
        max_fee=int(answer["fee"]["max"]),
        submitted_ledger=1,
        **columns,
    )


def requests_seen(sandbox: Sandbox) -> Counter[str]:
    """Count the requests that the node has seen, by method, and forget them."""
    found = Counter(json.loads(body)["method"] for body in sandbox.server.seen)
    sandbox.server.seen.clear()
    return found


@contextmanager
def lying(
    sandbox: Sandbox, settings: Settings, method: str, change: Callable[[dict[str, Any]], None]
) -> Iterator[Proxy]:
    """Ask a node first that changes its answers (JSON) to a method, and an honest one after it."""
    with Proxy(sandbox.url) as liar, liar.failing(when(method, lambda exchange: exchange.changed(change))):
        use_nodes(settings, liar, sandbox)
        forget()
        yield liar
