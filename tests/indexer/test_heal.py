"""Whatever a row says wrong: the sweeps that prove it find it, count it and put it right, column by column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import models
from django.test import Client

from ajo.indexer import backfill, heal
from ajo.indexer.discrepancies import COLUMNS, HISTORY
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import daily_quota, sweep_deep
from ajo.soroban.contract.keys import ContribKey, decode_key
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.pool import nodes
from contributions.models import Contribution, HistoryRow, Payout, Refund
from devtools.sandbox.sandbox import Sandbox
from groups.cached import group_answer
from groups.models import Group, GroupMember, RefundRequest, Token, User
from groups.rows import ENTRY_FIELDS, REFUND_REQUEST_FIELDS
from tests.indexer.test_hostile import lie
from tests.support.following import assert_equal, catch_up
from tests.support.histories import DAY, wallets

pytestmark = pytest.mark.django_db(transaction=True)

RUNNING, CANCELLED = 1, 2


def settle(sandbox: Sandbox, client: SorobanClient) -> None:
    """Two groups with all that a group can have: a paid round, an open one, a request to be refunded; and refunds."""
    chain, (first, second, third) = sandbox.chain, wallets(3)
    calls: list[tuple[Any, ...]] = []
    for wallet in (first, second, third):
        chain.fund(wallet)
    for group_id in (RUNNING, CANCELLED):
        calls.append((first, "create_group", first, chain.token, 50, DAY, 3, 60, 5, 100))
        calls += [(wallet, "join_group", wallet, group_id) for wallet in (second, third)]
        calls += [(wallet, "contribute", wallet, group_id) for wallet in (first, second, third)]
    calls.append((first, "set_group_metadata", RUNNING, b"Name", b"what for", b"rules"))
    run(sandbox, calls)
    chain.advance(2 * DAY)
    run(sandbox, [(first, "execute_payout", RUNNING), (second, "contribute", second, RUNNING)])
    chain.advance(3 * DAY)
    run(sandbox, [(second, "request_refund", second, RUNNING), (first, "cancel_group", first, CANCELLED)])
    run(sandbox, [(third, "vote_refund", third, RUNNING, True)])
    catch_up(client)
    list(sweep_groups(lambda read: read(client)))
    assert_equal(sandbox)


def run(sandbox: Sandbox, calls: list[tuple[Any, ...]]) -> None:
    for call in calls:
        assert sandbox.chain.call(*call).error is None, call
    sandbox.chain.close_ledger()


def shown() -> dict[str, list[Any]]:
    """All that the tables have from the chain, without what says when it was read."""
    history = {
        name: list(model.objects.order_by("group", "round", "user").values(*COLUMNS[model])) for model, name in HISTORY
    }
    members = GroupMember.objects.order_by("group", "position")
    return history | {
        "groups": list(Group.objects.order_by("id").values("id", *ENTRY_FIELDS)),
        "members": list(members.values("group", "user", "position", "joined_at", "has_contributed")),
        "requests": list(RefundRequest.objects.values(*REFUND_REQUEST_FIELDS)),
        "events": list(ContractEvent.objects.order_by("id").values()),
    }


def wrong(row: models.Model, field: Any) -> Any:
    """Another value that the column can hold."""
    value = getattr(row, field.attname)
    if field.attname == "token_id":
        return Token.objects.get_or_create(address=wallets(9)[8])[0].address
    if field.is_relation:
        return User.objects.ensure([wallets(9)[7]])[wallets(9)[7]]
    match field:
        case models.BooleanField():
            return not value
        case models.DateTimeField():
            return (value or datetime.now(UTC)) - timedelta(days=1)
        case models.CharField(choices=[_, *_]) if field.choices:
            return next(choice for choice, _ in field.choices if choice != value)
        case models.CharField() | models.TextField():
            return {"event_id": "9" * 19 + "-" + "9" * 10, "tx_hash": "b" * 64}.get(field.name, "AAAA")
        case models.JSONField():
            return {"amount": "7"}
    if field.name == "contributions_received":
        return value - 1
    return (value or 0) + (7 if field.name == "round" else 1)


Sweep = Callable[[int], None]


def by_name(group_id: int) -> None:
    call_command("sweep", str(group_id), stdout=StringIO())


def by_name_deeply(group_id: int) -> None:
    call_command("sweep", "--deep", str(group_id), stdout=StringIO())


def by_the_daily_share(group_id: int) -> None:
    for _ in sweep_deep(nodes().run, most=daily_quota()):
        pass


SWEEPS = [by_name, by_name_deeply, by_the_daily_share]


def spoiled(rows: models.QuerySet[Any], names: list[str]) -> Iterator[str]:
    """Each column of the first of these rows, one after the other, set to what it is not."""
    model = rows.model
    for field in model._meta.concrete_fields:
        if field.attname in names:
            row = rows.order_by("pk")[0]
            model._default_manager.filter(pk=row.pk).update(**{field.attname: wrong(row, field)})
            yield f"{model.__name__}.{field.attname}"


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_column_of_a_group_that_is_made_from_the_chain_is_proved(
    sandbox: Sandbox, client_of_chain: SorobanClient, sweep: Sweep, client: Client
) -> None:
    """Breaks if stored entries alone were compared, or a column were left out: those that are tried come from the
    model, so that a new one is among them.
    """
    settle(sandbox, client_of_chain)
    right, body = shown(), group_answer(RUNNING).body
    kept = {"synced_ledger", "synced_at", "changed_at", "revision"}
    history = {"verified_round", "history_live_until_ledger", "unproven_rows"}
    fields = [f.attname for f in Group._meta.concrete_fields if not (f.primary_key or f.generated)]
    derived = {"search_key"}  # a trigger makes it of the name with each write, so that no other value stays
    columns = [name for name in fields if name not in kept | history | derived]
    for name in spoiled(Group.objects.filter(pk=RUNNING), columns):
        drift = Checkpoint.objects.get().drift_total
        sweep(RUNNING)
        assert shown() == right, name
        assert group_answer(RUNNING).body == client.get(f"/api/v1/groups/{RUNNING}/").content == body, name
        no_drift = name.removeprefix("Group.") in {"live_until_ledger", "modified_ledger", "unreadable_since"}
        assert Checkpoint.objects.get().drift_total - drift == (0 if no_drift else 1), name


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_column_of_a_members_a_requests_and_a_history_row_is_proved(
    sandbox: Sandbox, client_of_chain: SorobanClient, sweep: Sweep
) -> None:
    settle(sandbox, client_of_chain)
    right = shown()
    wrongs: list[tuple[int, models.QuerySet[Any], list[str]]] = [
        (RUNNING, GroupMember.objects.filter(group=RUNNING, position=2), ["user_id", "joined_at", "has_contributed"]),
        (RUNNING, GroupMember.objects.filter(group=RUNNING, position=2), ["position"]),
        (
            RUNNING,
            RefundRequest.objects.filter(group=RUNNING),
            [name for name in REFUND_REQUEST_FIELDS if name != "group_id"],
        ),
        (RUNNING, Contribution.objects.filter(group=RUNNING), [n for n in COLUMNS[Contribution] if n != "group_id"]),
        (RUNNING, Payout.objects.filter(group=RUNNING), [name for name in COLUMNS[Payout] if name != "group_id"]),
        (CANCELLED, Refund.objects.filter(group=CANCELLED), [name for name in COLUMNS[Refund] if name != "group_id"]),
        (RUNNING, ContractEvent.objects.filter(group_id=RUNNING, type="contrib"), ["round", "data"]),
        (RUNNING, ContractEvent.objects.filter(group_id=RUNNING, type="joined"), ["type"]),
    ]
    for group_id, rows, names in wrongs:
        for name in spoiled(rows, names):
            drift = Checkpoint.objects.get().drift_total
            sweep(group_id)
            assert shown() == right, name
            assert Checkpoint.objects.get().drift_total > drift, name
    sweep(RUNNING)
    assert SyncRun.objects.latest("id").counts["drift_history"] == 0


def test_columns_of_history_are_those_of_the_models() -> None:
    """Breaks if a column were added that no event or entry is compared with."""
    for model, _ in HISTORY:
        fields = {f.attname for f in model._meta.concrete_fields if not (f.primary_key or f.generated)}
        assert fields - set(COLUMNS[model]) == ({"ordinal"} if model is Refund else set())


@pytest.mark.parametrize("sweep", SWEEPS)
def test_rows_that_are_missing_or_invented_are_put_right(
    sandbox: Sandbox, client_of_chain: SorobanClient, sweep: Sweep
) -> None:
    settle(sandbox, client_of_chain)
    right = shown()
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
        assert shown() != right, number
        sweep(group_id)
        if group_id == CANCELLED:
            sweep(RUNNING)
        assert shown() == right, number
        assert Checkpoint.objects.get().drift_total > drift, number
    assert_equal(sandbox)


def test_a_group_that_the_chain_does_not_have_is_removed_with_its_history(
    sandbox: Sandbox, client_of_chain: SorobanClient, client: Client
) -> None:
    settle(sandbox, client_of_chain)
    right = shown()
    for sweep in SWEEPS:
        surplus = Group.objects.get(pk=RUNNING)
        surplus.pk = 999
        surplus.save(force_insert=True)
        Contribution.objects.create(group_id=999, user_id=surplus.creator_id, round=1, amount=1)
        assert client.get("/api/v1/groups/999/").status_code == 200
        sweep(999)
        assert shown() == right
        assert client.get("/api/v1/groups/999/").status_code == 404


def test_one_answer_that_leaves_entries_out_removes_nothing(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks without the second reading: what a node does not say once is no proof that it never was."""
    settle(sandbox, client_of_chain)
    right = shown()

    def without(said: dict[str, Any]) -> None:
        said["entries"] = [e for e in said["entries"] if decode_key(e["key"])[1] != ContribKey(1, 1, wallets(3)[2])]

    read, left = backfill.read_history, [1]

    def once(*args: Any, **kwargs: Any) -> Any:
        if left and left.pop():
            lie(sandbox, "getLedgerEntries", without)
        return read(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heal, "read_history", once)
        by_name_deeply(RUNNING)
    assert not left
    assert shown() == right
    assert SyncRun.objects.latest("id").counts["drift_history"] == 0


