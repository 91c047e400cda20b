"""A success is said when every reader is shown it, and not before; whatever dies in between is done again."""

import time
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from stellar_sdk import scval

from ajo import cache
from ajo.api.freshness import CACHE_CONTROL
from ajo.edge.application import LOCAL_TTL
from ajo.indexer.lease import Superseded, lease
from ajo.soroban.contract.keys import InstanceKey
from ajo.soroban.models import MOVES, ChainTransaction, Checkpoint, ContractEvent, UndecodedEntry
from ajo.transactions import follow, visibility
from ajo.transactions.settle import settle
from ajo.transactions.tasks import follow_transactions
from groups.models import Group
from tests.support.factories import make_transaction
from tests.support.proxy import Exchange, NoAnswer, Reply
from tests.support.sending import ALICE, CAROL, send
from tests.support.submitted import Status, Writing, writing

__all__ = ["writing"]
pytestmark = pytest.mark.django_db(transaction=True)


def shown() -> visibility.Shown:
    found = visibility.shown()
    assert found is not None
    return found


def test_the_delay_covers_what_a_web_process_and_a_proxy_keep() -> None:
    kept = int(CACHE_CONTROL[1].partition("max-age=")[2].partition(",")[0])
    assert visibility.READ_DELAY == 1.5 >= LOCAL_TTL + kept


def version() -> bytes:
    """The value in Redis by which readers judge what is cached."""
    found = cache.client().get(cache.VERSION_KEY)
    assert isinstance(found, bytes)
    return found


def test_an_event_whose_ledger_readers_are_not_shown_yet_settles_nothing(writing: Writing) -> None:
    """The tables have it, Redis does not: a plain read would show the group as it was."""
    before = version()
    tx = writing.post(writing.joining())
    writing.close()
    after = version()
    cache.client().set(cache.VERSION_KEY, before)
    writing.follow()
    assert writing.status(tx) == Status.PENDING
    cache.client().set(cache.VERSION_KEY, after)
    writing.follow()
    assert writing.status(tx) == Status.SUCCESS


def test_an_event_of_a_ledger_that_the_tables_have_in_part_settles_nothing(writing: Writing) -> None:
    tx = writing.post(writing.joining())
    writing.close()
    ledger = ContractEvent.objects.get(tx_hash=tx).ledger
    Checkpoint.objects.update(ledger=ledger - 1)
    writing.follow()
    assert writing.status(tx) == Status.PENDING


def test_an_event_whose_group_was_last_read_before_settles_nothing(writing: Writing) -> None:
    tx = writing.post(writing.joining())
    writing.close()
    ledger = ContractEvent.objects.get(tx_hash=tx).ledger
    Group.objects.filter(pk=1).update(synced_ledger=ledger - 1)
    writing.follow()
    assert writing.status(tx) == Status.PENDING
    Group.objects.filter(pk=1).update(synced_ledger=ledger)
    writing.follow()
    assert writing.status(tx) == Status.SUCCESS


def test_without_redis_the_tables_count(writing: Writing) -> None:
    tx = writing.post(writing.joining())
    writing.close()
    cache.client().flushall()
    writing.follow()
    assert writing.status(tx) == Status.SUCCESS


def test_tables_that_are_filled_anew_settle_nothing(writing: Writing) -> None:
    watermark = cache.current_watermark()
    assert watermark is not None
    cache.client().set(cache.VERSION_KEY, version().replace(watermark.freshness.dataset_id.encode(), b"0" * 32))
    assert visibility.shown() is None


