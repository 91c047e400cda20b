"""The network's settings: limits and prices, as ledger entries that everybody can read."""

import base64
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from stellar_sdk.xdr import LedgerEntry, LedgerEntryData, LedgerKey

from devtools.sandbox.ledger.keys import setting_key
from devtools.sandbox.machine.storage import Lifetimes, Source

_FILE: Final = Path(__file__).with_name("network_settings.json")
COMPUTE, LEDGER_COST, HISTORICAL, EVENTS, BANDWIDTH, ARCHIVAL, LEDGER_COST_EXT = 1, 2, 3, 4, 5, 10, 15


def default_entries() -> dict[bytes, bytes]:
    """LedgerEntryData by LedgerKey: the public test network's settings."""
    found = json.loads(_FILE.read_text(encoding="utf-8"))["entries"]
    return {base64.b64decode(each["key"]): entry_data(each["xdr"]) for each in found}


def entry_data(xdr: str) -> bytes:
    """LedgerEntryData of a base64 LedgerEntry: without when it was modified, and by whom sponsored."""
    return LedgerEntry.from_xdr(xdr).data.to_xdr_bytes()


@dataclass(frozen=True, slots=True)
class Settings:
    """Bytes, entries, and stroops for so many of them."""

    max_instructions: int
    fee_instructions: int  # for 10,000
    max_read_entries: int
    max_read_bytes: int
    max_write_entries: int
    max_write_bytes: int
    max_footprint: int
    max_events: int
    max_size: int
    fee_read_entry: int
    fee_write_entry: int
    fee_read_1kb: int
    fee_write_1kb: int
    fee_historical_1kb: int
    fee_events_1kb: int
    fee_size_1kb: int
    persistent_rent: int  # what the rent of a KiB is divided by
    temporary_rent: int
    lifetimes: Lifetimes


def settings(source: Source) -> Settings:
    """Those that a ledger holds; the public test network's where it holds none."""
    raw = tuple(_raw(source, number) for number in (COMPUTE, LEDGER_COST, HISTORICAL, EVENTS, BANDWIDTH, ARCHIVAL, 15))
    return _settings(raw)


def _raw(source: Source, number: int) -> bytes:
    key = setting_key(number)
    held = source(key)
    return default_entries()[key] if held is None else held.data


@lru_cache(maxsize=16)
def _settings(raw: tuple[bytes, ...]) -> Settings:
    entries = [LedgerEntryData.from_xdr_bytes(each).config_setting for each in raw]
    found: list[Any] = [_only(each) for each in entries]
    compute, cost, historical, events, bandwidth, archival, more = found
    return Settings(
        max_instructions=compute.tx_max_instructions.int64,
        fee_instructions=compute.fee_rate_per_instructions_increment.int64,
        max_read_entries=cost.tx_max_disk_read_entries.uint32,
        max_read_bytes=cost.tx_max_disk_read_bytes.uint32,
        max_write_entries=cost.tx_max_write_ledger_entries.uint32,
        max_write_bytes=cost.tx_max_write_bytes.uint32,
        max_footprint=more.tx_max_footprint_entries.uint32,
        max_events=events.tx_max_contract_events_size_bytes.uint32,
        max_size=bandwidth.tx_max_size_bytes.uint32,
        fee_read_entry=cost.fee_disk_read_ledger_entry.int64,
        fee_write_entry=cost.fee_write_ledger_entry.int64,
        fee_read_1kb=cost.fee_disk_read1_kb.int64,
        fee_write_1kb=more.fee_write1_kb.int64,
        fee_historical_1kb=historical.fee_historical1_kb.int64,
        fee_events_1kb=events.fee_contract_events1_kb.int64,
        fee_size_1kb=bandwidth.fee_tx_size1_kb.int64,
        persistent_rent=archival.persistent_rent_rate_denominator.int64,
        temporary_rent=archival.temp_rent_rate_denominator.int64,
        lifetimes=Lifetimes(
            archival.min_persistent_ttl.uint32, archival.min_temporary_ttl.uint32, archival.max_entry_ttl.uint32
        ),
    )


def _only(setting: Any) -> Any:
    """The one arm of a ConfigSettingEntry that is there."""
    arms = [value for name, value in vars(setting).items() if name != "config_setting_id" and value is not None]
    return arms[0]


def is_setting(key: bytes) -> bool:
    return LedgerKey.from_xdr_bytes(key).config_setting is not None
