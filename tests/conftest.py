"""Fixtures that every test may use."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from redis import Redis


@pytest.fixture(scope="session")
def redis_client() -> Iterator["Redis"]:
    """The tests' Redis, cache and broker sharing the server."""
    with Redis.from_url(settings.REDIS_URL) as client:
        yield client


@pytest.fixture(autouse=True)
def empty_redis(redis_client: "Redis") -> None:
    """No test sees what another has cached."""
    redis_client.flushall()
