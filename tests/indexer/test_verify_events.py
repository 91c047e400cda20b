"""Events that one node delivered wrongly, invented or left out: the log has what two readings agree on."""

from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from ajo.indexer.follow import run_pass
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.contract import events
from ajo.soroban.models import Checkpoint, ContractEvent, RpcNode, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.pool import nodes
from contributions.models import Contribution, Payout, Refund
from devtools.sandbox.sandbox import Sandbox
from groups.cached import group_answer
from groups.models import GroupMember
from tests.support.answers import corrupt_answer, restore_answers
from tests.support.following import assert_equal, catch_up, make_groups
from tests.support.histories import History
from tests.support.nodes import use_nodes
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


def stored_state() -> list[Any]:
    history = [
        list(
            model.objects.order_by("group", "round", "user").values(
                "user", "amount", "event_id", "tx_hash", "created_at"
            )
        )
        for model in (Contribution, Payout, Refund)
    ]
    joined = list(GroupMember.objects.order_by("group", "position").values("group", "user", "joined_at"))
    return [list(ContractEvent.objects.order_by("id").values()), *history, joined]


def deep(client: SorobanClient) -> dict[str, int]:
    list(sweep_deep(lambda read: read(client)))
    return dict(SyncRun.objects.filter(kind=SyncRun.Kind.DEEP_SWEEP).latest("id").counts)


def other_hash(answer: dict[str, Any]) -> None:
    for each in answer["events"]:
        each["txHash"] = "ab" * 32


def other_time(answer: dict[str, Any]) -> None:
    for each in answer["events"]:
        each["ledgerClosedAt"] = "2024-02-03T04:05:06Z"


def other_amount(answer: dict[str, Any]) -> None:
    for each in answer["events"]:
        if each["topic"][0] == events.Contribution(1, 1, wallets(1)[0], 1).encode()[0][0]:
            each["value"] = events.Contribution(1, 1, wallets(3)[2], 7).encode()[1]


def left_out(answer: dict[str, Any]) -> None:
    answer["events"] = answer["events"][::3]


WRONG_ANSWERS: dict[str, Callable[[dict[str, Any]], None]] = {
    "hash": other_hash, "time": other_time, "amount": other_amount, "left out": left_out,
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_ANSWERS)
def test_what_one_node_delivered_wrongly_is_corrected(
    sandbox: Sandbox, client_of_chain: SorobanClient, name: str
) -> None:
    """Breaks if the log were one node's word for ever: no entry tells a time or a transaction."""
    follower = History(sandbox.chain, 8)
    follower.walk(25)
    corrupt_answer(sandbox, "getEvents", WRONG_ANSWERS[name], times=1000)
    catch_up(client_of_chain)
    restore_answers(sandbox)
    follower.walk(3)
    catch_up(client_of_chain)
    corrected = deep(client_of_chain)["events_corrected"]
    assert corrected > 0 or name == "left out"  # late events the next pass has found: see ajo/indexer/pages.py
    deep(client_of_chain)
    after = stored_state()
    assert_equal(sandbox)
    Checkpoint.objects.all().delete()
    for model in (Contribution, Payout, Refund, ContractEvent):
        model.objects.all().delete()
    GroupMember.objects.update(joined_at=None)
    catch_up(client_of_chain)
    assert stored_state() == after
    sandbox.chain.close_ledger()
    catch_up(client_of_chain)
    assert deep(client_of_chain)["events_corrected"] == 0


def invented(sandbox: Sandbox) -> Callable[[dict[str, Any]], None]:
    """A payment that never was, and the joining of a member at another time, in the newest ledger."""
    first, second = wallets(2)

    def change(answer: dict[str, Any]) -> None:
        for number, event in enumerate((events.Contribution(1, 1, first, 50), events.Joined(1, second))):
            topics, value = event.encode()
            place = f"{(answer['latestLedger'] << 32) + 4096 * 4000:019d}-{number:010d}"
            answer["events"].append({
                "type": "contract", "ledger": answer["latestLedger"], "ledgerClosedAt": "2026-01-01T00:00:00Z",
                "id": place, "contractId": sandbox.contract, "txHash": "cd" * 32, "topic": list(topics), "value": value,
            })  # fmt: skip

    return change


