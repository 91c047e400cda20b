"""`Prefer: wait=N`: what counts as one, and how long it holds a place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client, RequestFactory
from pytest_django import Settings
from rest_framework.request import Request

from ajo.cache import read_through
from ajo.soroban.models import ChainTransaction
from ajo.transactions import waiting
from tests.support.factories import API, make_checkpoint, make_transaction


@pytest.fixture(autouse=True)
def _fresh_places() -> Iterator[None]:
    for kept in (waiting._places, read_through._slots):
        kept.cache_clear()
    yield
    for kept in (waiting._places, read_through._slots):
        kept.cache_clear()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=10", 10), ("respond-async, wait=5", 5), ('wait="7"', 7), ("WAIT = 3", 3), ("wait=3, wait=9", 3),
        ("wait=3; foo=bar", 3), ("wait=600", 25), ("wait=0", 0), ("wait", 0), ("wait=-1", 0), ("wait=1.5", 0),
        ("wait=٣", 0), ("await=3", 0), ("wait=99999", 0), ("", 0), ("wait=1," * 200, 0),
    ],
)  # fmt: skip
def test_a_preference_that_cannot_be_read_is_none(header: str, seconds: int) -> None:
    request = Request(RequestFactory().get("/", headers={"Prefer": header}))
    assert waiting.preferred_wait(request) == seconds


@pytest.mark.django_db
def test_what_is_final_is_answered_at_once(client: Client) -> None:
    make_checkpoint()
    row = make_transaction(1, status="expired")
    began = time.monotonic()
    response = client.get(f"{API}transactions/{row.hash}/", headers={"Prefer": "wait=25"})
    assert time.monotonic() - began < 10
    assert (response.json()["status"], response["Preference-Applied"]) == ("expired", "wait=25")


@pytest.mark.django_db
def test_after_the_time_it_is_answered_as_it_stands(client: Client) -> None:
    make_checkpoint()
    row = make_transaction(1)
    response = client.get(f"{API}transactions/{row.hash}/", headers={"Prefer": "wait=1"})
    assert (response.json()["status"], response["Preference-Applied"]) == ("pending", "wait=1")


@pytest.mark.django_db
@pytest.mark.parametrize("threads", [1, 2])
def test_a_process_of_few_threads_has_no_place_to_wait(client: Client, settings: Settings, threads: int) -> None:
    """Breaks if a wait could take the last place of those who need the chain."""
    settings.WEB_THREADS = threads
    make_checkpoint()
    row = make_transaction(1)
    began = time.monotonic()
    response = client.get(f"{API}transactions/{row.hash}/", headers={"Prefer": "wait=25"})
    assert time.monotonic() - began < 10
    assert (response.status_code, response.json()["status"]) == (200, "pending")
    assert "Preference-Applied" not in response


@pytest.mark.django_db(transaction=True)
def test_while_one_waits_a_place_is_left_for_who_needs_the_chain(settings: Settings) -> None:
    settings.WEB_THREADS = 4
    done = threading.Event()
    began = threading.Event()

    def is_final() -> bool:
        began.set()
        return done.is_set()

    waits = threading.Thread(target=waiting.wait_until_final, args=(is_final, time.monotonic() + 30, "10.0.0.1"))
    waits.start()
    assert began.wait(10)
    assert not waiting.wait_until_final(is_final, time.monotonic() + 30, "10.0.0.2")
    with read_through.waiter_slot("chain", "10.0.0.3"):
        pass
    done.set()
    waits.join(10)
    assert not waits.is_alive()


@pytest.mark.django_db(transaction=True)
def test_no_connection_is_held_between_two_looks(settings: Settings) -> None:
    """Breaks if each wait kept one of the pool's connections from the requests that are answered meanwhile."""
    make_transaction(1)
    looks = []

    def is_final() -> bool:
        looks.append(connection.connection is None)
        ChainTransaction.objects.exists()
        return len(looks) == 3

    assert waiting.wait_until_final(is_final, time.monotonic() + 30, "10.0.0.1")
    assert looks[1:] == [True, True]
