"""API of groups, members, wallets and dues."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from ajo.soroban.models import Checkpoint
from groups.models import Group
from tests.support.factories import (
    API,
    START,
    U64,
    account,
    contract,
    event_id,
    make_checkpoint,
    make_event,
    make_group,
    make_token,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _checkpoint() -> None:
    make_checkpoint()


def results(client: Client, path: str) -> list[dict[str, Any]]:
    response = client.get(API + path)
    assert response.status_code == 200, response.content
    found: list[dict[str, Any]] = response.json()["results"]
    return found


def ids(client: Client, query: str) -> list[str]:
    return [group["id"] for group in results(client, f"groups/?{query}")]


@pytest.fixture
def _four_groups() -> None:
    make_group(1, members=(1, 2), name="Alpha 100%_", contribution_amount=5)
    make_group(2, members=(2, 3), name="beta alphabet", contribution_amount=7, max_members=2)
    make_group(3, members=(3,), name="Ünïcode €uro", contribution_amount=-(2**127), token=make_token(2))
    make_group(4, members=(1, 4, 5), contribution_amount=2**127 - 1, status=Group.Status.CANCELLED)


@pytest.mark.usefixtures("_four_groups")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("limit=20", ["4", "3", "2", "1"]),
        ("status=active", ["3", "2", "1"]),
        ("status=completed", []),
        (f"creator={account(1)}", ["4", "1"]),
        (f"member={account(2)}", ["2", "1"]),
        (f"member={account(2)}&creator={account(2)}", ["2"]),
        (f"member={account(1)}&status=active", ["1"]),
        (f"member={account(2)}&ordering=id", ["1", "2"]),
        (f"member={account(2)}&ordering=-contribution_amount", ["2", "1"]),
        (f"token={contract(2)}", ["3"]),
        ("joinable=true", ["3", "1"]),
        ("joinable=false", ["4", "2"]),
        ("amount_min=6", ["4", "2"]),
        ("amount_max=5", ["3", "1"]),
        ("amount_min=5&amount_max=7&ordering=id", ["1", "2"]),
        (f"amount_min={2**127 - 1}", ["4"]),
        (f"amount_max={-(2**127)}", ["3"]),
        ("amount_min=7&amount_max=5", []),
        ("search=alpha", ["2", "1"]),
        ("search=ALPHA&amount_min=6", ["2"]),
        ("search=0%25_", ["1"]),
        ("search=a%25h", []),
        ("search=%25%25%25", []),
        ("search=a__ha", []),
        ("search=ünï", ["3"]),
        ("ordering=id", ["1", "2", "3", "4"]),
        ("ordering=contribution_amount", ["3", "1", "2", "4"]),
        ("ordering=-contribution_amount", ["4", "2", "1", "3"]),
        ("ordering=member_count", ["3", "1", "2", "4"]),
        ("ordering=-member_count&status=active", ["2", "1", "3"]),
    ],
)
def test_filters_and_orderings(client: Client, query: str, found: list[str]) -> None:
    assert ids(client, query) == found


def test_members_are_listed_in_payout_order(client: Client) -> None:
    make_group(1, members=(5, 3, 4), paid=(3,), payout_index=1)
    members = results(client, "groups/1/members/")
    assert [member["address"] for member in members] == [account(5), account(3), account(4)]
    assert [member["has_contributed"] for member in members] == [False, True, False]
    assert [member["has_received_payout"] for member in members] == [True, False, False]
    assert members == client.get(f"{API}groups/1/").json()["members"]


def test_a_groups_events_are_its_own_newest_first(client: Client) -> None:
    make_group(1)
    make_event(1)
    make_event(2, group=2)
    make_event(3, kind="complete", round=None, data={})
    newest, oldest = results(client, "groups/1/events/")
    assert newest == {
        "id": event_id(3),
        "type": "complete",
        "group": "1",
        "round": None,
        "data": {},
        "tx_hash": f"{3:064x}",
        "ledger": 3,
        "created_at": "2026-01-01T00:00:00Z",
    }
    assert oldest["id"] == event_id(1)


def test_wallets_are_listed_by_address_alone(client: Client) -> None:
    make_group(1, members=(1, 2))
    assert results(client, "users/") == [{"address": account(2)}, {"address": account(1)}]


def test_a_wallets_groups_have_the_form_of_any_list(client: Client) -> None:
    for number in (1, 2, 3):
        make_group(number, members=(number, 9))
    assert results(client, f"users/{account(9)}/groups/") == results(client, "groups/")
    assert [group["id"] for group in results(client, f"users/{account(2)}/groups/")] == ["2"]


def test_dues_say_what_to_pay_until_when_and_when_the_payout_comes(client: Client) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    make_group(1, members=(1, 2, 3), paid=(1,), payout_index=0, round_started_at=now, name="Savers")
    make_group(2, members=(1, 2), status=Group.Status.COMPLETED)
    (due,) = results(client, f"users/{account(3)}/dues/")
    assert due == {
        "group": "1",
        "name": "Savers",
        "token_address": contract(1),
        "token": {"symbol": "T1", "decimals": 7, "verified": False},
        "round": 1,
        "amount": "100",
        "amount_due": "100",
        "has_contributed": False,
        "round_ends_at": _form(now + timedelta(days=7)),
        "grace_ends_at": _form(now + timedelta(days=8)),
        "is_overdue": False,
        "position": 2,
        "has_received_payout": False,
        "payout_round": 3,
        "payout_amount": "300",
        "payout_at": _form(now + timedelta(days=24)),
    }
    (paid,) = results(client, f"users/{account(1)}/dues/")
    assert (paid["amount_due"], paid["payout_round"]) == ("0", 1)
    assert paid["payout_at"] == paid["grace_ends_at"]


def test_after_its_end_an_unpaid_round_is_overdue_and_pays_out_now_at_the_earliest(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = START + timedelta(days=30)
    monkeypatch.setattr("groups.views.chain_now", lambda: now)
    make_group(1, members=(1, 2), paid=(2,))
    (due,) = results(client, f"users/{account(1)}/dues/")
    assert (due["is_overdue"], due["payout_at"]) == (True, _form(now))
    (other,) = results(client, f"users/{account(2)}/dues/")
    assert (other["is_overdue"], other["payout_at"]) == (False, _form(now + timedelta(days=8)))


def test_dues_of_a_round_that_no_calendar_holds_are_null_not_an_error(client: Client) -> None:
    make_group(1, members=(1, 2), cycle_duration=U64, contribution_amount=2**127 - 1)
    (due,) = results(client, f"users/{account(2)}/dues/")
    times = ("round_ends_at", "grace_ends_at", "payout_at")
    assert [due[field] for field in times] == [None] * 3
    assert (due["is_overdue"], due["payout_amount"]) == (False, str(2 * (2**127 - 1)))


def test_whoever_was_paid_out_waits_for_no_payout(client: Client) -> None:
    make_group(1, members=(1, 2), payout_index=1, current_round=2)
    (due,) = results(client, f"users/{account(1)}/dues/")
    assert due["has_received_payout"] is True
    assert [due[field] for field in ("payout_round", "payout_amount", "payout_at")] == [None] * 3


def _form(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


NOW = START + timedelta(days=8)


@pytest.fixture
def _five_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of groups 1 to 5 the second and the third are overdue at NOW, and the payout of the fourth is due."""
    monkeypatch.setattr("groups.filters.chain_now", lambda: NOW)
    make_group(1, paid=(1,), round_started_at=NOW - timedelta(days=7))  # ends now: not late yet
    make_group(2, paid=(1,), round_started_at=NOW - timedelta(days=7, seconds=1))
    make_group(3, round_started_at=NOW - timedelta(days=9))
    make_group(4, paid=(1, 2), round_started_at=NOW - timedelta(days=8))  # its grace period ends now
    make_group(5, paid=(1, 2), round_started_at=NOW - timedelta(days=8) + timedelta(seconds=1))
    make_group(6, round_started_at=START - timedelta(days=90), status=Group.Status.CANCELLED)
    make_group(7, cycle_duration=U64, paid=(1,))
    make_group(8, round_started_at=None, grace_period=None)


