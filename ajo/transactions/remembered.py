"""Remember in Redis the accounts that builds have read, so that what was built here is submitted without asking again.

A remembered account only lets a transaction through. Nothing is refused by it: then the chain is asked. What has
changed since, as a signer, the network itself refuses, and the follower finds out.
"""

from __future__ import annotations

from typing import Final

from ajo.cache import PREFIX, with_redis
from ajo.soroban.models import Checkpoint
from ajo.soroban.rpc.errors import RpcInvalidAnswer
from ajo.transactions.accounts import AccountState, decode_account

TTL: Final = 300  # seconds: as long as a transaction is valid that is built without further wishes


def remember(checkpoint: Checkpoint, address: str, ledger: int, xdr: str) -> None:
    """Keep an account's entry (base64 LedgerEntryData), as read at `ledger`. Does nothing without Redis."""
    with_redis(lambda r: r.set(_key(checkpoint, address), f"{ledger}:{xdr}", ex=TTL))


def recall(checkpoint: Checkpoint, address: str) -> tuple[int, AccountState] | None:
    """Return the ledger and the account that were kept last; None where there are none."""
    kept = with_redis(lambda r: r.get(_key(checkpoint, address)))
    if kept is None:
        return None
    try:
        ledger, _, xdr = kept.decode().partition(":")
        return int(ledger), decode_account(address, xdr)
    except (ValueError, RpcInvalidAnswer):
        return None


def _key(checkpoint: Checkpoint, address: str) -> str:
    return f"{PREFIX}account:{checkpoint.dataset_id.hex}:{address}"
