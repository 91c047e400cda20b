"""Fixtures that every test may use."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from pytest_django import Settings
from redis import Redis

from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.pool import nodes
from devtools.sandbox.sandbox import Sandbox


@pytest.fixture(scope="session")
def redis_client() -> Iterator["Redis"]:
    """The tests' Redis, cache and broker sharing the server."""
    with Redis.from_url(settings.REDIS_URL) as client:
        yield client


@pytest.fixture(autouse=True)
def empty_redis(redis_client: "Redis") -> None:
    """No test sees what another has cached."""
    redis_client.flushall()


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