@pytest.mark.usefixtures("_five_deadlines")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("overdue=true", ["3", "2"]),
        ("overdue=true&ordering=-id", ["3", "2"]),
        ("overdue=true&ordering=id", ["2", "3"]),
        (f"overdue=true&member={account(2)}", ["3", "2"]),
        ("overdue=false", ["8", "7", "6", "5", "4", "1"]),
        ("payout_due=true", ["4"]),
        ("payout_due=false&ordering=id", ["1", "2", "3", "5", "6", "7", "8"]),
        ("overdue=true&payout_due=true", []),
        ("overdue=true&status=cancelled", []),
        ("ids=3,1,99,3", ["3", "1"]),
        (f"ids={2**70},2", ["2"]),
        (f"ids={2**70}", []),
        ("ids=2,4&payout_due=true", ["4"]),
    ],
)
def test_groups_by_what_time_makes_of_them_and_by_number(client: Client, query: str, found: list[str]) -> None:
    assert ids(client, query) == found


@pytest.mark.usefixtures("_five_deadlines")
def test_overdue_groups_are_paged_in_the_order_of_their_deadlines(client: Client) -> None:
    first = client.get(f"{API}groups/?overdue=true&limit=1").json()
    second = client.get(first["next"]).json()
    assert [[group["id"] for group in page["results"]] for page in (first, second)] == [["3"], ["2"]]
    assert second["next"] is None
    assert client.get(second["previous"]).json()["results"] == first["results"]


