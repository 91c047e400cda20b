"""Letting entries live longer, and bringing archived ones back."""

from typing import TYPE_CHECKING, Any, Final

from stellar_sdk.xdr import Int64, LedgerKey, SorobanTransactionData

from devtools.sandbox.ledger.effects import transaction_data
from devtools.sandbox.ledger.fees import Rent, Used, entry_size, rent_fee, rent_size, resource_fee
from devtools.sandbox.ledger.keys import has_lifetime, host_order, is_temporary
from devtools.sandbox.ledger.settings import settings
from devtools.sandbox.transactions.sizes import largest_size

if TYPE_CHECKING:
    from devtools.sandbox.chain import Chain

_EXTEND: Final = bytes(8)  # the operation's body: no extension, a number
_RESTORE: Final = bytes(4)


class LifetimeRefused(Exception):
    """A key that cannot be extended or restored; the text is the server's."""


def extend_lifetimes(
    chain: "Chain", keys: list[bytes], lifetime: int, latest: int
) -> tuple[SorobanTransactionData, SorobanTransactionData | None]:
    """The footprint of those that would live shorter, and what has to be restored first. Raises LifetimeRefused."""
    until = latest + lifetime
    archived = [key for key in keys if _is_archived(chain, key, latest)]
    restored_until = latest + settings(chain.closed).lifetimes.persistent - 1
    extended, rents = [], []
    for key in keys:
        if not has_lifetime(key):
            words = "Only entries with TTL (contract data or code entries) can have it extended"
            raise LifetimeRefused(f"Can't extend TTL for ledger entry with key `{_shown(key)}`. {words}")
        held = chain.closed(key)
        lives = restored_until if key in archived else 0 if held is None else held.live_until or 0
        if held is None or until <= lives or (lives < latest and is_temporary(key)):
            continue
        extended.append(key)
        rents.append(Rent(key, rent_size(key, held.data), rent_size(key, held.data), lives, until))
    data = transaction_data(sorted(extended, key=host_order), [])
    _price(chain, data, rents, _EXTEND, latest)
    return data, restore_archived(chain, archived, latest) if archived else None


def restore_archived(chain: "Chain", keys: list[bytes], latest: int) -> SorobanTransactionData:
    """The footprint of those that are archived. Raises LifetimeRefused."""
    until = latest + settings(chain.closed).lifetimes.persistent - 1
    restored, rents, size = [], [], 0
    for key in keys:
        if not has_lifetime(key) or is_temporary(key):
            words = "Only persistent ledger entries with TTL can be restored."
            raise LifetimeRefused(f"Can't restore a ledger entry with key: {_shown(key)}. {words}")
        held = chain.closed(key)
        if held is None:
            raise LifetimeRefused(f"Missing entry to restore for key {_shown(key)}")
        if not _is_archived(chain, key, latest):
            continue
        restored.append(key)
        size += entry_size(held.data)
        rents.append(Rent(key, 0, rent_size(key, held.data), 0, until))
    data = transaction_data([], sorted(restored, key=host_order), read_bytes=size, write_bytes=size)
    _price(chain, data, rents, _RESTORE, latest)
    return data


def _is_archived(chain: "Chain", key: bytes, latest: int) -> bool:
    held = chain.closed(key)
    return held is not None and held.live_until is not None and held.live_until < latest and not is_temporary(key)


def _price(chain: "Chain", data: SorobanTransactionData, rents: list[Rent], body: bytes, latest: int) -> None:
    found = settings(chain.closed)
    resources = data.resources
    size = largest_size(body, data)
    used = Used(
        0,
        0,
        len(resources.footprint.read_write),
        resources.disk_read_bytes.uint32,
        resources.write_bytes.uint32,
        max(size + 500, size * 11 // 10),
    )
    data.resource_fee = Int64(resource_fee(used, found) + rent_fee(rents, latest, found) * 115 // 100)


def _shown(key: bytes) -> Any:
    """A key as text; the real server's is Rust's own form, which nobody reads by program."""
    return LedgerKey.from_xdr_bytes(key).to_json()
