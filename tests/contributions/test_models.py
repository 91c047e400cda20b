"""Rows of history: recorded once, whoever records them and in whatever order."""

from __future__ import annotations

import pytest
from django.utils import timezone

from ajo.indexer.follow import sync_pass
from ajo.soroban.rpc.client import SorobanClient
from contributions.models import Contribution, Refund
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group, User
from tests.support.histories import History
from tests.support.threads import run_concurrently

pytestmark = pytest.mark.django_db(transaction=True)


def test_contributions_are_recorded_once_by_many(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    History(sandbox.chain, 5).walk(30)
    sync_pass(client_of_chain)
    rows = list(Contribution.objects.values("group_id", "user_id", "round", "amount", "event_id"))
    assert rows
    Contribution.objects.all().delete()

    def record() -> None:
        Contribution.objects.record(rows)

    assert run_concurrently([record] * 4) == []
    assert Contribution.objects.count() == len(rows)


def test_two_refunds_of_one_member_are_two_rows_whichever_is_told_first() -> None:
    """A vote may refund again whom a cancelled group has refunded. Breaks if the wallet and the round alone told rows
    apart: one of the two sums would be nowhere.
    """
    user = User.objects.create(wallet_address="G" * 56)
    group = Group.objects.create(
        pk=1, creator=user, contribution_amount=5, cycle_duration=1, max_members=2, member_count=1, current_round=1,
        payout_index=0, contributions_received=0, status="cancelled", modified_ledger=1, synced_ledger=1,
    )  # fmt: skip
    at = timezone.now()
    first, second = (
        {
            "group_id": group.pk, "user_id": user.pk, "round": 1, "amount": 5, "tx_hash": "a" * 64,
            "event_id": f"{number:019d}-0000000000", "ledger": number, "created_at": at, "reason": reason,
        }
        for number, reason in ((1, 0), (2, 1))
    )  # fmt: skip
    for order in ([second], [first], [second], [first, second]):
        Refund.objects.record(order)
    assert list(Refund.objects.order_by("ledger").values_list("reason", "ledger", "ordinal")) == [(0, 1, 2), (1, 2, 1)]
