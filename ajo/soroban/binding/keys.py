"""Ledger keys of the contract ↔ small dataclasses (CHAIN §1.1).

All of them are ContractData keys of persistent durability; the instance key stands for the contract's own entry.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar, Final

from stellar_sdk.xdr import ContractDataDurability, LedgerEntryType, LedgerKey, SCVal, SCValType

from ajo.soroban.binding.codec import (
    ADDRESS,
    GARBAGE,
    SYMBOL,
    U32,
    U64,
    Codec,
    DecodeError,
    b64,
    decode_address,
    decode_vec,
    encode_address,
    encode_symbol,
    encode_vec,
    parse,
    tag,
)

CONTRACT_DATA: Final = struct.pack(">i", LedgerEntryType.CONTRACT_DATA.value)
PERSISTENT: Final = struct.pack(">i", ContractDataDurability.PERSISTENT.value)
_INSTANCE: Final = tag(SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the contract's storage."""

    symbol: ClassVar[str] = ""
    types: ClassVar[tuple[Codec[Any], ...]] = ()

    def scval(self) -> bytes:
        """The key itself, an SCVal: `[Symbol, …]`."""
        head, parts = _shape(type(self))  # type: ignore[arg-type]  # a class can be hashed, whatever its instances
        return head + b"".join([encode(getattr(self, name)) for name, encode in parts])

    def to_xdr(self, contract: str) -> str:
        """Base64 LedgerKey of this key in a contract (C…)."""
        return b64(ledger_key(contract, self.scval()))


@lru_cache(maxsize=64)
def _shape(kind: type[Key]) -> tuple[bytes, list[tuple[str, Callable[[Any], bytes]]]]:
    """What all keys of a kind begin with, and how each field goes on: found out once, for a sweep makes thousands."""
    parts = [(each.name, codec.encode) for each, codec in zip(fields(kind), kind.types, strict=True)]
    head = encode_vec([encode_symbol(kind.symbol), *(b"" for _ in parts)])
    return head, parts


@dataclass(frozen=True, slots=True)
class InstanceKey(Key):
    def scval(self) -> bytes:
        return _INSTANCE


@dataclass(frozen=True, slots=True)
class GroupKey(Key):
    symbol: ClassVar[str] = "GROUP"
    types: ClassVar[tuple[Codec[Any], ...]] = (U64,)
    group_id: int


@dataclass(frozen=True, slots=True)
class MetadataKey(Key):
    symbol: ClassVar[str] = "METADATA"
    types: ClassVar[tuple[Codec[Any], ...]] = (U64,)
    group_id: int


@dataclass(frozen=True, slots=True)
class ContribKey(Key):
    symbol: ClassVar[str] = "CONTRIB"
    types: ClassVar[tuple[Codec[Any], ...]] = (U64, U32, ADDRESS)
    group_id: int
    cycle: int
    member: str


@dataclass(frozen=True, slots=True)
class PayoutKey(Key):
    symbol: ClassVar[str] = "PAYOUT"
    types: ClassVar[tuple[Codec[Any], ...]] = (U64, ADDRESS)
    group_id: int
    member: str


@dataclass(frozen=True, slots=True)
class RefundRequestKey(Key):
    symbol: ClassVar[str] = "REFREQ"
    types: ClassVar[tuple[Codec[Any], ...]] = (U64,)
    group_id: int


@dataclass(frozen=True, slots=True)
class RefundVoteKey(Key):
    symbol: ClassVar[str] = "REFVOTE"
    types: ClassVar[tuple[Codec[Any], ...]] = (U64, ADDRESS)
    group_id: int
    voter: str


@dataclass(frozen=True, slots=True)
class RefundKey(Key):
    symbol: ClassVar[str] = "REFUND"
    types: ClassVar[tuple[Codec[Any], ...]] = (U64, ADDRESS)
    group_id: int
    member: str


@dataclass(frozen=True, slots=True)
class InsuranceClaimKey(Key):
    symbol: ClassVar[str] = "INSCLAIM"
    types: ClassVar[tuple[Codec[Any], ...]] = (U64,)
    claim_id: int


_KINDS: Final[dict[str, type[Key]]] = {
    kind.symbol: kind
    for kind in (
        GroupKey,
        MetadataKey,
        ContribKey,
        PayoutKey,
        RefundRequestKey,
        RefundVoteKey,
        RefundKey,
        InsuranceClaimKey,
    )
}


@lru_cache(maxsize=64)
def _prefix(contract: str) -> bytes:
    return CONTRACT_DATA + encode_address(contract)


def ledger_key(contract: str, scval: bytes) -> bytes:
    """LedgerKey bytes of a persistent ContractData entry whose key is already XDR."""
    return _prefix(contract) + scval + PERSISTENT


def key_of(value: SCVal) -> Key:
    """The storage key in an SCVal. Raises DecodeError for a key the contract does not write."""
    if value.type == SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE:
        return InstanceKey()
    parts = decode_vec(value)
    kind = _KINDS.get(SYMBOL.decode(parts[0])) if parts else None
    if kind is None or len(parts) != len(kind.types) + 1:
        raise DecodeError("a storage key that the contract does not write")
    return kind(*(codec.decode(part) for codec, part in zip(kind.types, parts[1:], strict=True)))


def decode_key(xdr: str) -> tuple[str, Key]:
    """Contract and key of a base64 LedgerKey. Raises DecodeError."""
    data = parse(LedgerKey, xdr).contract_data
    if data is None:
        raise DecodeError("a ledger key of something else than contract data")
    try:
        contract, key = decode_address(data.contract), key_of(data.key)
        same = key.to_xdr(contract) == xdr
    except GARBAGE as error:
        raise error if isinstance(error, DecodeError) else DecodeError(str(error)) from error
    if not same:
        raise DecodeError("a ledger key that is not written as the contract writes it")
    return contract, key
