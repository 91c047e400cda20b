"""Ledger keys of every kind, as bytes: how they are built, what they tell, and the host's order of them."""

import struct
from functools import lru_cache
from typing import Any, Final

from stellar_sdk import Asset
from stellar_sdk.xdr import LedgerEntryType, LedgerKey

from ajo.soroban.contract.codec import SYMBOL, encode_address
from ajo.soroban.contract.keys import CONTRACT_CODE, CONTRACT_DATA, PERSISTENT

TEMPORARY: Final = bytes(4)
KEY_SIZE: Final = 32  # bytes of an account's or a contract's own key, at the end of its address
ACCOUNT: Final = LedgerEntryType.ACCOUNT.value.to_bytes(4, "big")
TRUSTLINE: Final = LedgerEntryType.TRUSTLINE.value.to_bytes(4, "big")
_CONFIG: Final = LedgerEntryType.CONFIG_SETTING.value.to_bytes(4, "big")
_NONCE: Final = struct.pack(">i", 21)  # SCV_LEDGER_KEY_NONCE
_ED25519: Final = bytes(4)


def account_key(account: str) -> bytes:
    return ACCOUNT + _ED25519 + encode_address(account)[-KEY_SIZE:]


def trustline_key(account: str, asset: Asset) -> bytes:
    return TRUSTLINE + _ED25519 + encode_address(account)[-KEY_SIZE:] + asset.to_xdr_object().to_xdr_bytes()


def nonce_key(address: str, nonce: int) -> bytes:
    """The temporary entry that marks an authorization as used."""
    return CONTRACT_DATA + encode_address(address) + _NONCE + struct.pack(">q", nonce) + TEMPORARY


def data_key(contract: str, key: bytes) -> bytes:
    """A contract's persistent data under an SCVal."""
    return CONTRACT_DATA + encode_address(contract) + key + PERSISTENT


def contract_head(contract: str) -> bytes:
    """What all keys of a contract's data begin with."""
    return CONTRACT_DATA + encode_address(contract)


def code_key(wasm_hash: str) -> bytes:
    return CONTRACT_CODE + bytes.fromhex(wasm_hash)


def setting_key(number: int) -> bytes:
    return _CONFIG + number.to_bytes(4, "big")


def data_entry(key: bytes, value: bytes) -> bytes:
    """LedgerEntryData of contract data under its key."""
    return key[:4] + bytes(4) + key[4:] + value


def code_entry(key: bytes) -> bytes:
    """LedgerEntryData of a contract's code, without the code."""
    return key[:4] + bytes(4) + key[4:] + bytes(4)


def data_value(entry: bytes, key: bytes) -> bytes:
    """The SCVal in a contract data entry."""
    return entry[len(key) + 4 :]


def has_lifetime(key: bytes) -> bool:
    """Contracts' data and code live for so many ledgers; accounts and trustlines for ever."""
    return key[:4] in (CONTRACT_DATA, CONTRACT_CODE)


def is_temporary(key: bytes) -> bool:
    return key[:4] == CONTRACT_DATA and key[-4:] == TEMPORARY


@lru_cache(maxsize=65_536)
def host_order(key: bytes) -> tuple[Any, ...]:
    """What sorts keys as the host does: texts and vectors by their content, before their length."""
    parsed = LedgerKey.from_xdr_bytes(key)
    if parsed.contract_data is None:
        return (parsed.type.value, key[4:])
    data = parsed.contract_data
    return (parsed.type.value, data.contract.to_xdr_bytes(), _value_order(data.key), data.durability.value)


def _value_order(value: Any) -> tuple[Any, ...]:
    kind = value.type.value
    if value.vec is not None:
        return kind, [_value_order(each) for each in value.vec.sc_vec]
    if value.map is not None:
        return kind, [(_value_order(each.key), _value_order(each.val)) for each in value.map.sc_map]
    for text in (value.sym, value.str, value.bytes):
        if text is not None:
            return kind, text.to_xdr_bytes()[4:].rstrip(b"\0")
    return kind, value.to_xdr_bytes()[4:]


def symbol_vec(*values: bytes) -> bytes:
    """SCVal of a vector."""
    return struct.pack(">iiI", 16, 1, len(values)) + b"".join(values)


def scmap(items: dict[str, bytes]) -> bytes:
    """SCVal of a map with symbols as keys."""
    pairs = [SYMBOL.encode(name) + items[name] for name in sorted(items)]
    return struct.pack(">iiI", 17, 1, len(pairs)) + b"".join(pairs)
