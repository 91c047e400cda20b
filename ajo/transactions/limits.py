"""The network's limits and prices, read from the chain, and what of a simulated transaction is beyond them.

A simulation enforces instructions and memory only (docs/chain.md): what it lets through can fail in the ledger, where
it costs its fee. The events of a cancellation are the limit that groups reach first.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stellar_sdk.xdr import (
    ConfigSettingEntry,
    ConfigSettingID,
    ContractEventType,
    DiagnosticEvent,
    LedgerEntryData,
    LedgerEntryType,
    LedgerKey,
    LedgerKeyConfigSetting,
    SorobanTransactionData,
)

from ajo.soroban.contract import XDR_FAULTS
from ajo.soroban.rpc.errors import RpcInvalidAnswer
from ajo.soroban.rpc.transactions import Simulation
from ajo.transactions.codes import Code
from ajo.transactions.conflicts import Conflict


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one transaction: instructions, bytes and entries; lifetimes in ledgers; prices in stroops.

    The values here are for a network that has no such setting: none is stricter than a public network's.
    """

    instructions: int = 600_000_000
    read_bytes: int = 200_000
    write_entries: int = 200
    write_bytes: int = 132_096
    events: int = 16_384
    size: int = 132_096
    footprint: int = 400
    lifetime: int = 3_110_400
    fee_instructions: int = 25  # for 10,000
    fee_write_1kb: int = 3_500


# which setting has a limit, and under which names: setting, its arm, its field
_PLACES: Final[dict[str, tuple[ConfigSettingID, str, str]]] = {
    "instructions": (ConfigSettingID.CONFIG_SETTING_CONTRACT_COMPUTE_V0, "contract_compute", "tx_max_instructions"),
    "fee_instructions": (
        ConfigSettingID.CONFIG_SETTING_CONTRACT_COMPUTE_V0, "contract_compute", "fee_rate_per_instructions_increment",
    ),
    "read_bytes": (
        ConfigSettingID.CONFIG_SETTING_CONTRACT_LEDGER_COST_V0, "contract_ledger_cost", "tx_max_disk_read_bytes",
    ),
    "write_entries": (
        ConfigSettingID.CONFIG_SETTING_CONTRACT_LEDGER_COST_V0, "contract_ledger_cost", "tx_max_write_ledger_entries",
    ),
    "write_bytes": (
        ConfigSettingID.CONFIG_SETTING_CONTRACT_LEDGER_COST_V0, "contract_ledger_cost", "tx_max_write_bytes",
    ),
    "events": (
        ConfigSettingID.CONFIG_SETTING_CONTRACT_EVENTS_V0, "contract_events", "tx_max_contract_events_size_bytes",
    ),
    "size": (ConfigSettingID.CONFIG_SETTING_CONTRACT_BANDWIDTH_V0, "contract_bandwidth", "tx_max_size_bytes"),
    "lifetime": (ConfigSettingID.CONFIG_SETTING_STATE_ARCHIVAL, "state_archival_settings", "max_entry_ttl"),
    "footprint": (
        ConfigSettingID.CONFIG_SETTING_CONTRACT_LEDGER_COST_EXT_V0, "contract_ledger_cost_ext",
        "tx_max_footprint_entries",
    ),
    "fee_write_1kb": (
        ConfigSettingID.CONFIG_SETTING_CONTRACT_LEDGER_COST_EXT_V0, "contract_ledger_cost_ext", "fee_write1_kb",
    ),
}  # fmt: skip


def setting_key(setting: ConfigSettingID) -> str:
    """Return the base64 LedgerKey of one of the network's settings."""
    return LedgerKey(LedgerEntryType.CONFIG_SETTING, config_setting=LedgerKeyConfigSetting(setting)).to_xdr()


KEYS: Final = {setting: setting_key(setting) for setting, _, _ in _PLACES.values()}


