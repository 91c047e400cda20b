"""Fixtures that every test may use."""

import os
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from pytest_django import Settings
from redis import Redis

from ajo.console.roles import VIEWER
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.pool import nodes
from devtools.sandbox.sandbox import Sandbox


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Leave the tests' database to its server, which ends with the run; drop it on one that was given."""
    return "TEST_DATABASE_URL" not in os.environ


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Close the pool that collecting tests may have opened (the OpenAPI description asks models).

    It leads to the database from before the tests' one was made. Migrations and tests would use that one through it,
    and web processes the tests' one, which is empty.
    """
    connection.close_pool()  # type: ignore[attr-defined]  # the stubs know of no pools


@pytest.fixture(scope="session")
def redis_client() -> Iterator["Redis"]:
    """Connect to the tests' Redis, which cache and broker share."""
    with Redis.from_url(settings.REDIS_URL) as client:
        yield client


@pytest.fixture(autouse=True)
def empty_redis(redis_client: "Redis") -> None:
    """Empty Redis before each test, so that none sees what another has cached."""
    redis_client.flushall()


@pytest.fixture(autouse=True)
def no_sync_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let deep sweeps wait for no sync: in a test none runs beside them that could bring the tables on."""
    monkeypatch.setattr("ajo.indexer.solvency.MAX_TABLES_WAIT", 0.0)


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[Sandbox]:
    """Start a chain of the test's own, which the settings follow."""
    with Sandbox() as running:
        settings.STELLAR_NETWORK_PASSPHRASE = running.chain.passphrase
        settings.AJO_CONTRACT_ID = running.contract
        settings.SOROBAN_RPC_URL = [running.url]
        nodes.cache_clear()
        yield running
        nodes.cache_clear()


@pytest.fixture
def client_of_chain(sandbox: Sandbox) -> Iterator[SorobanClient]:
    """Connect a client to the sandbox, without retries."""
    client = SorobanClient(sandbox.url, retries=0)
    yield client
    client.close()


@pytest.fixture
def staff(db: None) -> Client:
    """Log in a staff account with the role Viewer."""
    clerk = User.objects.create(username="clerk", is_staff=True)
    clerk.groups.add(Group.objects.get(name=VIEWER))
    client = Client()
    client.force_login(clerk)
    return client


@pytest.fixture
def chief(db: None) -> Client:
    """Log in a superuser."""
    client = Client()
    client.force_login(User.objects.create(username="chief", is_staff=True, is_superuser=True))
    return client