def paid_later(sandbox: Sandbox, client: SorobanClient) -> tuple[list[Any], bytes]:
    """A group with a second member, followed; what is shown of it."""
    make_groups(sandbox, 1)
    (first, second) = wallets(2)
    sandbox.chain.fund(first)
    sandbox.chain.call(second, "join_group", second, 1)
    sandbox.chain.close_ledger()
    catch_up(client)
    return stored_state(), group_answer(1).body


def test_events_that_were_invented_go_with_their_rows(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    before, body = paid_later(sandbox, client_of_chain)
    sandbox.chain.close_ledger()
    corrupt_answer(sandbox, "getEvents", invented(sandbox))
    catch_up(client_of_chain)
    assert Contribution.objects.exists()
    assert group_answer(1).body != body
    sandbox.chain.close_ledger()
    catch_up(client_of_chain)
    counts = deep(client_of_chain)
    assert (counts["events_corrected"], counts["unproven"]) == (2, 0)
    assert stored_state() == before
    assert group_answer(1).body == body
    assert_equal(sandbox)


def test_a_row_whose_invented_event_goes_stays_by_its_entry(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks if a round that counts as verified were not looked at again."""
    paid_later(sandbox, client_of_chain)
    (first, _) = wallets(2)
    sandbox.chain.call(first, "contribute", first, 1)
    sandbox.chain.close_ledger()
    corrupt_answer(sandbox, "getEvents", lambda answer: answer.update(events=[]))
    corrupt_answer(sandbox, "getEvents", invented(sandbox))
    catch_up(client_of_chain)
    sandbox.chain.close_ledger()
    catch_up(client_of_chain)
    assert Contribution.objects.get().tx_hash == "cd" * 32
    deep(client_of_chain)
    row = Contribution.objects.get()
    assert (row.amount, row.tx_hash) == (50, ContractEvent.objects.get(type="contrib").tx_hash)
    assert row.tx_hash != "cd" * 32


def test_a_node_that_denies_what_was_told_is_not_believed_alone(sandbox: Sandbox, settings: Settings) -> None:
    """Breaks if the check took one node's word in its turn; what they do not agree on is asked for again."""
    History(sandbox.chain, 8).walk(25)
    run_pass()
    before = stored_state()
    sandbox.chain.close_ledger()
    run_pass()
    with Sandbox(sandbox.chain.replica()) as faulty:
        use_nodes(settings, sandbox, faulty)
        corrupt_answer(faulty, "getEvents", other_hash, times=1000)
        for _ in range(2):
            list(sweep_deep(nodes().run))
            counts = SyncRun.objects.filter(kind=SyncRun.Kind.DEEP_SWEEP).latest("id").counts
            assert (counts["events_corrected"], counts["events_disputed"]) == (0, len(before[0]))
        assert stored_state() == before
        faulty.rpc.__dict__.pop("call")
        list(sweep_deep(nodes().run))
        assert Checkpoint.objects.get().events_checked_to == sandbox.chain.latest - 1
    assert not RpcNode.objects.exclude(failures=0).exists()


def test_events_that_are_checked_cost_no_more_calls(
    sandbox: Sandbox, client_of_chain: SorobanClient, settings: Settings
) -> None:
    """Two pages at a time, and none twice but the newest ledger's."""
    settings.RPC_EVENTS_LIMIT = 10
    History(sandbox.chain, 8).walk(60)
    catch_up(client_of_chain)
    asked: list[Any] = []
    corrupt_answer(sandbox, "getEvents", asked.append, times=1000)
    deep(client_of_chain)
    assert 1 < len(asked) <= 10
    while Checkpoint.objects.get().events_checked_to < sandbox.chain.latest - 1:
        before = Checkpoint.objects.get().events_checked_to
        deep(client_of_chain)
        assert Checkpoint.objects.get().events_checked_to > before
    asked.clear()
    deep(client_of_chain)
    assert len(asked) == 1


def test_events_that_a_node_has_pruned_are_left_as_they_are(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks if what a node does not keep any more were taken for invented."""
    History(sandbox.chain, 8).walk(25)
    catch_up(client_of_chain)
    before = stored_state()
    sandbox.chain.close_ledger(sandbox.chain.retention - 5)
    catch_up(client_of_chain)
    for _ in range(2):  # a node looks through 10,000 ledgers a page
        deep(client_of_chain)
    assert stored_state() == before
    assert Checkpoint.objects.get().events_checked_to == sandbox.chain.latest - 1
