"""What a transaction's resources cost, by the network's settings: the host's own arithmetic."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ajo.soroban.contract.keys import CONTRACT_CODE
from devtools.sandbox.ledger.keys import is_temporary
from devtools.sandbox.ledger.settings import Settings

KIB: Final = 1024
INSTRUCTIONS: Final = 10_000  # for which the settings give a price
RESULT_SIZE: Final = 300  # bytes of history beside the transaction's own
TTL_SIZE: Final = 48  # bytes of the entry that says until when another lives
RENT_1KB: Final = 1_000  # stroops: the least that a KiB costs, whatever the size of the state
# What code weighs beside its bytes, for the host keeps it parsed. The sandbox has no bytes of its contracts' code: they
# weigh this much in all; of other code, what an empty module weighs, and about so much more for each byte.
CODE_WEIGHT: Final = 1_240_000
NO_CODE: Final = 44  # bytes of an entry of code, without the code
EMPTY_MODULE: Final = 132_800
MODULE_BYTE: Final = 13
CODE_DISCOUNT: Final = 3


@dataclass(frozen=True, slots=True)
class Used:
    """Resources that do not come back, declared or counted."""

    instructions: int
    read_entries: int
    write_entries: int
    read_bytes: int
    write_bytes: int
    size: int


@dataclass(frozen=True, slots=True)
class Rent:
    """An entry that is new, larger, or lives longer. 0 bytes until ledger 0 before: it was not there."""

    key: bytes
    size_before: int
    size: int
    lived_until: int
    lives_until: int


def per(amount: int, rate: int, increment: int) -> int:
    return -(-amount * rate // increment)


def resource_fee(used: Used, settings: Settings) -> int:
    """Stroops that are not given back."""
    return (
        per(used.instructions, settings.fee_instructions, INSTRUCTIONS)
        + settings.fee_read_entry * used.read_entries
        + settings.fee_write_entry * used.write_entries
        + per(used.read_bytes, settings.fee_read_1kb, KIB)
        + per(used.write_bytes, settings.fee_write_1kb, KIB)
        + per(used.size + RESULT_SIZE, settings.fee_historical_1kb, KIB)
        + per(used.size, settings.fee_size_1kb, KIB)
    )


def events_fee(size: int, settings: Settings) -> int:
    return per(size, settings.fee_events_1kb, KIB)


def rent_fee(changes: Iterable[Rent], ledger: int, settings: Settings) -> int:
    fee = extended = 0
    for each in changes:
        fee += _rent(each, ledger, settings)
        extended += each.lived_until < each.lives_until
    return fee + settings.fee_write_entry * extended + per(TTL_SIZE * extended, settings.fee_write_1kb, KIB)


def _rent(change: Rent, ledger: int, settings: Settings) -> int:
    is_new = change.size_before == 0 and change.lived_until == 0
    before = ledger - 1 if is_new else change.lived_until
    fee = 0
    if change.lives_until > before:
        fee += _for(change.key, change.size, change.lives_until - before, settings)
    if not is_new and change.lived_until >= ledger and change.size > change.size_before:
        fee += _for(change.key, change.size - change.size_before, change.lived_until - ledger + 1, settings)
    return -(-fee // CODE_DISCOUNT) if change.key.startswith(CONTRACT_CODE) else fee


def _for(key: bytes, size: int, ledgers: int, settings: Settings) -> int:
    divisor = settings.temporary_rent if is_temporary(key) else settings.persistent_rent
    return -(-size * RENT_1KB * ledgers // (KIB * divisor))


def entry_size(data: bytes) -> int:
    """Bytes of a LedgerEntry with this LedgerEntryData."""
    return len(data) + 8


def rent_size(key: bytes, data: bytes) -> int:
    size = entry_size(data)
    if not key.startswith(CONTRACT_CODE):
        return size
    code = len(data) - NO_CODE
    return size + (EMPTY_MODULE + MODULE_BYTE * code if code > 0 else CODE_WEIGHT)
