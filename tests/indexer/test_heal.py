"""Healing: each column of a row that differs from the chain is found, counted and corrected by each sweep."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import models
from django.test import Client

from ajo.indexer import backfill, heal
from ajo.indexer.discrepancies import COLUMNS
from ajo.soroban.models import Checkpoint, ContractEvent, HistoryGap, SyncRun
from ajo.soroban.rpc.client import SorobanClient
from contributions.models import Contribution, Payout, Refund
from devtools.sandbox.sandbox import Sandbox
from groups.cached import group_answer
from groups.models import Group, GroupMember, RefundRequest, Token, User
from groups.rows import REFUND_REQUEST_FIELDS
from tests.support.following import CANCELLED, RUNNING, catch_up, make_full_groups
from tests.support.sweeps import SWEEPS, Sweep, by_the_daily_share, drifted, stored_state
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


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
    make_full_groups(sandbox, client_of_chain)
    right, body = stored_state(), group_answer(RUNNING).body
    kept = {"synced_ledger", "synced_at", "changed_at", "revision"}
    history = {"verified_round", "history_live_until_ledger", "unproven_rows", "drifted_at"}
    fields = [f.attname for f in Group._meta.concrete_fields if not (f.primary_key or f.generated)]
    derived = {"search_key"}  # a trigger makes it of the name with each write, so that no other value stays
    columns = [name for name in fields if name not in kept | history | derived]
    for name in spoiled(Group.objects.filter(pk=RUNNING), columns):
        drift = Checkpoint.objects.get().drift_total
        sweep(RUNNING)
        assert stored_state() == right, name
        assert group_answer(RUNNING).body == client.get(f"/api/v1/groups/{RUNNING}/").content == body, name
        no_drift = name.removeprefix("Group.") in {"live_until_ledger", "modified_ledger", "unreadable_since"}
        assert Checkpoint.objects.get().drift_total - drift == (0 if no_drift else 1), name
        assert drifted() == ([] if no_drift else [RUNNING]), name


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_column_of_a_members_a_requests_and_a_history_row_is_proved(
    sandbox: Sandbox, client_of_chain: SorobanClient, sweep: Sweep
) -> None:
    make_full_groups(sandbox, client_of_chain)
    right = stored_state()
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
            assert stored_state() == right, name
            assert Checkpoint.objects.get().drift_total > drift, name
            assert drifted() == [group_id], name
    sweep(RUNNING)
    assert SyncRun.objects.latest("id").counts["drift_history"] == 0


def test_a_group_that_the_chain_does_not_have_is_removed_with_its_history(
    sandbox: Sandbox, client_of_chain: SorobanClient, client: Client
) -> None:
    make_full_groups(sandbox, client_of_chain)
    right = stored_state()
    for sweep in SWEEPS:
        surplus = Group.objects.get(pk=RUNNING)
        surplus.pk = 999
        surplus.save(force_insert=True)
        Contribution.objects.create(group_id=999, user_id=surplus.creator_id, round=1, amount=1)
        assert client.get("/api/v1/groups/999/").status_code == 200
        sweep(999)
        assert stored_state() == right
        assert client.get("/api/v1/groups/999/").status_code == 404


def test_what_the_contract_says_of_itself_is_right_after_the_next_pass(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_full_groups(sandbox, client_of_chain)
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
    make_full_groups(sandbox, client_of_chain)
    right = stored_state()
    Contribution.objects.all().delete()
    parts, read = [], backfill.read_history

    def counted(*args: Any, **kwargs: Any) -> Any:
        parts.append([group.pk for group in args[2]])
        return read(*args, **kwargs)

    monkeypatch.setattr(heal, "read_history", counted)
    monkeypatch.setattr(heal, "MAX_CONTRIBUTIONS_HELD", 1)
    by_the_daily_share(RUNNING)
    assert parts == [[RUNNING], [CANCELLED]]
    assert stored_state() == right


def test_what_an_unchanged_group_costs_is_no_write(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """Breaks if healing wrote rows that are right already: each would be a dead row, and a body sent anew."""
    make_full_groups(sandbox, client_of_chain)
    before = list(Group.objects.order_by("id").values_list("revision", "changed_at"))
    drift = Checkpoint.objects.get().drift_total
    for sweep in SWEEPS:
        sweep(RUNNING)
    assert list(Group.objects.order_by("id").values_list("revision", "changed_at")) == before
    assert Checkpoint.objects.get().drift_total == drift
    assert not HistoryGap.objects.exists()


def test_a_group_that_is_not_there_is_named_and_not_counted(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    make_full_groups(sandbox, client_of_chain)
    for arguments in (["99999", "1"], ["--deep", "99999", "1"]):
        out = StringIO()
        with pytest.raises(CommandError, match="1 of the groups that were named are nowhere"):
            call_command("sweep", *arguments, stdout=out)
        assert "group 99999 is not on the chain" in out.getvalue()
        assert "groups 1," in out.getvalue()
    out = StringIO()
    with pytest.raises(CommandError, match="1 of the groups that were named are nowhere"):
        call_command("sweep", "99999", stdout=out)
    assert "groups 0," in out.getvalue()
