"""What a build has to know of the chain, read in one call: the source's account, the network's settings, the group."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models.functions import Now

from ajo.soroban.contract import DecodeError
from ajo.soroban.contract.entries import Group, Instance, RefundRequest, decode_entry
from ajo.soroban.contract.keys import GroupKey, InstanceKey, RefundRequestKey
from ajo.soroban.models import Checkpoint
from ajo.soroban.plausibility import has_movable_clock, read_entries
from ajo.soroban.rpc.client import SorobanClient
from ajo.transactions import limits
from ajo.transactions.accounts import AccountState, account_key, decode_account
from ajo.transactions.calls import Call
from ajo.transactions.codes import Code
from ajo.transactions.conflicts import Conflict
from ajo.transactions.limits import Limits
from ajo.transactions.remembered import remember

CLOSE_SECONDS: Final = 5  # between two ledgers, about
# since the sync last heard of a new ledger: after it nobody knows when the next ones closed
MAX_SILENCE: Final = timedelta(seconds=30)
SETTINGS_TTL: Final = 60.0  # seconds that a process believes the network's settings: they change by vote
NO_TRANSACTION: Final = "0" * 64  # a hash that none has

# until when (time.monotonic) they are believed, by network and nodes
_settings: dict[tuple[str, ...], tuple[float, Limits]] = {}


@dataclass(frozen=True, slots=True)
class State:
    """The chain at one ledger, as far as a call is concerned. `closed_at` is that ledger's close time (unix seconds).

    `at_least` is the ledger of the tables. What the call does not name, or is not on the chain, is None.
    """

    ledger: int
    at_least: int
    closed_at: int
    account: AccountState
    limits: Limits
    admin: str | None
    group: Group | None
    request: RefundRequest | None

    @property
    def grace_end(self) -> int | None:
        """Return when the group's round is over with its grace period (unix seconds)."""
        if self.group is None:
            return None
        return self.group.cycle_start_time + self.group.cycle_duration + (self.group.grace_period or 0)


def read_state(client: SorobanClient, source: str, call: Call) -> State:
    """Read the state with one getLedgerEntries.

    A node that does not have what the tables have is behind: an account's sequence number would be an old one. Raises
    Conflict for a source that is no account on the chain, ChainError.
    """
    own = account_key(source)
    keys = {"admin": InstanceKey().to_xdr(settings.AJO_CONTRACT_ID)}
    if call.group is not None:
        keys["group"] = GroupKey(call.group).to_xdr(settings.AJO_CONTRACT_ID)
        keys["request"] = RefundRequestKey(call.group).to_xdr(settings.AJO_CONTRACT_ID)
    known = _known_limits()
    wanted = [own, *keys.values(), *(() if known else limits.KEYS.values())]
    heard = Checkpoint.objects.current()
    at_least = heard.ledger if heard else 0
    answer = read_entries(client, wanted, at_least=at_least, heard=heard.chain_ledger if heard else 0)
    found = {key: entry["xdr"] for key, entry in answer.found.items()}
    if own not in found:
        raise Conflict(Code.NO_ACCOUNT, f"{source} is no account on the chain: somebody has to fund it first.")
    account = decode_account(source, found[own])
    if heard:
        remember(heard, source, answer.ledger, found[own])
    instance = _value(found, keys["admin"])
    return State(
        ledger=answer.ledger,
        at_least=at_least,
        closed_at=_close_time(client, heard, answer.ledger),
        account=account,
        limits=known or _remember_limits(found),
        admin=instance.admin if isinstance(instance, Instance) else None,
        group=_value(found, keys.get("group")),
        request=_value(found, keys.get("request")),
    )


def _close_time(client: SorobanClient, heard: Checkpoint | None, ledger: int) -> int:
    """Return when this ledger closed (unix seconds), by the chain and never by this host's clock.

    The sync has heard of it or of one a few ledgers before. Where it has not, or the network stood still since, the
    node is asked: an answer about any transaction, of one that does not exist, too, carries the newest ledger's close
    time.
    """
    if heard and heard.chain_closed_at and abs(ledger - heard.chain_ledger) <= settings.RPC_MAX_LAG:
        ahead = max(0, ledger - heard.chain_ledger)
        if not ahead or _is_steady():
            return int(heard.chain_closed_at.timestamp()) + CLOSE_SECONDS * ahead
    return int(client.get_transaction(NO_TRANSACTION).latest_ledger_close_time)


def _is_steady() -> bool:
    """Return whether the network has closed a ledger every few seconds until now, as far as the sync has heard."""
    heard_lately = Checkpoint.objects.filter(chain_advanced_at__gt=Now() - MAX_SILENCE)
    return not has_movable_clock() and heard_lately.exists()


def _value(found: Mapping[str, str], key: str | None) -> Any:
    """Return the decoded value; None where there is no entry, or one that another version of the contract wrote."""
    if key is None or key not in found:
        return None
    try:
        return decode_entry(found[key]).value
    except DecodeError:
        return None


def _place() -> tuple[str, ...]:
    return (settings.STELLAR_NETWORK_PASSPHRASE, *settings.SOROBAN_RPC_URL)


def _known_limits() -> Limits | None:
    until, known = _settings.get(_place(), (0.0, None))
    return known if time.monotonic() < until else None


def _remember_limits(found: Mapping[str, str]) -> Limits:
    known = limits.decode_limits(found)
    _settings[_place()] = (time.monotonic() + SETTINGS_TTL, known)
    return known
