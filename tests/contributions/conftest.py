from collections.abc import Iterator

import pytest
from pytest_django import Settings

from ajo.soroban.client import SorobanClient
from ajo.soroban.nodes import nodes
from ajo.soroban.sandbox.sandbox import Sandbox


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[Sandbox]:
    """A chain of its own, followed by the settings."""
    with Sandbox() as running:
        settings.STELLAR_NETWORK_PASSPHRASE = running.chain.passphrase
        settings.AJO_CONTRACT_ID = running.contract
        settings.SOROBAN_RPC_URL = [running.url]
        nodes.cache_clear()
        yield running
        nodes.cache_clear()


@pytest.fixture
def client_of_chain(sandbox: Sandbox) -> Iterator[SorobanClient]:
    client = SorobanClient(sandbox.url, retries=0)
    yield client
    client.close()
