"""Factories of rows as the sync writes them, for tests of what the API shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from stellar_sdk import Keypair, StrKey

from ajo.conf.checks import SANDBOX_PASSPHRASE
from ajo.soroban.models import ChainTransaction, Checkpoint, ContractEvent
from contributions.models import HistoryRow, Refund
from groups.models import Group, GroupMember, Token, User
from tests.support.services import CONTRACT

API = "/api/v1/"
START = datetime(2026, 1, 1, tzinfo=UTC)
U64 = 2**64 - 1


def account(number: int) -> str:
    """Return a G… address, the same for the same number."""
    return Keypair.from_raw_ed25519_seed(number.to_bytes(32, "big")).public_key


def contract(number: int) -> str:
    """Return a C… address, the same for the same number."""
    return StrKey.encode_contract(number.to_bytes(32, "big"))


def event_id(ledger: int, index: int = 0) -> str:
    """Return the id of a ledger's event."""
    return f"{ledger << 32:019d}-{index:010d}"


def make_checkpoint(ledger: int = 1000, **values: Any) -> Checkpoint:
    """Create a checkpoint that was heard just now and is at the chain's newest ledger."""
    fresh = {"chain_ledger": ledger, "chain_advanced_at": datetime.now(UTC), "chain_closed_at": datetime.now(UTC)}
    fixed = {"network_passphrase": "Test", "contract": contract(1), "start_ledger": 1, "is_loaded": True}
    return Checkpoint.objects.create(ledger=ledger, **(fixed | fresh | values))


def make_configured_checkpoint(**values: Any) -> Checkpoint:
    """Create the checkpoint of the network and the contract that the tests' settings name."""
    return Checkpoint.objects.create(network_passphrase=SANDBOX_PASSPHRASE, contract=CONTRACT, start_ledger=1, **values)


def make_user(number: int) -> User:
    """Return the wallet of this number, created if missing."""
    return User.objects.get_or_create(wallet_address=account(number))[0]


def make_token(number: int = 1, **values: Any) -> Token:
    """Return the token of this number, created if missing."""
    defaults = {"symbol": f"T{number}", "decimals": 7} | values
    return Token.objects.get_or_create(address=contract(number), defaults=defaults)[0]


def make_group(number: int, members: tuple[int, ...] = (1, 2), paid: tuple[int, ...] = (), **values: Any) -> Group:
    """Create an active weekly group with a day of grace. Its members are wallets by number, the first of them its
    creator.
    """
    defaults: dict[str, Any] = {
        "creator": make_user(members[0]),
        "token": make_token(),
        "contribution_amount": 100,
        "cycle_duration": 604_800,
        "grace_period": 86_400,
        "penalty_rate": 5,
        "insurance_rate_bps": 0,
        "max_members": 10,
        "member_count": len(members),
        "current_round": 1,
        "payout_index": 0,
        "contributions_received": len(paid),
        "status": Group.Status.ACTIVE,
        "created_at": START,
        "round_started_at": START,
        "modified_ledger": 900,
        "synced_ledger": 1000,
    }
    group = Group.objects.create(id=number, **(defaults | values))
    for position, member in enumerate(members):
        GroupMember.objects.create(
            group=group, user=make_user(member), position=position, joined_at=START, has_contributed=member in paid
        )
    return group


def make_row(kind: type[HistoryRow], group: int, user: int, round: int, ledger: int | None, **values: Any) -> Any:
    """Create a row of history that an event at `ledger` announced, or with None one that was recovered from the
    contract's state.
    """
    more: dict[str, Any] = {"reason": Refund.Reason.MEMBER_VOTE} if kind is Refund else {}
    if ledger is not None:
        more |= {"event_id": event_id(ledger), "tx_hash": f"{ledger:064x}", "ledger": ledger}
        more["created_at"] = datetime.fromtimestamp(START.timestamp() + 5 * ledger, UTC)
    row = {"group_id": group, "user": make_user(user), "round": round, "amount": 100} | more | values
    return kind._default_manager.create(**row)


def make_event(ledger: int, group: int | None = 1, kind: str = "contrib", **values: Any) -> ContractEvent:
    """Create an event of the contract in the log."""
    row: dict[str, Any] = {
        "group_id": group,
        "round": 1,
        "data": {"member": account(1), "amount": "100"},
        "tx_hash": f"{ledger:064x}",
        "topics": [],
        "value": "",
    }
    return ContractEvent.objects.create(
        id=event_id(ledger), type=kind, ledger=ledger, created_at=START, **(row | values)
    )


def make_transaction(number: int, **values: Any) -> ChainTransaction:
    """Create a transaction that was submitted here, pending unless `values` say otherwise."""
    row: dict[str, Any] = {
        "hash": f"{number:064x}",
        "xdr": "AAAA",
        "function": "join_group",
        "group_id": 1,
        "source": account(1),
        "sequence": number,
        "max_time": 1_800_000_000,
        "max_fee": 1000,
        "submitted_ledger": 1000,
        "next_attempt_at": datetime(2100, 1, 1, tzinfo=UTC),
    }
    return ChainTransaction.objects.create(**(row | values))
