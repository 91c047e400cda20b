"""A group that is cancelled and refunded, and whose approved vote is executed then, refunds once more: two rows."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from contributions.models import Contribution, Payout, Refund
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from tests.support.following import assert_equal, catch_up, make_full_groups, submit
from tests.support.histories import DAY
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)

API = "/api/v1"


def make(sandbox: Sandbox, *, by_admin: bool = False) -> None:
    """Group 1, in which both have paid and asked for a refund by vote; then it is cancelled."""
    first, second = wallets(2)
    chain = sandbox.chain
    for wallet in (first, second):
        chain.fund(wallet)
    submit(sandbox, [
        (first, "create_group", first, chain.token, 50, DAY, 2, 0, 0, 0), (second, "join_group", second, 1),
        (first, "contribute", first, 1), (second, "contribute", second, 1),
    ])  # fmt: skip
    chain.advance(2 * DAY)
    submit(sandbox, [(first, "request_refund", first, 1), (first, "vote_refund", first, 1, True)])
    chain.fund(chain.contract, 100)  # what the second refund takes is other groups' money
    submit(
        sandbox, [(chain.admin, "emergency_refund", chain.admin, 1) if by_admin else (first, "cancel_group", first, 1)]
    )


def execute(sandbox: Sandbox) -> None:
    first = wallets(1)[0]
    sandbox.chain.advance(8 * DAY)
    submit(sandbox, [(first, "execute_refund", first, 1)])


def sweep_all(client: SorobanClient) -> dict[str, int]:
    list(sweep_deep(lambda read: read(client)))
    counts: dict[str, int] = SyncRun.objects.latest("id").counts
    return counts


def listed(client: Client, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"{API}/{path}").json()["results"]
    return found


@pytest.mark.parametrize("by_admin", [False, True])
def test_both_refunds_are_rows_wherever_they_are_shown(
    sandbox: Sandbox, client_of_chain: SorobanClient, client: Client, by_admin: bool
) -> None:
    """Breaks if wallet and round alone told refunds apart: the second one would take the first one's place."""
    make(sandbox, by_admin=by_admin)
    catch_up(client_of_chain)
    before = listed(client, "groups/1/refunds/")
    execute(sandbox)
    catch_up(client_of_chain)
    rows = listed(client, "groups/1/refunds/")
    wallet = wallets(1)[0]
    reason = "emergency" if by_admin else "creator_cancelled"
    assert [row["reason"] for row in rows] == ["member_vote"] * 2 + [reason] * 2
    assert rows[2:] == before
    assert {row["id"] for row in before} == {f"1-1-{wallet}" for wallet in wallets(2)}
    assert {row["id"] for row in rows[:2]} == {f"1-1-{wallet}-2" for wallet in wallets(2)}
    assert listed(client, "refunds/?limit=9") == rows
    assert [row["reason"] for row in listed(client, f"users/{wallet}/refunds/")] == ["member_vote", reason]
    wallet_search = client.get(f"{API}/users/{wallet}/").json()
    assert (wallet_search["refunds"], wallet_search["tokens"][0]["refunded"]) == (2, "100")
    carried = client.get(f"{API}/transactions/{rows[0]['tx_hash']}/").json()["refunds"]
    assert [row["id"] for row in carried] == [row["id"] for row in rows[:2]]
    assert_equal(sandbox)

    # the entries show the later one alone: what the log told is right all the same
    assert (sweep_all(client_of_chain)["drift_history"], Group.objects.unconfirmed().count()) == (0, 0)
    Refund.objects.exclude(reason=Refund.Reason.MEMBER_VOTE).delete()
    assert sweep_all(client_of_chain)["drift_history"] == 2
    again = listed(client, "groups/1/refunds/")
    assert again == rows
    Refund.objects.update(amount=7)
    call_command("rebuild", stdout=StringIO())
    assert listed(client, "groups/1/refunds/") == rows
    Refund.objects.all().delete()
    Checkpoint.objects.update(cursor="")
    catch_up(client_of_chain)
    assert listed(client, "groups/1/refunds/") == rows


def test_a_refund_that_was_recovered_stays_when_a_vote_refunds_once_more(
    sandbox: Sandbox, client_of_chain: SorobanClient, client: Client
) -> None:
    """Its event was never read, and its entry says something else now. Breaks if the sweep removed what no entry says:
    a sum that was paid would be nowhere.
    """
    make(sandbox)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    catch_up(client_of_chain)
    recovered = listed(client, "groups/1/refunds/")
    assert [row["tx_hash"] for row in recovered] == [None, None]
    execute(sandbox)
    catch_up(client_of_chain)
    assert sweep_all(client_of_chain)["drift_history"] == 0
    rows = listed(client, "groups/1/refunds/")
    assert [row["reason"] for row in rows] == ["member_vote"] * 2 + ["creator_cancelled"] * 2
    assert rows[2:] == recovered
    # one that was made up outside any gap is no such row
    HistoryGap.objects.all().delete()
    assert sweep_all(client_of_chain)["drift_history"] == 2
    assert listed(client, "groups/1/refunds/") == rows[:2]


def test_ids_stay_when_the_first_refund_turns_up_after_the_second(
    sandbox: Sandbox, client_of_chain: SorobanClient, client: Client
) -> None:
    """Breaks if ids were counted anew: a client would take the second refund for the first."""
    make(sandbox)
    execute(sandbox)
    catch_up(client_of_chain)
    stored = list(ContractEvent.objects.order_by("id"))
    ContractEvent.objects.all().delete()
    Refund.objects.exclude(reason=Refund.Reason.MEMBER_VOTE).delete()
    Refund.objects.update(event_id=None, tx_hash=None, ordinal=1)
    alone = listed(client, "groups/1/refunds/")
    ContractEvent.objects.bulk_create(stored)
    assert sweep_all(client_of_chain)["drift_history"] == 4
    rows = {row["id"]: row for row in listed(client, "groups/1/refunds/")}
    assert len(rows) == 4
    for row in alone:
        assert rows[row["id"]]["reason"] == row["reason"] == "member_vote"
        assert rows[row["id"]]["tx_hash"]
    assert_equal(sandbox)


def test_a_row_that_is_recovered_has_the_ledger_of_its_entry(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks if what `lastModifiedLedgerSeq` says were dropped. A refund has the time of its entry too."""
    make_full_groups(sandbox, client_of_chain)
    stored = {model: list(model.objects.select_related("user")) for model in (Contribution, Payout, Refund)}
    reset = StringIO()
    call_command("reset_chain", "--yes", stdout=reset)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    catch_up(client_of_chain)
    for model, rows in stored.items():
        assert rows
        for row in rows:
            wallet = row.user.wallet_address
            again = model.objects.get(group_id=row.group_id, round=row.round, user__wallet_address=wallet)
            assert (again.event_id, again.tx_hash, again.ledger) == (None, None, row.ledger)
            assert again.created_at == (row.created_at if model is Refund else None)
    Contribution.objects.update(ledger=None)  # as an earlier version wrote them
    assert sweep_all(client_of_chain)["drift_history"] == 0
    assert not Contribution.objects.filter(ledger=None).exists()
