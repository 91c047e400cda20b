"""What would have been lost, doubled or believed for good after one slip: each of these once was."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from ajo import cache
from ajo.indexer import backfill, heal, lease
from ajo.indexer.follow import run_pass, sync_pass
from ajo.indexer.lease import Superseded
from ajo.indexer.solvency import check_solvency
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.contract.entries import Entry, Instance, decode_entry
from ajo.soroban.contract.keys import ContribKey, GroupKey, InstanceKey, RefundKey, decode_key
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap, Lease, RpcNode, SyncRun, UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import NodeLagging, RpcUnavailable, WrongChain
from ajo.soroban.rpc.pool import nodes
from contributions.models import Contribution, Payout, Refund
from devtools.sandbox.sandbox import Sandbox
from groups.cached import group_answer
from groups.models import Group, GroupMember, Token, User
from groups.tokens import read_tokens, save_tokens
from tests.support.answers import corrupt_answer, restore_answers
from tests.support.commands import run_command
from tests.support.faults import error, when
from tests.support.following import assert_equal, catch_up, corrupt_entry, make_groups
from tests.support.histories import DAY, History
from tests.support.nodes import use_nodes
from tests.support.proxy import Proxy
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


def whole_round(sandbox: Sandbox) -> str:
    """Group 1, of two who have both paid its first round; who made it, and is paid next."""
    first, second = wallets(2)
    chain = sandbox.chain
    for wallet in (first, second):
        chain.fund(wallet)
    chain.call(first, "create_group", first, chain.token, 50, DAY, 2, 0, 0, 0)
    chain.call(second, "join_group", second, 1)
    for wallet in (first, second):
        chain.call(wallet, "contribute", wallet, 1)
    chain.close_ledger()
    return first


# -- history


def test_what_a_deep_sweep_left_to_the_events_is_recovered_when_they_never_come(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if a round counted as verified though entries of it were left out: nobody would ask for them again, and
    the payouts that they add up to would be nothing.
    """
    history = History(sandbox.chain, 8)
    history.walk(30)
    catch_up(client_of_chain)
    history.walk(40)
    list(sweep_deep(lambda read: read(client_of_chain)))
    sandbox.chain.close_ledger(sandbox.chain.retention)
    catch_up(client_of_chain)
    assert HistoryGap.objects.count() == 1
    assert_equal(sandbox)