def test_a_name_is_there_when_its_success_is_said(
    writing: Writing, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event announces it. Breaks if the group were not read again: where there are many groups no pass does."""
    monkeypatch.setattr("ajo.indexer.follow.recent_texts", lambda checkpoint: {})
    tx = writing.post(writing.naming("Umoja"))
    said = []
    for _ in range(6):
        writing.step()
        said.append((writing.status(tx), client.get("/api/v1/groups/1/").json()["name"]))
        if said[-1][0] == Status.SUCCESS:
            break
    assert said[-1] == (Status.SUCCESS, "Umoja")
    row = writing.row(tx)
    assert (row.result, row.group_id) == (None, 1)
    assert row.fee_charged
    answer = client.get(f"/api/v1/groups/1/?min_ledger={row.ledger}")
    assert answer.json()["name"] == "Umoja"
    assert int(answer["Latest-Ledger"]) >= (row.ledger or 0)


def test_a_name_is_no_success_before_lists_are_shown_anew(writing: Writing) -> None:
    """A page that was rendered between the ledger and the second reading has the old name."""
    tx = writing.post(writing.naming("Umoja"))
    writing.close()
    watermark = cache.current_watermark()
    assert watermark is not None
    writing.follow()
    assert writing.row(tx).ledger == writing.chain.latest
    assert Group.objects.get(pk=1).name == "Umoja"
    for _ in range(2):
        writing.follow()
        assert writing.status(tx) == Status.PENDING
    writing.sync()
    writing.follow()
    assert writing.status(tx) == Status.SUCCESS


def test_a_group_that_was_read_again_and_is_not_in_redis_yet_is_no_success(writing: Writing) -> None:
    """A pass has committed it, and was slow or died before it came to the cache: found by a run of 300 submissions."""
    tx = writing.post(writing.naming("Umoja"))
    writing.close()
    writing.follow()
    writing.sync()
    watermark = cache.current_watermark()
    assert watermark is not None
    changed_at = datetime.fromtimestamp(watermark.freshness.as_of + 0.5, UTC)
    Group.objects.filter(pk=1).update(changed_at=changed_at)
    writing.follow()
    assert writing.status(tx) == Status.PENDING
    writing.sync()
    time.sleep(max(0.0, changed_at.timestamp() - time.time()))
    writing.sync()
    writing.follow()
    assert writing.status(tx) == Status.SUCCESS


def test_a_watermark_that_comes_back_while_it_is_waited_counts(
    writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis was empty when the run began, and holds bodies of an older ledger when it ends."""
    before = version()
    tx = writing.post(writing.joining())
    writing.close()
    cache.client().flushall()
    monkeypatch.setattr(visibility.Shown, "wait", lambda shown: cache.client().set(cache.VERSION_KEY, before))
    writing.follow()
    assert writing.status(tx) == Status.PENDING


def test_a_pause_is_there_when_its_success_is_said(writing: Writing, client: Client) -> None:
    tx = writing.post(writing.call("pause", by=writing.admin))
    for _ in range(4):
        writing.step()
        assert (writing.status(tx) == Status.SUCCESS) <= client.get("/api/v1/status/").json()["paused"]
    assert writing.status(tx) == Status.SUCCESS


def test_a_contract_entry_that_cannot_be_decoded_holds_nothing_up_for_ever(writing: Writing) -> None:
    tx = writing.post(writing.naming("Umoja"))
    writing.step()
    writing.sync()
    before = Checkpoint.objects.get()
    Checkpoint.objects.update(instance_ledger=before.ledger - 1)
    UndecodedEntry.objects.create(key=InstanceKey().to_xdr(before.contract), xdr="", error="", ledger=before.ledger)
    writing.follow()
    assert writing.status(tx) == Status.SUCCESS


def test_nothing_is_followed_on_another_chain(writing: Writing) -> None:
    tx = writing.post(writing.joining())
    writing.close()
    Checkpoint.objects.update(halted="another chain")
    writing.follow()
    assert writing.status(tx) == Status.PENDING


# -- processes that die, and two at once


def test_a_run_that_dies_at_any_of_its_calls_is_done_again(writing: Writing) -> None:
    """Two creations on one state: one succeeds, one fails. The follower is cut off at its first, second… request."""
    calls = [scval.to_uint64(1), *(scval.to_string(text) for text in ("Umoja", "", ""))]
    for cut in range(7):
        hashes = [writing.post(each) for each in (writing.joining(CAROL, group=2),)] if cut == 0 else []
        hashes += [writing.post(writing.call("set_group_metadata", *calls, by=ALICE))]
        writing.close()
        left = [cut]

        def dies(exchange: Exchange, left: list[int] = left) -> Reply:
            left[0] -= 1
            if left[0] < 0:
                raise NoAnswer
            return exchange.forward()

        with writing.proxy.failing(dies):
            follow_transactions()
        for _ in range(4):
            writing.step()
        assert [writing.status(tx) for tx in hashes] == [Status.SUCCESS] * len(hashes)


def test_one_follower_runs_at_a_time(writing: Writing) -> None:
    tx = writing.post(writing.joining())
    writing.close()
    with lease(follow.LEASE), pytest.raises(Superseded):
        writing.follow()
    assert writing.status(tx) == Status.PENDING


def test_a_double_sending_has_one_effect(writing: Writing) -> None:
    """Whatever lets two processes send one transaction does no harm: breaks if resending built it anew."""
    envelope = writing.joining()
    tx = writing.post(envelope)
    assert [send(writing.sandbox, envelope)["status"] for _ in range(3)] == ["DUPLICATE"] * 3
    writing.step()
    assert send(writing.sandbox, envelope)["status"] == "TRY_AGAIN_LATER"
    writing.step(12)
    assert writing.status(tx) == Status.SUCCESS
    assert ContractEvent.objects.filter(type="joined", group_id=1).count() == 1
    assert ContractEvent.objects.filter(tx_hash=tx).count() == 1


# -- moves


@pytest.mark.parametrize("old", Status.values)
def test_the_database_holds_the_table_of_moves(old: str) -> None:
    for new in Status.values:
        ChainTransaction.objects.all().delete()
        make_transaction(1, status=old, ledger=1000)
        allowed = new == old or new in MOVES[old]
        with transaction.atomic():
            try:
                with transaction.atomic():
                    ChainTransaction.objects.update(status=new)
                assert allowed
            except DatabaseError:
                assert not allowed


def test_an_event_that_comes_late_overrules_a_refusal_and_nothing_else(writing: Writing) -> None:
    writing.step()
    event = ContractEvent.objects.order_by("id").first()
    assert event is not None
    for status in Status.values:
        ChainTransaction.objects.all().delete()
        ledger = event.ledger if status in (Status.SUCCESS, Status.FAILED) else None
        make_transaction(1, hash=event.tx_hash, status=status, ledger=ledger)
        settle(shown())
        ended = ChainTransaction.objects.get().status
        assert ended == (Status.SUCCESS if status in (Status.PENDING, Status.REJECTED) else status)