def test_a_node_whose_entries_contradict_each_other_removes_nothing_and_staff_are_told(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    """Who was paid out has paid. Breaks if what such a node leaves out were taken for what never was."""
    settle(sandbox, client_of_chain)
    right = shown()

    def without(said: dict[str, Any]) -> None:
        said["entries"] = [e for e in said["entries"] if not isinstance(decode_key(e["key"])[1], ContribKey)]

    read = backfill.read_history

    def lying(*args: Any, **kwargs: Any) -> Any:
        lie(sandbox, "getLedgerEntries", without)
        return read(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heal, "read_history", lying)
        by_the_daily_share(RUNNING)
    assert shown() == right
    assert list(Group.objects.unconfirmed().values_list("pk", flat=True).order_by("pk")) == [RUNNING, CANCELLED]
    sandbox.rpc.__dict__.pop("call", None)
    by_the_daily_share(RUNNING)
    assert not Group.objects.unconfirmed().exists()


def test_what_the_contract_says_of_itself_is_right_after_the_next_pass(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    settle(sandbox, client_of_chain)
    names = ("admin", "paused", "group_count", "wasm_hash", "instance_xdr", "live_until_ledger")
    right = Checkpoint.objects.values(*names).get()
    Checkpoint.objects.update(
        admin=wallets(1)[0], paused=True, group_count=1, wasm_hash="", instance_xdr="AAAA", live_until_ledger=1
    )
    catch_up(client_of_chain)
    assert Checkpoint.objects.values(*names).get() == right


def test_groups_with_much_history_are_proved_in_parts(
    sandbox: Sandbox, client_of_chain: SorobanClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(sandbox, client_of_chain)
    right = shown()
    Contribution.objects.all().delete()
    parts, read = [], backfill.read_history

    def counted(*args: Any, **kwargs: Any) -> Any:
        parts.append([group.pk for group in args[2]])
        return read(*args, **kwargs)

    monkeypatch.setattr(heal, "read_history", counted)
    monkeypatch.setattr(heal, "CONTRIBUTIONS_AT_ONCE", 1)
    by_the_daily_share(RUNNING)
    assert parts == [[RUNNING], [CANCELLED]]
    assert shown() == right


def test_what_an_unchanged_group_costs_is_no_write(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks if healing wrote rows that are right already: each would be a dead row, and a body sent anew."""
    settle(sandbox, client_of_chain)
    before = list(Group.objects.order_by("id").values_list("revision", "changed_at"))
    drift = Checkpoint.objects.get().drift_total
    for sweep in SWEEPS:
        sweep(RUNNING)
    assert list(Group.objects.order_by("id").values_list("revision", "changed_at")) == before
    assert Checkpoint.objects.get().drift_total == drift
    assert not HistoryGap.objects.exists()


def test_a_group_that_is_not_there_is_named_and_not_counted(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    settle(sandbox, client_of_chain)
    for arguments in (["99999", "1"], ["--deep", "99999", "1"]):
        out = StringIO()
        call_command("sweep", *arguments, stdout=out)
        assert "group 99999 is not on the chain" in out.getvalue()
        assert "groups 1," in out.getvalue()
    out = StringIO()
    call_command("sweep", "99999", stdout=out)
    assert "groups 0," in out.getvalue()