def test_a_rebuild_after_events_were_pruned_says_that_they_are_missing(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if beginning anew moved the cursor past what was never read: the gap would be nowhere."""
    history = History(sandbox.chain, 8)
    history.walk(30)
    catch_up(client_of_chain)
    left = Checkpoint.objects.get().ledger
    history.walk(30)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    run_command("rebuild")
    assert HistoryGap.objects.get().from_ledger == left
    assert_equal(sandbox)


def test_a_rebuild_leaves_no_gap_in_what_the_log_has(sandbox: Sandbox) -> None:
    """The events were read, though the node keeps only the newest by now."""
    History(sandbox.chain, 8).walk(30)
    for _ in range(3):  # never away for as long as the node keeps events
        run_command("sync")
        sandbox.chain.close_ledger(sandbox.chain.retention // 2)
    Contribution.objects.all().delete()
    run_command("rebuild")
    assert not HistoryGap.objects.exists()
    assert not Contribution.objects.filter(event_id=None).exists()
    assert_equal(sandbox)


def test_a_rebuild_puts_wrong_payouts_and_refunds_right_and_keeps_their_transactions(sandbox: Sandbox) -> None:
    History(sandbox.chain, 7).walk(40)
    run_command("sync")
    told = {model: list(model.objects.order_by("group", "round", "user").values()) for model in (Payout, Refund)}
    assert all(told.values())
    Payout.objects.update(amount=7, ledger=2**31)
    Refund.objects.update(amount=7, reason=(Refund.objects.all()[0].reason + 1) % 3)
    said = run_command("rebuild")
    for model, rows in told.items():
        name = f"{model.__name__.lower()}s"
        assert f"{name}_removed {len(rows)}" in said
        assert f"{name}_added {len(rows)}" in said
        again = model.objects.order_by("group", "round", "user").values()
        assert [row | {"id": 0} for row in again] == [row | {"id": 0} for row in rows]
    assert_equal(sandbox)


def test_of_an_empty_database_a_dry_run_says_that_it_is_and_leaves_it_so(sandbox: Sandbox) -> None:
    make_groups(sandbox, 1)
    assert "it would fill them" in run_command("rebuild", "--dry-run")
    assert not Checkpoint.objects.exists()


def counted(number: int) -> Any:
    """The contract's own entry with another count of groups."""

    def change(said: dict[str, Any]) -> None:
        for each in said["entries"]:
            entry = decode_entry(each["xdr"])
            if isinstance(entry.value, Instance):
                fewer = replace(entry.value, group_counter=number)
                each["xdr"] = Entry(entry.contract, InstanceKey(), fewer).to_xdr()

    return change


def test_a_rebuild_removes_no_group_that_the_chain_has(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks if the count alone decided: it may be one of long ago, where the contract's entry cannot be read."""
    make_groups(sandbox, 4)
    catch_up(client_of_chain)
    corrupt_answer(sandbox, "getLedgerEntries", counted(2), times=100)
    assert "groups_removed 0" in run_command("rebuild", "--dry-run")


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


# -- nodes


def test_a_node_that_keeps_less_makes_no_gap_where_another_keeps_more(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if the first node's word were enough: the other one would never be asked for the events again."""
    history = History(sandbox.chain, 8)
    history.walk(20)
    run_pass()
    history.walk(30)
    keeps_less = sandbox.chain.replica()
    keeps_less.retention = 5
    with Sandbox(keeps_less) as less, Proxy(sandbox.url) as more:
        use_nodes(settings, less, more)
        with (
            more.failing(when("getEvents", error(-32603, "database is locked"))),
            pytest.raises(RpcUnavailable, match="locked"),
        ):
            run_pass()
        while not run_pass().caught_up:
            pass
        list(sweep_groups(nodes().run))  # names, of which no event tells
        assert not HistoryGap.objects.exists()
        assert_equal(sandbox)


def test_a_node_that_is_dead_for_long_has_no_say_in_what_the_others_agree_on(
    sandbox: Sandbox, settings: Settings
) -> None:
    """Breaks if every address had to answer: with a dead one in the list, the sync would wait for ever."""
    History(sandbox.chain, 8).walk(20)
    run_pass()
    sandbox.chain.close_ledger(sandbox.chain.retention)
    make_groups(sandbox, 1)
    with Sandbox(sandbox.chain.replica()) as dead:
        use_nodes(settings, sandbox, dead)
    with pytest.raises(RpcUnavailable):
        run_pass()
    RpcNode.objects.filter(name__startswith="2:").update(answered_at=timezone.now() - timedelta(minutes=11))
    while not run_pass().caught_up:
        pass
    assert HistoryGap.objects.count() == 1
    assert_equal(sandbox)


def test_a_ledger_that_is_not_there_yet_once_believed_halts_nothing(sandbox: Sandbox) -> None:
    """Too small a leap to be asked for twice. Breaks if contradictions alone were enough for another chain: every
    honest answer of the next seconds is one.
    """
    make_groups(sandbox, 1)
    run_pass()
    corrupt_answer(sandbox, "getEvents", lambda said: said.update(latestLedger=said["latestLedger"] + 4))
    make_groups(sandbox, 1)
    run_pass()
    sandbox.chain.close_ledger()
    with pytest.raises(NodeLagging, match="have our groups"):
        run_pass()
    assert Checkpoint.objects.get().halted == ""
    sandbox.chain.close_ledger(9)
    run_pass()
    assert_equal(sandbox)


def test_groups_that_are_not_there_are_not_counted(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks if a count were believed by itself: every honest one that comes later would be another chain's."""
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    corrupt_answer(sandbox, "getLedgerEntries", counted(7))
    make_groups(sandbox, 1)
    with pytest.raises(NodeLagging, match="counts 7 groups and does not have group 7"):
        catch_up(client_of_chain)
    catch_up(client_of_chain)
    assert Checkpoint.objects.get().group_count == 3
    assert_equal(sandbox)


def test_a_group_that_a_node_leaves_out_is_not_taken_for_none(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks if the first load believed it: the tables would be loaded without the group."""
    make_groups(sandbox, 3)
    missing = GroupKey(2).to_xdr(sandbox.contract)

    def without(said: dict[str, Any]) -> None:
        said["entries"] = [each for each in said["entries"] if each["key"] != missing]

    corrupt_answer(sandbox, "getLedgerEntries", without, times=3)
    with pytest.raises(NodeLagging, match="does not have group 2"):
        catch_up(client_of_chain)
    assert not Checkpoint.objects.get().is_loaded
    restore_answers(sandbox)
    catch_up(client_of_chain)
    assert_equal(sandbox)


def test_another_chains_first_group_is_not_recognised(sandbox: Sandbox) -> None:
    make_groups(sandbox, 1)
    run_pass()
    sandbox.chain.reset()
    sandbox.chain.close_ledger(3)
    make_groups(sandbox, 1)
    with pytest.raises(WrongChain):
        run_pass()
    assert Checkpoint.objects.get().halted


def test_a_nodes_words_are_told_to_no_client(sandbox: Sandbox, settings: Settings) -> None:
    with Proxy(sandbox.url) as node:
        use_nodes(settings, node)
        refused = node.failing(when("getLedgerEntries", error(-32000, "invalid key abc123")))
        with refused, pytest.raises(cache.Unavailable) as unavailable:
            group_answer(1)
    assert unavailable.value.detail == "The chain cannot be read now."


def test_a_token_is_not_taken_for_none_by_a_node_from_before_it(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if any node's word were enough: a token is read once, and its symbol would be unknown for ever."""
    Token.objects.create(address=sandbox.chain.token)
    with pytest.raises(NodeLagging):
        read_tokens(client_of_chain, sandbox.chain.latest + 1)
    save_tokens(read_tokens(client_of_chain, sandbox.chain.latest))
    assert Token.objects.get().symbol is not None


# -- runners


def test_a_lease_that_another_had_meanwhile_is_not_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if a free lease could be renewed: what this runner has read is from before the other's pass."""
    monkeypatch.setattr(lease, "RENEW_AFTER", 0.0)
    with lease.lease("sync") as slow:
        slow.renew()
        Lease.objects.update(until=timezone.now() - timedelta(seconds=1))
        slow.renew()  # late, but nobody came
        Lease.objects.update(until=timezone.now() - timedelta(seconds=1))
        with lease.lease("sync"):
            pass
        with pytest.raises(Superseded):
            slow.renew()


def test_a_deep_sweep_that_is_asked_for_looks_at_every_group_wherever_the_days_round_is(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 5)
    catch_up(client_of_chain)
    Checkpoint.objects.update(deep_swept_to=3)
    run_command("sweep", "--deep")
    assert SyncRun.objects.filter(kind=SyncRun.Kind.DEEP_SWEEP).latest("id").counts["groups"] == 5
    assert Checkpoint.objects.get().deep_swept_to == 0


def test_balances_of_a_ledger_that_the_tables_have_not_reached_are_compared_with_nothing(
    sandbox: Sandbox, client_of_chain: SorobanClient, settings: Settings
) -> None:
    """Breaks if a debt from before stood beside a balance from after: whoever is paid out in between would be a
    shortfall.
    """
    settings.SYNC_INTERVAL = 0
    chain, members = sandbox.chain, wallets(2)
    for member in members:
        chain.fund(member)
    chain.call(members[0], "create_group", members[0], chain.token, 50, DAY, 2, 0, 0, 0)
    chain.call(members[1], "join_group", members[1], 1)
    for member in members:
        chain.call(member, "contribute", member, 1)
    chain.close_ledger()
    catch_up(client_of_chain)
    list(sweep_deep(lambda read: read(client_of_chain)))
    before = Token.objects.values().get()
    assert before["balance"] == before["owed"] == 100
    chain.advance(2 * DAY)
    chain.call(members[0], "execute_payout", 1)
    chain.close_ledger()
    check_solvency(Checkpoint.objects.get(), {"calls": 0}, client_of_chain)
    assert Token.objects.values().get() == before
    catch_up(client_of_chain)
    list(sweep_deep(lambda read: read(client_of_chain)))
    after = Token.objects.get()
    assert after.balance == int(after.owed) == 0


# -- history that is there, and counted as what it is


def test_entries_that_a_node_leaves_out_of_a_recovery_are_asked_for_again(
    sandbox: Sandbox, client_of_chain: SorobanClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if a payout without its recipient's contribution were taken as it is: its round would count as verified,
    with an amount of 0, and its contributions would be lost for good.
    """
    History(sandbox.chain, 8).walk(40)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    read = backfill.read_history

    def left_out(said: dict[str, Any]) -> None:
        said["entries"] = [each for each in said["entries"] if not isinstance(decode_key(each["key"])[1], ContribKey)]

    def without(*args: Any, **kwargs: Any) -> Any:
        corrupt_answer(sandbox, "getLedgerEntries", left_out)
        return read(*args, **kwargs)

    monkeypatch.setattr(backfill, "read_history", without)
    catch_up(client_of_chain)
    assert HistoryGap.objects.get().recovered_at is not None
    assert not Payout.objects.filter(amount=0).exists()
    list(sweep_deep(lambda read: read(client_of_chain)))
    assert_equal(sandbox)


def test_a_refund_whose_entry_cannot_be_read_survives_a_rebuild(sandbox: Sandbox) -> None:
    """Breaks if an entry that nobody can read proved nothing: what its event told would be removed, for good."""
    History(sandbox.chain, 7).walk(40)
    run_command("sync")
    refund = Refund.objects.select_related("user").order_by("id")[0]
    told = Refund.objects.count()
    sandbox.chain.close_ledger(sandbox.chain.retention)
    run_command("sync")
    corrupt_entry(sandbox, RefundKey(refund.group_id, refund.user.wallet_address))
    assert "refunds_removed 0" in run_command("rebuild")
    assert Refund.objects.count() == told


def test_what_a_gap_swallowed_is_no_drift(sandbox: Sandbox, client_of_chain: SorobanClient, settings: Settings) -> None:
    History(sandbox.chain, 8).walk(40)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    History(sandbox.chain, 9).walk(20)
    settings.RPC_EVENTS_LIMIT = 3
    assert not sync_pass(client_of_chain).caught_up
    list(sweep_deep(lambda read: read(client_of_chain)))
    assert HistoryGap.objects.get().recovered_at is None
    assert Checkpoint.objects.get().drift["history"] == 0


def test_a_row_that_came_while_a_deep_sweep_read_is_not_unproven(
    sandbox: Sandbox, client_of_chain: SorobanClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, first = sandbox.chain, whole_round(sandbox)
    catch_up(client_of_chain)
    read = backfill.read_history

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        chain.advance(2 * DAY)
        for fn, *arguments in (("execute_payout", 1), ("contribute", first, 1)):
            assert chain.call(first, fn, *arguments).error is None
        chain.close_ledger()
        catch_up(client_of_chain)
        return read(*args, **kwargs)

    monkeypatch.setattr(heal, "read_history", meanwhile)
    list(sweep_deep(lambda read: read(client_of_chain)))
    assert SyncRun.objects.filter(kind=SyncRun.Kind.DEEP_SWEEP).latest("id").counts["unproven"] == 0
    assert not Group.objects.unconfirmed().exists()


def test_a_rebuild_mends_the_log_the_joining_times_and_whose_event_a_row_is(sandbox: Sandbox) -> None:
    """Breaks if what stands there already were left alone: a transaction that never was would be shown for good."""
    History(sandbox.chain, 8).walk(30)
    run_command("sync")

    def shown() -> list[Any]:
        return [
            list(ContractEvent.objects.order_by("id").values()),
            list(GroupMember.objects.order_by("group", "position").values("group", "user", "joined_at")),
            list(Contribution.objects.order_by("group", "round", "user").values("event_id", "tx_hash", "ledger")),
        ]

    right = shown()
    ContractEvent.objects.update(tx_hash="b" * 64)
    GroupMember.objects.update(joined_at=timezone.now())
    one = Contribution.objects.order_by("id")[0]
    Contribution.objects.filter(pk=one.pk).update(event_id=f"9{str(one.event_id)[1:]}", tx_hash="b" * 64)
    run_command("rebuild")
    assert shown() == right


def test_a_sweep_by_hand_looks_at_all_groups(sandbox: Sandbox) -> None:
    """Breaks if it went on where the worker's was killed, and ended there."""
    make_groups(sandbox, 4)
    run_command("sync")
    Checkpoint.objects.update(swept_to=3)
    Group.objects.filter(pk=1).update(entry_xdr="AAAA", member_count=2)
    run_command("sweep")
    assert_equal(sandbox)


def test_a_token_that_a_group_collects_which_nobody_can_read_is_not_judged(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if the debt of what the table last had were compared with the balance of now."""
    chain, first = sandbox.chain, whole_round(sandbox)
    catch_up(client_of_chain)
    chain.advance(2 * DAY)
    assert chain.call(first, "execute_payout", 1).error is None
    chain.close_ledger()
    corrupt_entry(sandbox, GroupKey(1))
    catch_up(client_of_chain)
    assert Group.objects.get().unreadable_since is not None
    check_solvency(Checkpoint.objects.get(), {"calls": 0}, client_of_chain)
    assert not Token.objects.short().exists()


def test_an_entry_of_the_contract_itself_that_could_not_be_read_once_is_settled(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    own = InstanceKey().to_xdr(sandbox.contract)
    corrupt_answer(
        sandbox, "getLedgerEntries",
        lambda said: [each.update(xdr="AAAA") for each in said["entries"] if each["key"] == own],
    )  # fmt: skip
    for undecoded in (1, 0):
        sandbox.chain.close_ledger()
        catch_up(client_of_chain)
        assert UndecodedEntry.objects.count() == undecoded


def test_a_database_that_takes_no_changes_is_no_fault_of_ours(sandbox: Sandbox, client: Client) -> None:
    """As after a failover, for a group that the tables do not have. Breaks as 500."""
    make_groups(sandbox, 1)
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    try:
        response = client.get("/api/v1/groups/1/")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
    assert (response.status_code, "Retry-After" in response.headers) == (503, True)


def test_a_run_whose_process_died_is_closed_by_the_next(sandbox: Sandbox) -> None:
    dead = SyncRun.objects.create(kind=SyncRun.Kind.SYNC)
    other = SyncRun.objects.create(kind=SyncRun.Kind.SWEEP)
    make_groups(sandbox, 1)
    run_pass()
    dead.refresh_from_db()
    other.refresh_from_db()
    assert (dead.outcome, other.outcome) == (SyncRun.Outcome.FAILED, SyncRun.Outcome.RUNNING)
    assert (dead.finished_at is not None, "killed" in dead.reason) == (True, True)
