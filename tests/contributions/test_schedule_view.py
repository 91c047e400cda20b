"""`groups/{id}/schedule/`: every round, whether it was paid, is going on, or is to come."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from contributions.models import Payout
from groups.models import Group
from tests.support.factories import API, START, U64, account, make_checkpoint, make_group, make_row

pytestmark = pytest.mark.django_db
WEEK, DAY = timedelta(days=7), timedelta(days=1)


@pytest.fixture(autouse=True)
def _checkpoint() -> None:
    make_checkpoint()


def at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def rounds(client: Client, group: int = 1, query: str = "") -> list[dict[str, Any]]:
    answer = client.get(f"{API}groups/{group}/schedule/{query}")
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def test_rounds_are_paid_current_or_expected(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    began = START + timedelta(seconds=50)
    now = began + 9 * DAY  # the grace period of the second round is over, and nobody has called its payout
    monkeypatch.setattr("contributions.schedule_view.chain_now", lambda: now)
    make_group(1, members=(1, 2, 3, 4), current_round=2, payout_index=1, round_started_at=began)
    make_row(Payout, 1, 1, 1, 10, amount=300)  # one of them joined later
    first, second, third, fourth = rounds(client)
    assert first == {
        "round": 1, "status": "paid", "recipient": account(1), "position": 0, "starts_at": at(START),
        "due_at": at(START + WEEK), "grace_ends_at": at(START + WEEK + DAY), "amount": "300", "paid_at": at(began),
        "tx_hash": f"{10:064x}", "ledger": 10,
    }  # fmt: skip
    assert second == {
        "round": 2, "status": "current", "recipient": account(2), "position": 1, "starts_at": at(began),
        "due_at": at(began + WEEK), "grace_ends_at": at(began + WEEK + DAY), "amount": "400", "paid_at": None,
        "tx_hash": None, "ledger": None,
    }  # fmt: skip
    assert (third["status"], third["starts_at"], third["due_at"]) == ("expected", at(now), at(now + WEEK))
    assert fourth["grace_ends_at"] == at(now + 2 * (WEEK + DAY))


def test_the_expected_end_is_the_payout_that_dues_tell_of(client: Client) -> None:
    make_group(1, members=(1, 2, 3))
    (due,) = client.get(f"{API}users/{account(3)}/dues/").json()["results"]
    assert rounds(client)[2]["grace_ends_at"][:16] == due["payout_at"][:16]


def test_what_nobody_knows_is_null(client: Client) -> None:
    make_group(1, members=(1, 2, 3), current_round=3, payout_index=2)
    make_row(Payout, 1, 2, 2, None)
    first, second, third = rounds(client)
    assert (first["amount"], first["paid_at"], first["starts_at"]) == (None, None, at(START))
    assert (second["amount"], second["paid_at"], second["starts_at"]) == ("100", None, None)
    assert third["starts_at"] == at(START)


def test_a_round_that_no_calendar_holds_is_null(client: Client) -> None:
    make_group(1, members=(1, 2), cycle_duration=U64)
    assert [(each["due_at"], each["grace_ends_at"]) for each in rounds(client)] == [(None, None)] * 2


def test_a_finished_group_has_paid_rounds_alone(client: Client) -> None:
    make_group(1, members=(1, 2), current_round=2, payout_index=2, status=Group.Status.COMPLETED)
    make_group(2, members=(1, 2), current_round=2, payout_index=1, status=Group.Status.CANCELLED)
    assert [each["status"] for each in rounds(client, 1)] == ["paid", "paid"]
    assert [each["round"] for each in rounds(client, 2)] == [1]


def test_it_is_paged_like_any_list(client: Client) -> None:
    make_group(1, members=(1, 2, 3), current_round=3, payout_index=2)
    make_row(Payout, 1, 1, 1, 10)
    page = client.get(f"{API}groups/1/schedule/?limit=1").json()
    following = client.get(page["next"]).json()
    assert [each["round"] for each in following["results"]] == [2]
    assert following["results"][0]["starts_at"] == at(START + timedelta(seconds=50))
    assert client.get(f"{API}groups/9/schedule/").status_code == 404