def decode_limits(entries: Mapping[str, str]) -> Limits:
    """Return the limits from LedgerEntryData by LedgerKey, both base64. Raises RpcInvalidAnswer for anything else."""
    found: dict[ConfigSettingID, ConfigSettingEntry] = {}
    try:
        for setting, key in KEYS.items():
            if key in entries:
                entry = LedgerEntryData.from_xdr(entries[key]).config_setting
                if entry is None:
                    raise RpcInvalidAnswer("getLedgerEntries: not one of the network's settings")
                found[setting] = entry
        values = {name: _value(found[place[0]], place) for name, place in _PLACES.items() if place[0] in found}
    except XDR_FAULTS as error:
        raise RpcInvalidAnswer("getLedgerEntries: a setting of the network that cannot be decoded") from error
    return Limits(**values)


def _value(entry: ConfigSettingEntry, place: tuple[ConfigSettingID, str, str]) -> int:
    number: Any = getattr(getattr(entry, place[1]), place[2])
    return int(number.int64 if hasattr(number, "int64") else number.uint32)


def events_size(simulation: Simulation) -> int:
    """Return the bytes of a call's contract events and its result, as they count against the limit `events`.

    Raises RpcInvalidAnswer for events that are none.
    """
    try:
        diagnostic = [DiagnosticEvent.from_xdr(each) for each in simulation.events]
    except XDR_FAULTS as error:
        raise RpcInvalidAnswer("simulateTransaction: an event that cannot be decoded") from error
    told = [each.event for each in diagnostic if each.in_successful_contract_call]
    kept = sum(len(each.to_xdr_bytes()) for each in told if each.type != ContractEventType.DIAGNOSTIC)
    return kept + len(base64.b64decode(simulation.result))


def check_limits(limits: Limits, data: SorobanTransactionData, size: int, events: int) -> None:
    """Refuse a transaction that no ledger could carry, or that would fail in it.

    `size` are the bytes of its signed envelope, `events` those of its events. Raises Conflict, which says the limit.
    """
    resources, footprint = data.resources, data.resources.footprint
    used = {
        "instructions": resources.instructions.uint32,
        "read_bytes": resources.disk_read_bytes.uint32,
        "write_entries": len(footprint.read_write),
        "write_bytes": resources.write_bytes.uint32,
        "footprint": len(footprint.read_only) + len(footprint.read_write),
        "events": events,
        "size": size,
    }
    for name, amount in used.items():
        refuse_beyond(name, amount, getattr(limits, name))


def refuse_beyond(name: str, used: int, allowed: int) -> None:
    """Refuse what is beyond one limit. Raises Conflict, which says which, and how much."""
    if used > allowed:
        raise Conflict(
            Code.LIMITS_EXCEEDED,
            f"{LIMIT_NAMES[name]}: {used:,} would be needed, {allowed:,} is the most.",
            limit={"name": name, "used": used, "allowed": allowed},
        )


LIMIT_NAMES: Final = {
    "instructions": "Instructions of the host",
    "read_bytes": "Bytes read from disk",
    "write_entries": "Ledger entries written",
    "write_bytes": "Bytes written",
    "footprint": "Ledger entries read and written",
    "events": "Bytes of events, of which every refund makes some",
    "size": "Bytes of the transaction",
    "resource_fee": "Stroops for what the call uses (MAX_RESOURCE_FEE of this service)",
}


def refunds_possible(limits: Limits, asset_name: str) -> int:
    """Return how many members a group can pay back in one transaction, by the bytes of the events.

    `asset_name` is `native` or CODE:ISSUER, the fourth topic of an asset's transfer. A cancellation tells of itself
    with one more event.
    """
    padded = len(asset_name) + -len(asset_name) % 4
    return max(0, (limits.events - CANCEL_EVENT - VOID) // (REFUND_EVENT + TRANSFER_EVENT + padded))


# Bytes of events in XDR (docs/chain.md §1.2), measured by the recordings: 46 refunds of the native asset fit.
CANCEL_EVENT = REFUND_EVENT = 164
TRANSFER_EVENT = 180  # without the bytes of the asset's name
VOID = 4  # the result
