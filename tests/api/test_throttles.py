"""Limits by client address: counted for all processes, and lifted where nobody can count."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.test import Client
from django.test.client import RequestFactory
from pytest_django import Settings

from ajo import cache
from ajo.api.throttles import RateCounter, client_address
from ajo.cache import redis_client
from ajo.soroban.models import Checkpoint
from tests.support.factories import API, make_checkpoint
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _checkpoint() -> None:
    make_checkpoint(group_count=100)


def test_one_request_too_many_is_429_until_the_window_ends(client: Client, settings: Settings) -> None:
    settings.READ_RATE = "3/day"
    assert [client.get(f"{API}users/").status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = client.get(f"{API}users/")
    assert refused["Content-Type"] == "application/problem+json"
    assert 1 <= int(refused["Retry-After"]) <= 86_400
    assert client.get(f"{API}users/", REMOTE_ADDR="192.0.2.9").status_code == 200
    assert client.options(f"{API}users/").status_code == 204


def test_no_rate_is_no_limit(client: Client, settings: Settings) -> None:
    settings.READ_RATE = ""
    assert {client.get(f"{API}users/").status_code for _ in range(20)} == {200}


@pytest.mark.parametrize("processes", [1, 2, 8])
def test_all_processes_together_admit_no_more_than_the_rate(settings: Settings, processes: int) -> None:
    """Breaks if a process counted by itself what it allows between two looks at the others' counts: a burst over eight
    of them passed eight times. Each has a RateCounter of its own; Redis is all that they share.
    """
    settings.READ_RATE, settings.WEB_WORKERS = "600/day", processes
    tallies = [RateCounter() for _ in range(processes)]
    environ = {"REMOTE_ADDR": "192.0.2.1"}
    with ThreadPoolExecutor(4 * processes) as threads:
        admitted = list(threads.map(lambda tally: tally.take(environ) is not None, tallies * 700))
    assert 600 - 600 // 8 <= sum(admitted) <= 600
    for tally in tallies:
        tally.flush()  # what was reserved and not used is there for the next one
    (key,) = cache.client().keys(f"{cache.PREFIX}rate:read:*")
    assert int(cache.client().get(key) or 0) == sum(admitted)


def test_a_process_gives_back_what_it_reserved_by_itself(settings: Settings) -> None:
    settings.READ_RATE, settings.WEB_WORKERS = "800/day", 1
    tally, environ = RateCounter(), {"REMOTE_ADDR": "192.0.2.1"}
    assert all(tally.take(environ) is not None for _ in range(3))
    (key,) = cache.client().keys(f"{cache.PREFIX}rate:read:*")
    assert int(cache.client().get(key) or 0) == 51
    wait_for(lambda: int(cache.client().get(key) or 0) == 3, 20)


def test_without_redis_nobody_is_limited(client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.READ_RATE = "1/day"
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(redis_client, "COOLDOWN", 0)  # no test after this one finds Redis left alone
    cache.client.cache_clear()
    try:
        assert {client.get(f"{API}users/").status_code for _ in range(3)} == {200}
    finally:
        cache.client.cache_clear()


def test_requests_that_cost_an_rpc_call_have_a_limit_of_their_own(client: Client, settings: Settings) -> None:
    settings.CHAIN_RATE = "2/day"
    statuses = [client.get(f"{API}groups/{number}/").status_code for number in range(1, 5)]
    assert statuses == [503, 503, 429, 429]  # nobody serves an RPC here
    assert client.get(f"{API}groups/7/members/").status_code == 429
    assert client.get(f"{API}groups/101/").status_code == 404
    assert Checkpoint.objects.count() == 1


def test_the_proxy_may_say_it_in_a_header_that_no_other_spelling_passes_for(settings: Settings) -> None:
    settings.TRUSTED_PROXIES, settings.CLIENT_ADDRESS_HEADER = ["10.0.0.0/8"], "Clientaddress"
    headers = {"X-Forwarded-For": "203.0.113.5", "Clientaddress": "198.51.100.7"}
    for remote, client_is in (("10.0.0.1", "198.51.100.7"), ("192.0.2.1", "192.0.2.1")):
        assert client_address(RequestFactory().get("/", REMOTE_ADDR=remote, headers=headers)) == client_is


@pytest.mark.parametrize(
    ("remote", "forwarded", "client_is"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.5, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.5, 10.9.9.9", "203.0.113.5"),
        ("10.0.0.1", "garbage", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::"),
        ("2001:db8:1:2:3::4", "", "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "", "192.0.2.1"),
        ("", "", "unknown"),
    ],
)
def test_only_trusted_proxies_say_who_the_client_is(
    settings: Settings, remote: str, forwarded: str, client_is: str
) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    request = RequestFactory().get("/", REMOTE_ADDR=remote, HTTP_X_FORWARDED_FOR=forwarded)
    assert client_address(request) == client_is


def test_every_counted_answer_says_what_is_left(client: Client, settings: Settings) -> None:
    settings.READ_RATE = "3/day"
    for left in ("2", "1", "0", "0"):
        answer = client.get(f"{API}users/")
        assert answer["RateLimit-Policy"] == '"read";q=3;w=86400'
        policy, remaining, until = re.fullmatch(r'"(\w+)";r=(\d+);t=(\d+)', answer["RateLimit"]).groups()  # type: ignore[union-attr]
        assert (policy, remaining) == ("read", left)
        assert 1 <= int(until) <= 86_400
    assert answer.status_code == 429
    assert abs(int(answer["Retry-After"]) - int(until)) <= 1
    assert "RateLimit" not in client.options(f"{API}users/")


def test_a_request_that_costs_an_rpc_call_says_both_rates(client: Client, settings: Settings) -> None:
    settings.READ_RATE, settings.CHAIN_RATE = "9/h", "2/day"
    answer = client.get(f"{API}groups/1/")
    assert answer["RateLimit-Policy"] == '"read";q=9;w=3600, "chain";q=2;w=86400'
    assert re.fullmatch(r'"read";r=8;t=\d+, "chain";r=1;t=\d+', answer["RateLimit"])


def test_without_a_rate_nothing_is_said_of_one(client: Client) -> None:
    assert "RateLimit" not in client.get(f"{API}users/")
    assert "RateLimit-Policy" not in client.get(f"{API}users/")
