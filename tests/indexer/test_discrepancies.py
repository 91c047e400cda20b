"""Rows of history against what proves them: missing and invented ones are corrected; an omission removes none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ajo.indexer import backfill, heal
from ajo.indexer.discrepancies import COLUMNS
from ajo.soroban.contract.keys import ContribKey, decode_key
from ajo.soroban.models import Checkpoint, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from contributions.models import HISTORY, Contribution, HistoryRow, Payout, Refund
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group, GroupMember, RefundRequest, User
from tests.support.answers import corrupt_answer, restore_answers
from tests.support.following import CANCELLED, RUNNING, assert_equal, make_full_groups
from tests.support.sweeps import SWEEPS, Sweep, by_name_deeply, by_the_daily_share, stored_state
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


def test_columns_of_history_are_those_of_the_models() -> None:
    """Breaks if a column were added that no event or entry is compared with."""
    for model in HISTORY:
        fields = {f.attname for f in model._meta.concrete_fields if not (f.primary_key or f.generated)}
        assert fields - set(COLUMNS[model]) == ({"ordinal"} if model is Refund else set())


@pytest.mark.parametrize("sweep", SWEEPS)
def test_rows_that_are_missing_or_invented_are_corrected(
    sandbox: Sandbox, client_of_chain: SorobanClient, sweep: Sweep
) -> None:
    make_full_groups(sandbox, client_of_chain)
    right = stored_state()
    stranger = User.objects.ensure([wallets(9)[6]])[wallets(9)[6]]
    member = GroupMember.objects.filter(group=RUNNING)[1]

    def invent(model: type[HistoryRow], **values: Any) -> None:
        row: dict[str, Any] = {"group_id": RUNNING, "user_id": member.user_id, "amount": 50, "round": 2}
        model.objects.create(**row | ({"reason": 2} if model is Refund else {}) | values)

    wrongs: list[tuple[int, Callable[[], object]]] = [
        (RUNNING, lambda: Contribution.objects.filter(group=RUNNING).order_by("id")[0].delete()),
        (RUNNING, lambda: Contribution.objects.filter(group=RUNNING).delete()),
        (RUNNING, lambda: Payout.objects.all().delete()),
        (CANCELLED, lambda: Refund.objects.order_by("id")[1].delete()),
        (RUNNING, lambda: invent(Contribution, round=7)),
        (RUNNING, lambda: invent(Contribution, round=1, user_id=stranger)),
        (RUNNING, lambda: invent(Contribution, round=7, ledger=2**31, event_id="9" * 30, tx_hash="b" * 64)),
        (RUNNING, lambda: invent(Contribution, round=7, ledger=2**31)),
        (CANCELLED, lambda: Contribution.objects.filter(group=RUNNING, round=2).update(group=CANCELLED)),
        (RUNNING, lambda: invent(Payout)),
        (RUNNING, lambda: invent(Refund)),
        (RUNNING, lambda: GroupMember.objects.filter(group=RUNNING, position=1).delete()),
        (RUNNING, lambda: GroupMember.objects.filter(group=RUNNING).delete()),
        (RUNNING, lambda: GroupMember.objects.create(
            group_id=RUNNING, user_id=stranger, position=3, has_contributed=False)),
        (RUNNING, lambda: GroupMember.objects.filter(group=RUNNING).update(joined_at=None)),
        (RUNNING, lambda: RefundRequest.objects.all().delete()),
        (CANCELLED, lambda: RefundRequest.objects.filter(group=RUNNING).update(group=CANCELLED)),
    ]  # fmt: skip
    for number, (group_id, spoil) in enumerate(wrongs):
        drift = Checkpoint.objects.get().drift_total
        spoil()
        assert stored_state() != right, number
        sweep(group_id)
        if group_id == CANCELLED:
            sweep(RUNNING)
        assert stored_state() == right, number
        assert Checkpoint.objects.get().drift_total > drift, number
    assert_equal(sandbox)


def test_one_answer_that_leaves_entries_out_removes_nothing(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks without the second reading: what a node does not say once is no proof that it never was."""
    make_full_groups(sandbox, client_of_chain)
    right = stored_state()

    def without(answer: dict[str, Any]) -> None:
        answer["entries"] = [e for e in answer["entries"] if decode_key(e["key"])[1] != ContribKey(1, 1, wallets(3)[2])]

    read, left = backfill.read_history, [1]

    def once(*args: Any, **kwargs: Any) -> Any:
        if left and left.pop():
            corrupt_answer(sandbox, "getLedgerEntries", without)
        return read(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heal, "read_history", once)
        by_name_deeply(RUNNING)
    assert not left
    assert stored_state() == right
    assert SyncRun.objects.latest("id").counts["drift_history"] == 0


def test_a_node_whose_entries_contradict_each_other_removes_nothing_and_staff_are_told(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """A member who was paid out has paid. Breaks if what such a node leaves out were taken for what never was."""
    make_full_groups(sandbox, client_of_chain)
    right = stored_state()

    def without(answer: dict[str, Any]) -> None:
        answer["entries"] = [e for e in answer["entries"] if not isinstance(decode_key(e["key"])[1], ContribKey)]

    read = backfill.read_history

    def read_without_contributions(*args: Any, **kwargs: Any) -> Any:
        corrupt_answer(sandbox, "getLedgerEntries", without)
        return read(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heal, "read_history", read_without_contributions)
        by_the_daily_share(RUNNING)
    assert stored_state() == right
    assert list(Group.objects.unconfirmed().values_list("pk", flat=True).order_by("pk")) == [RUNNING, CANCELLED]
    runs = SyncRun.objects.filter(kind=SyncRun.Kind.DEEP_SWEEP)
    assert any(counts["unproven"] for counts in runs.values_list("counts", flat=True))
    restore_answers(sandbox)
    by_the_daily_share(RUNNING)
    assert not Group.objects.unconfirmed().exists()
