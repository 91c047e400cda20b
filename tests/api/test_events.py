"""The log of all events: followed from an event, from now, and by type, group and wallet."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from ajo.soroban.models import ContractEvent
from tests.support.factories import API, account, event_id, make_checkpoint, make_event

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _log() -> None:
    make_checkpoint()
    make_event(1, 1, "created", data={"creator": account(1), "contribution_amount": "100", "max_members": 3})
    make_event(2, 1, "joined", data={"member": account(2)})
    make_event(3, 2, "joined", data={"member": account(2)})
    make_event(4, 1, "payout", data={"recipient": account(2), "amount": "200"})
    make_event(5, None, "executable_update", data=None)


def page(client: Client, query: str) -> dict[str, Any]:
    answer = client.get(f"{API}events/?{query}")
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def ledgers(client: Client, query: str) -> list[int]:
    return [event["ledger"] for event in page(client, query)["results"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("limit=200", [1, 2, 3, 4, 5]),
        ("type=joined", [2, 3]),
        ("type=nothing", []),
        ("group=1", [1, 2, 4]),
        ("group=99999999999999999999999", []),
        (f"user={account(2)}", [2, 3, 4]),
        (f"user={account(1)}", [1]),
        (f"user={account(3)}", []),
        (f"user={account(2)}&group=1&type=payout", [4]),
        (f"user={account(2)}&after={event_id(2)}", [3, 4]),
    ],
)
def test_events_are_filtered_by_type_group_and_wallet(client: Client, query: str, found: list[int]) -> None:
    assert ledgers(client, query) == found


@pytest.mark.parametrize("query", ["type=a-b", "type=", "group=0", "user=x", "after=later", f"type={'x' * 33}"])
def test_a_filter_of_another_form_is_refused_by_name(client: Client, query: str) -> None:
    answer = client.get(f"{API}events/?{query}")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [query.partition("=")[0]])


def test_whoever_begins_now_misses_nothing_that_comes_after(client: Client) -> None:
    begun = page(client, "after=now&type=joined")
    assert begun["results"] == []
    make_event(6, 2, "joined", data={"member": account(3)})
    make_event(7, 2, "contrib", data={"member": account(3), "amount": "100"})
    following = client.get(begun["next"]).json()
    assert [event["ledger"] for event in following["results"]] == [6]
    assert client.get(following["next"]).json() == {"results": [], "next": following["next"], "previous": None}


def test_now_before_the_first_event_is_the_beginning(client: Client) -> None:
    ContractEvent.objects.all().delete()
    begun = page(client, "after=now")
    make_event(1)
    assert [event["ledger"] for event in client.get(begun["next"]).json()["results"]] == [1]
