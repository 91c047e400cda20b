"""API of contributions, payouts, refunds, and a wallet's sums."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from ajo.soroban.contract.keys import ContribKey, PayoutKey, decode_key
from contributions.models import Contribution, HistoryRow, Payout, Refund
from tests.support.factories import (
    API,
    account,
    contract,
    make_checkpoint,
    make_group,
    make_row,
    make_token,
    make_user,
)
from tests.support.services import CONTRACT

pytestmark = pytest.mark.django_db
KINDS = [("contributions", Contribution), ("payouts", Payout), ("refunds", Refund)]


@pytest.fixture(autouse=True)
def _groups() -> None:
    make_checkpoint()
    make_group(1, members=(1, 2))
    make_group(2, members=(1, 3), token=make_token(2))
    make_group(3, members=(1,), token=None)


def results(client: Client, path: str) -> list[dict[str, Any]]:
    response = client.get(API + path)
    assert response.status_code == 200, response.content
    found: list[dict[str, Any]] = response.json()["results"]
    return found


@pytest.mark.parametrize(("path", "kind"), KINDS)
@pytest.mark.parametrize("amount", [2**127 - 1, -(2**127)])
def test_a_row_has_every_field_of_the_form(client: Client, path: str, kind: type[HistoryRow], amount: int) -> None:
    make_row(kind, 1, 2, 4, 10, amount=amount)
    (row,) = results(client, f"{path}/")
    key = None if kind is Refund else decode_key(row.pop("entry_key"))
    assert (
        key
        == {
            Contribution: (CONTRACT, ContribKey(1, 4, account(2))),
            Payout: (CONTRACT, PayoutKey(1, account(2))),
            Refund: None,
        }[kind]
    )
    reason = {"reason": "member_vote"} if kind is Refund else {}
    assert row == reason | {
        "id": f"1-4-{account(2)}",
        "group": "1",
        "user": account(2),
        "round": 4,
        "amount": str(amount),
        "tx_hash": f"{10:064x}",
        "ledger": 10,
        "created_at": "2026-01-01T00:00:50Z",
    }


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (Refund.Reason.CREATOR_CANCELLED, "creator_cancelled"),
        (Refund.Reason.MEMBER_VOTE, "member_vote"),
        (Refund.Reason.EMERGENCY, "emergency"),
    ],
)
def test_a_refund_says_why(client: Client, reason: int, shown: str) -> None:
    make_row(Refund, 1, 2, 4, 10, reason=reason)
    assert results(client, "refunds/")[0]["reason"] == shown


@pytest.mark.parametrize(("path", "kind"), KINDS)
def test_a_recovered_row_comes_last_and_keeps_its_id_when_it_is_completed(
    client: Client, path: str, kind: type[HistoryRow]
) -> None:
    row = make_row(kind, 1, 2, 1, None)
    make_row(kind, 1, 1, 1, 10)
    recovered = results(client, f"{path}/")[-1]
    assert [recovered[field] for field in ("tx_hash", "ledger", "created_at")] == [None] * 3
    kind._default_manager.filter(pk=row.pk).update(event_id="0" * 30, tx_hash="a" * 64, ledger=5)
    completed = results(client, f"{path}/")[-1]
    assert (completed["id"], completed["ledger"]) == (recovered["id"], 5)


@pytest.mark.parametrize(("path", "kind"), KINDS)
def test_history_is_filtered_by_all_that_is_promised(client: Client, path: str, kind: type[HistoryRow]) -> None:
    make_row(kind, 1, 1, 1, 10)
    make_row(kind, 1, 2, 2, 20)
    make_row(kind, 2, 1, 3, 30)
    make_row(kind, 2, 3, 1, None)
    expected = {
        "limit=9": [30, 20, 10, None],
        "group=1": [20, 10],
        "group=99999999999999999999": [],
        f"user={account(1)}": [30, 10],
        "round=1": [10, None],
        f"tx_hash={20:064X}": [20],
        "created_after=2026-01-01T00:00:50Z": [30, 20],
        "created_before=2026-01-01T00:02:30Z": [20, 10],
        "created_before=2026-01-01T02:02:30%2B02:00": [20, 10],
        "created_after=2026-01-01T00:00:50Z&created_before=2026-01-01T00:02:30Z": [20],
        "created_after=2026-01-01T00:00:50Z&group=1": [20],
        "created_before=2026-01-01T00:02:30Z&round=1": [10],
        "created_after=2030-01-01T00:00:00Z": [],
        "created_before=2020-01-01T00:00:00Z": [],
    }
    found = {query: [row["ledger"] for row in results(client, f"{path}/?{query}")] for query in expected}
    assert found == expected


def test_a_refund_that_was_recovered_is_found_by_its_time(client: Client) -> None:
    """Breaks if only event ids were compared with a time: a row would show one that no filter finds it by."""
    for group, user, ledger in ((1, 1, 10), (1, 2, 20), (2, 1, 30)):
        make_row(Refund, group, user, 1, ledger)
    for number, seconds in ((1, 75), (2, 500)):  # between two of the others, and after all of them
        created_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        make_row(Refund, 3, number, 1, None, created_at=created_at)
    make_row(Refund, 3, 3, 1, None)
    late, early = "2026-01-01T00:08:20Z", "2026-01-01T00:01:15Z"
    expected = {
        "created_after=2026-01-01T00:01:00Z": [30, 20, late, early],
        "created_after=2026-01-01T00:02:00Z": [30, late],
        "created_after=2026-01-01T00:05:00Z": [late],
        "created_before=2026-01-01T00:01:10Z": [10],
        "created_before=2026-01-01T00:01:20Z": [10, early],
        "created_before=2027-01-01T00:00:00Z": [30, 20, 10, late, early],
        "created_after=2026-01-01T00:01:00Z&created_before=2026-01-01T00:02:00Z": [20, early],
        "created_after=2026-01-01T00:01:00Z&group=3": [late, early],
        "created_before=2026-01-01T00:01:20Z&round=1": [10, early],
        f"created_before=2026-01-01T00:01:20Z&user={account(2)}": [],
    }
    for query, wanted in expected.items():
        assert [row["ledger"] or row["created_at"] for row in results(client, f"refunds/?{query}")] == wanted, query
        paged, address = [], f"{API}refunds/?{query}&limit=1"
        while address:
            page = client.get(address).json()
            paged += [row["ledger"] or row["created_at"] for row in page["results"]]
            address = page["next"]
        assert paged == wanted, query


@pytest.mark.parametrize(("path", "kind"), KINDS)
def test_a_groups_and_a_wallets_own_history(client: Client, path: str, kind: type[HistoryRow]) -> None:
    make_row(kind, 1, 1, 1, 10)
    make_row(kind, 1, 2, 2, 20)
    make_row(kind, 2, 1, 1, 30)
    assert [row["ledger"] for row in results(client, f"groups/1/{path}/")] == [20, 10]
    assert [row["ledger"] for row in results(client, f"users/{account(1)}/{path}/")] == [30, 10]
    assert results(client, f"users/{account(3)}/{path}/") == []


def test_a_groups_contributions_are_filtered_by_round_and_user(client: Client) -> None:
    make_row(Contribution, 1, 1, 1, 10)
    make_row(Contribution, 1, 2, 2, 20)
    assert [row["ledger"] for row in results(client, "groups/1/contributions/?round=2")] == [20]
    assert [row["ledger"] for row in results(client, f"groups/1/contributions/?user={account(1)}")] == [10]
    assert client.get(f"{API}groups/1/payouts/?round=1").status_code == 400


def test_a_wallets_sums_are_exact_and_by_token(client: Client) -> None:
    for ledger in range(1, 4):
        make_row(Contribution, 1, 1, ledger, ledger, amount=2**127 - 1)
    make_row(Contribution, 3, 1, 1, 9, amount=5)
    make_row(Refund, 2, 1, 1, 10, amount=7)
    make_row(Payout, 2, 1, 1, 11, amount=-3)
    assert client.get(f"{API}users/{account(1)}/").json() == {
        "address": account(1),
        "groups": 3,
        "created_groups": 3,
        "contributions": 4,
        "payouts": 1,
        "refunds": 1,
        "tokens": [
            {"token_address": None, "token": None, "paid": "5", "refunded": "0", "received": "0"},
            *(
                {
                    "token_address": contract(number),
                    "token": {"symbol": f"T{number}", "decimals": 7, "verified": False},
                    "paid": paid,
                    "refunded": refunded,
                    "received": received,
                }
                for number, paid, refunded, received in sorted(
                    [(1, str(3 * (2**127 - 1)), "0", "0"), (2, "0", "7", "-3")], key=lambda row: contract(row[0])
                )
            ),
        ],
    }


def test_a_wallet_that_only_appears_has_zeros(client: Client) -> None:
    make_user(77)
    shown = client.get(f"{API}users/{account(77)}/").json()
    assert (shown["groups"], shown["contributions"], shown["tokens"]) == (0, 0, [])


@pytest.mark.parametrize(("plural", "kind"), KINDS)
@pytest.mark.parametrize("within", ["", "groups/1/", f"users/{account(1)}/"])
def test_history_is_read_in_either_direction(client: Client, plural: str, kind: type[HistoryRow], within: str) -> None:
    rounds = {1: None, 2: 10, 3: 30, 4: 20}
    for number, ledger in rounds.items():
        make_row(kind, 1, 1, number, ledger)
    path = f"{API}{within}{plural}/?limit=3"

    def listed(query: str) -> list[int]:
        found, url = [], f"{path}{query}"
        while url:
            page = client.get(url).json()
            found += [row["round"] for row in page["results"]]
            url = page["next"]
        return found

    assert listed("") == listed("&ordering=-id") == [3, 4, 2, 1]
    assert listed("&ordering=id") == [1, 2, 4, 3]
    assert client.get(f"{path}&ordering=round").status_code == 400
