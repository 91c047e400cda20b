"""History that no event announces any more: recovered from the entries, and completed when its event turns up."""

from __future__ import annotations

from typing import Any

import pytest

from ajo.indexer import backfill
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.contract.keys import ContribKey, decode_key
from ajo.soroban.models import Checkpoint, HistoryGap
from ajo.soroban.rpc.client import SorobanClient
from contributions.models import Contribution, Payout
from devtools.sandbox.sandbox import Sandbox
from tests.support.answers import corrupt_answer
from tests.support.following import assert_equal, catch_up, make_groups
from tests.support.histories import History

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_empty_database_takes_all_groups_though_their_events_are_pruned(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks without `_load_state` (no groups), `note_first_gap` (nothing says so) or `recover_gaps` (no history)."""
    History(sandbox.chain, 21).walk(40)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    make_groups(sandbox, 2)
    catch_up(client_of_chain)
    assert_equal(sandbox)
    gap = HistoryGap.objects.get()
    assert gap.from_ledger == 0
    assert gap.recovered_at is not None
    recovered = Contribution.objects.filter(event_id=None)
    assert recovered.exists()
    assert not recovered.exclude(tx_hash=None, created_at=None).exists()


def test_events_pruned_while_the_sync_was_away_are_a_gap_and_what_they_told_is_recovered(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks without `_out_of_range` (refused for ever), or with a gap that begins where the node's window does."""
    history = History(sandbox.chain, 8)
    history.walk(30)
    catch_up(client_of_chain)
    left = Checkpoint.objects.get().ledger
    history.walk(30)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    history.walk(10)
    catch_up(client_of_chain)
    assert_equal(sandbox)
    gap = HistoryGap.objects.get()
    assert gap.from_ledger == left
    assert gap.to_ledger >= sandbox.chain.range().first - 1


def test_a_recovered_contribution_is_completed_not_doubled_when_its_event_turns_up(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Breaks if `record` knew a row by its event: the recovered one has none."""
    History(sandbox.chain, 5).walk(40)
    catch_up(client_of_chain)
    stored = list(Contribution.objects.order_by("id").values())
    Contribution.objects.update(event_id=None, tx_hash=None, ledger=None, created_at=None)
    Checkpoint.objects.update(cursor="")
    catch_up(client_of_chain)
    assert list(Contribution.objects.order_by("id").values()) == stored


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


def test_entries_that_a_node_leaves_out_of_a_recovery_are_asked_for_again(
    sandbox: Sandbox, client_of_chain: SorobanClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if a payout without its recipient's contribution were taken as it is: its round would count as verified,
    with an amount of 0, and its contributions would be lost for good.
    """
    History(sandbox.chain, 8).walk(40)
    sandbox.chain.close_ledger(sandbox.chain.retention)
    read = backfill.read_history

    def left_out(answer: dict[str, Any]) -> None:
        answer["entries"] = [e for e in answer["entries"] if not isinstance(decode_key(e["key"])[1], ContribKey)]

    def without(*args: Any, **kwargs: Any) -> Any:
        corrupt_answer(sandbox, "getLedgerEntries", left_out)
        return read(*args, **kwargs)

    monkeypatch.setattr(backfill, "read_history", without)
    catch_up(client_of_chain)
    assert HistoryGap.objects.get().recovered_at is not None
    assert not Payout.objects.filter(amount=0).exists()
    list(sweep_deep(lambda read: read(client_of_chain)))
    assert_equal(sandbox)
