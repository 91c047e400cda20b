"""Rows for the admin's pages, as many as asked for of each table, with texts as odd as the chain allows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Model
from django.db.models.functions import Now
from stellar_sdk import StrKey

from ajo.ops.models import Heartbeat
from ajo.soroban.fields import I128_MAX, I128_MIN
from ajo.soroban.models import (
    ChainTransaction,
    Checkpoint,
    ContractEvent,
    HistoryGap,
    Lease,
    RpcNode,
    SyncRun,
    UndecodedEntry,
)
from contributions.models import Contribution, Payout, Refund
from groups.models import Group, GroupMember, RefundRequest, Token, User, WalletLabel

PASSPHRASE = "Sample Network ; November 2026"
THEN = datetime(2026, 11, 1, 12, 30, 45, tzinfo=UTC)
HOSTILE = '<script>alert(1)</script>\u202e"><img src=x onerror=alert(1)>\n{{ 7*7 }}'
ZALGO = "Z" + "\u0301\u0489" * 12
AMOUNTS = (100_000_000, I128_MAX, I128_MIN, 1, 0)
READ_ONLY: tuple[type[Model], ...] = (
    Checkpoint, ContractEvent, HistoryGap, SyncRun, Lease, RpcNode, UndecodedEntry, ChainTransaction,
    User, Token, Group, GroupMember, RefundRequest, Contribution, Payout, Refund, Heartbeat,
)  # fmt: skip
TABLES: tuple[type[Model], ...] = (*READ_ONLY, WalletLabel)


def account(number: int) -> str:
    return StrKey.encode_ed25519_public_key(hashlib.sha256(b"account %d" % number).digest())


def contract(number: int) -> str:
    return StrKey.encode_contract(hashlib.sha256(b"contract %d" % number).digest())


def tx(number: int) -> str:
    return hashlib.sha256(b"transaction %d" % number).hexdigest()


def event_id(number: int) -> str:
    return f"{(1000 + number) << 32:019d}-{0:010d}"


def name(number: int) -> str:
    return (HOSTILE, ZALGO, "Esusu", "", "خیریه‌ی محله", "M" * 50)[number % 6]


def fill(count: int, first: int = 1) -> None:
    """Create `count` rows of each table, numbered from `first`; group and wallet of one number belong together."""
    numbers = range(first, first + count)
    Token.objects.bulk_create([_token(i) for i in range(4)], ignore_conflicts=True)
    tokens = list(Token.objects.order_by("pk"))
    users = User.objects.bulk_create([User(wallet_address=account(i)) for i in numbers])
    WalletLabel.objects.bulk_create(
        [WalletLabel(address=account(i), label=f"Ada & <b>{i}</b>", note="Knows the treasurer.") for i in numbers]
    )
    groups = Group.objects.bulk_create([_group(i, users[i - first], tokens[i % 4]) for i in numbers])
    GroupMember.objects.bulk_create(
        [GroupMember(group=g, user=u, position=0, has_contributed=True) for g, u in zip(groups, users, strict=True)]
    )
    RefundRequest.objects.bulk_create(
        [
            RefundRequest(
                group=g, requester=u, created_at=THEN, voting_deadline=None, votes_for=1, votes_against=0,
                executed=False, approved=False, entry_xdr="QUJD",
            )
            for g, u in zip(groups, users, strict=True)
        ]
    )  # fmt: skip
    tables: tuple[type[Any], ...] = (Contribution, Payout, Refund)
    for table in tables:
        table.objects.bulk_create(_history(table, groups, users))
    _chain(numbers)


def members(group: Group, count: int) -> None:
    """Add `count` members to a group, each a wallet of its own."""
    users = User.objects.bulk_create([User(wallet_address=account(10_000 + i)) for i in range(count)])
    GroupMember.objects.bulk_create(
        [GroupMember(group=group, user=u, position=i + 1, has_contributed=False) for i, u in enumerate(users)]
    )
    WalletLabel.objects.bulk_create([WalletLabel(address=u.wallet_address, label=f"member {u.pk}") for u in users])


def _token(number: int) -> Token:
    words: list[dict[str, Any]] = [
        {"symbol": "XLM", "name": "native", "decimals": 7, "verified": True},
        {"symbol": HOSTILE, "name": HOSTILE * 20, "decimals": 38},
        {"symbol": None, "decimals": None},
        {"symbol": "XLM", "name": "native", "decimals": 2**32 - 1},
    ]
    return Token(address=contract(number), read_ledger=1, **words[number])


def _group(number: int, creator: User, token: Token) -> Group:
    return Group(
        id=number, name=name(number), description="Line one\nline two " * 12, rules=HOSTILE * 12, creator=creator,
        token=token, contribution_amount=AMOUNTS[number % 5], cycle_duration=2**64 - 1 if number % 3 else 604_800,
        grace_period=86_400, penalty_rate=5, insurance_rate_bps=None, max_members=10, member_count=1, current_round=1,
        payout_index=number % 2, contributions_received=1, status=("active", "completed", "cancelled")[number % 3],
        created_at=THEN, round_started_at=THEN, entry_xdr="AAAA" * 500, modified_ledger=900, synced_ledger=1000,
    )  # fmt: skip


def _history(table: type[Any], groups: list[Group], users: list[User]) -> Iterator[Any]:
    for group, user in zip(groups, users, strict=True):
        known = group.pk % 4 != 0  # every fourth was recovered from state
        reason = {"reason": group.pk % 3} if table is Refund else {}
        yield table(
            group=group, user=user, round=1, amount=AMOUNTS[group.pk % 5], tx_hash=tx(group.pk) if known else None,
            event_id=event_id(group.pk) if known else None, ledger=1000 if known else None,
            created_at=THEN if known else None, **reason,
        )  # fmt: skip


def _chain(numbers: range) -> None:
    Checkpoint.objects.bulk_create(
        [
            Checkpoint(
                network_passphrase=PASSPHRASE, contract=contract(100 + i), start_ledger=1, ledger=1000,
                chain_ledger=1003, chain_advanced_at=THEN, group_count=len(numbers), instance_xdr="QUJD" * 100,
                admin=account(1), wasm_hash=tx(0), is_loaded=True,
            )
            for i in numbers
        ]
    )  # fmt: skip
    ContractEvent.objects.bulk_create(
        [
            ContractEvent(
                id=event_id(i), type="contrib", group_id=i, round=1, data={"member": account(i), "amount": str(2**127)},
                topics=["AAAA", "BBBB"], value="CCCC" * 50, tx_hash=tx(i), ledger=1000, created_at=THEN,
            )
            for i in numbers
        ]
    )  # fmt: skip
    HistoryGap.objects.bulk_create(
        [
            HistoryGap(network_passphrase=PASSPHRASE, contract=contract(1), from_ledger=i, to_ledger=i + 5, why="away")
            for i in numbers
        ]
    )
    SyncRun.objects.bulk_create(
        [
            SyncRun(kind="sync", outcome="failed", reason=HOSTILE, finished_at=THEN, counts={"rpc_calls": i})
            for i in numbers
        ]
    )
    Heartbeat.objects.bulk_create([Heartbeat(name=f"worker@{i}:1", part="worker", seen_at=THEN) for i in numbers])
    Lease.objects.bulk_create([Lease(name=f"job-{i}", holder="someone", until=THEN + timedelta(i)) for i in numbers])
    RpcNode.objects.bulk_create([RpcNode(name=f"https://rpc{i}.example.org", last_error=HOSTILE) for i in numbers])
    UndecodedEntry.objects.bulk_create(
        [UndecodedEntry(key="AAAA" * 40 + str(i), group_id=i, xdr="QUJD", error=HOSTILE, ledger=1000) for i in numbers]
    )
    ChainTransaction.objects.bulk_create(
        [
            ChainTransaction(
                hash=tx(i),
                xdr="AAAA" * 100,
                submitted_ledger=1000,
                function="join_group",
                group_id=i,
                source=account(i),
                sequence=i,
                max_time=1_800_000_000,
                max_fee=1000,
                next_attempt_at=Now(),
            )
            for i in numbers
        ]
    )  # fmt: skip
