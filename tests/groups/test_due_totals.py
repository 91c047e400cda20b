"""Totals of what a wallet owes, beside each page of its dues."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from groups.models import Group
from tests.support.factories import API, START, account, contract, make_group, make_token

pytestmark = pytest.mark.django_db


def test_dues_have_totals_by_token_of_all_groups_on_each_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    now = START + timedelta(days=8)
    monkeypatch.setattr("groups.views.chain_now", lambda: now)
    make_group(1, members=(1, 2), contribution_amount=2**127 - 1)
    make_group(2, members=(1, 2), contribution_amount=2**127 - 1, round_started_at=now)
    make_group(3, members=(1,), paid=(1,))
    make_group(4, members=(2, 1), token=make_token(2), contribution_amount=7)
    make_group(5, members=(1,), token=None, contribution_amount=3, round_started_at=None)
    make_group(6, members=(1,), status=Group.Status.CANCELLED)
    page = client.get(f"{API}users/{account(1)}/dues/?limit=2").json()
    expected = {
        contract(1): (2, str(2**128 - 2), str(2**127 - 1)),
        contract(2): (1, "7", "7"),
        None: (1, "3", "0"),
    }
    for totals in (page["totals"], client.get(page["next"]).json()["totals"]):
        found = {each["token_address"]: (each["groups"], each["amount_due"], each["amount_overdue"]) for each in totals}
        assert found == expected
        assert [each["token"] and each["token"]["symbol"] for each in totals] == ["T1", "T2", None]
    assert client.get(f"{API}users/{account(2)}/dues/").json()["totals"][1]["amount_due"] == "7"


@pytest.mark.parametrize("paid", [(), (1,)])
def test_totals_are_no_sum_without_a_group_that_cannot_be_read(client: Client, paid: tuple[int, ...]) -> None:
    """Breaks if the page's groups alone were looked at: an older one would be left out of the totals without a word."""
    make_group(1, members=(1, 2), paid=paid)
    make_group(2, members=(1,))
    Group.objects.filter(pk=1).update(unreadable_since=timezone.now())
    refused = client.get(f"{API}users/{account(1)}/dues/?limit=1")
    assert (refused.status_code, refused["Retry-After"]) == (503, "300")
    Group.objects.filter(pk=1).update(status=Group.Status.CANCELLED)  # nothing is to be paid to it, whatever it says
    assert client.get(f"{API}users/{account(1)}/dues/?limit=1").status_code == 200