@pytest.mark.parametrize("query", ["ids=", "ids=1,,2", "ids=x", "ids=0", "ids=1,01", "overdue=yes", "payout_due=1"])
def test_what_is_no_list_of_ids_and_no_truth_is_refused(client: Client, query: str) -> None:
    answer = client.get(f"{API}groups/?{query}")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [query.partition("=")[0]])


def test_two_hundred_ids_of_any_length_are_taken_and_no_more(client: Client) -> None:
    make_group(1)
    large = ",".join(["1", *(str(2**63 - 1) for _ in range(199))])
    assert ids(client, f"ids={large}") == ["1"]
    refused = client.get(f"{API}groups/?ids={large},2").json()
    assert refused["errors"] == {"ids": ["At most 200 group ids are taken."]}


def test_the_chains_clock_counts_where_it_is_ahead(client: Client) -> None:
    """A sandbox whose clock was moved: the late payer is late, though this host's clock says otherwise."""
    now = datetime.now(UTC)
    make_group(1, paid=(1,), round_started_at=now)
    assert ids(client, "overdue=true") == []
    Checkpoint.objects.update(chain_closed_at=now + timedelta(days=7, seconds=60))
    assert ids(client, "overdue=true") == ["1"]
    (due,) = results(client, f"users/{account(2)}/dues/")
    assert due["is_overdue"] is True


def test_a_wallets_groups_by_status(client: Client) -> None:
    make_group(1, members=(1, 2))
    make_group(2, members=(1,), status=Group.Status.COMPLETED)
    make_group(3, members=(2,), status=Group.Status.COMPLETED)
    path = f"users/{account(1)}/groups/"
    assert [group["id"] for group in results(client, path)] == ["2", "1"]
    assert [group["id"] for group in results(client, f"{path}?status=completed")] == ["2"]
    assert [group["id"] for group in results(client, f"{path}?status=active")] == ["1"]
    assert results(client, f"{path}?status=cancelled") == []
    assert client.get(f"{API}{path}?status=over").status_code == 400
