"""Builds over HTTP, wallets that sign outside, and a sandbox of accounts and groups to build for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from pytest_django import Settings
from stellar_sdk import Keypair, TransactionEnvelope

from ajo.soroban.rpc.pool import nodes
from ajo.transactions import fees, state
from devtools.sandbox.network import BASE_RESERVE
from devtools.sandbox.sandbox import Sandbox
from tests.support.sending import ALICE, AMOUNT, BOB, CAROL

BUILD = "/api/v1/transactions/build/"
PREPARE = "/api/v1/transactions/prepare/"


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
        chain.call(ALICE.public_key, "create_group", ALICE.public_key, chain.token, AMOUNT, 3600, 3, 0, 0, 0)
        chain.close_ledger()
        yield running
        forget()


def forget() -> None:
    """Forget what the process knows of nodes and of the network."""
    nodes.cache_clear()
    state._settings.clear()
    fees._bids.clear()


def post(path: str, body: Any) -> Any:
    """Post JSON; return the response."""
    return Client().post(path, json.dumps(body), content_type="application/json")


def built(function: str, source: Keypair, /, *, status: int = 200, more: Any = None, **args: Any) -> Any:
    """Build a call and return the answer's JSON, after its status was checked."""
    body = {"function": function, "source": source.public_key, "args": args} | (more or {})
    answer = post(BUILD, body)
    assert answer.status_code == status, answer.content
    return answer.json()


def opened(answer: Any) -> TransactionEnvelope:
    """Return the envelope of a build's answer."""
    return TransactionEnvelope.from_xdr(answer["xdr"], settings.STELLAR_NETWORK_PASSPHRASE)


def signed(answer: Any, *keys: Keypair) -> TransactionEnvelope:
    """Sign what was built, as wallets do."""
    envelope = opened(answer)
    for key in keys:
        envelope.sign(key)
    return envelope
