"""The service, in this process, beside a sandbox with groups that it follows; posts of signed transactions."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings
from stellar_sdk import TransactionEnvelope

from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.pool import nodes
from devtools.sandbox.sandbox import Sandbox
from tests.support.factories import API
from tests.support.following import catch_up

PATH = f"{API}transactions/"


def follow(sandbox: Sandbox) -> None:
    """Run the sync until the tables are at the chain's newest ledger."""
    client = SorobanClient(sandbox.url, retries=0)
    catch_up(client)
    client.close()


def following(sandbox: Sandbox, settings: Settings) -> Iterator[Sandbox]:
    """Name the sandbox in the settings, and yield it once the tables follow it."""
    settings.STELLAR_NETWORK_PASSPHRASE = sandbox.chain.passphrase
    settings.AJO_CONTRACT_ID = sandbox.contract
    settings.SOROBAN_RPC_URL = [sandbox.url]
    settings.RPC_RETRIES = 0
    nodes.cache_clear()
    follow(sandbox)
    yield sandbox
    nodes.cache_clear()


@pytest.fixture
def followed(sandbox: Sandbox, settings: Settings, db: None) -> Iterator[Sandbox]:
    """The sandbox of tests.support.sending, which the tables follow."""
    yield from following(sandbox, settings)


def post(client: Client, envelope: TransactionEnvelope | str, **headers: str) -> Any:
    """Post a transaction as JSON."""
    text = envelope if isinstance(envelope, str) else envelope.to_xdr()
    return client.post(PATH, {"xdr": text}, content_type="application/json", headers=headers)


def refusal(client: Client, envelope: TransactionEnvelope | str) -> str:
    """Post what is refused with 400, and return the name of the reason."""
    response = post(client, envelope)
    assert response.status_code == 400, response.content
    (message,) = response.json()["errors"]["xdr"]
    return str(message.partition(":")[0])
