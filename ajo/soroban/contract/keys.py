"""Ledger keys of the contract, and of tokens, ↔ small dataclasses (docs/chain.md §1.1).

All but the code's are ContractData keys of persistent durability; the instance key is that of the contract's own entry.
"""

from binascii import b2a_base64
from collections.abc import Iterable
from typing import Any, ClassVar, Final, dataclass_transform

from stellar_sdk.xdr import ContractDataDurability, LedgerEntryType, SCValType

from ajo.soroban.contract import codec
from ajo.soroban.contract.codec import SYMBOL, VEC, Codec, DecodeError, b64, counted
from ajo.soroban.contract.structs import address, codecs_of, u32, u64

CONTRACT_DATA: Final = LedgerEntryType.CONTRACT_DATA.value.to_bytes(4, "big")
CONTRACT_CODE: Final = LedgerEntryType.CONTRACT_CODE.value.to_bytes(4, "big")
PERSISTENT: Final = ContractDataDurability.PERSISTENT.value.to_bytes(4, "big")
_INSTANCE: Final = codec.tag(SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE)
_KINDS: Final[dict[str, type["Key"]]] = {}


@dataclass_transform(frozen_default=True)
class Key:
    """A key of a contract's storage, `[Symbol, …]`. Subclasses become dataclasses."""

    head: ClassVar[bytes]  # what all keys of a kind begin with
    codecs: ClassVar[dict[str, Codec[Any]]]

    def __init_subclass__(cls, symbol: str) -> None:
        cls.codecs = codecs_of(cls)
        cls.head = counted(VEC, [SYMBOL.encode(symbol), *(b"" for _ in cls.codecs)])
        _KINDS[symbol] = cls

    def scval(self) -> bytes:
        """Encode the key itself as an SCVal."""
        return self.head + b"".join([codec.encode(getattr(self, name)) for name, codec in self.codecs.items()])

    def encode(self, contract: str) -> bytes:
        """Encode the LedgerKey of this key in a contract (C…)."""
        return CONTRACT_DATA + codec.encode_address(contract) + self.scval() + PERSISTENT

    def to_xdr(self, contract: str) -> str:
        """Encode the LedgerKey in base64."""
        return b64(self.encode(contract))


class InstanceKey(Key, symbol=""):
    def scval(self) -> bytes:
        return _INSTANCE


class GroupKey(Key, symbol="GROUP"):
    group_id: u64


class MetadataKey(Key, symbol="METADATA"):
    group_id: u64


class ContribKey(Key, symbol="CONTRIB"):
    group_id: u64
    cycle: u32
    member: address


class PayoutKey(Key, symbol="PAYOUT"):
    group_id: u64
    member: address


class RefundRequestKey(Key, symbol="REFREQ"):
    group_id: u64


class RefundVoteKey(Key, symbol="REFVOTE"):
    group_id: u64
    voter: address


class RefundKey(Key, symbol="REFUND"):
    group_id: u64
    member: address


class InsuranceClaimKey(Key, symbol="INSCLAIM"):
    claim_id: u64


class BalanceKey(Key, symbol="Balance"):
    """The key of a holder's balance in a token, as Stellar Asset Contracts write it."""

    holder: address


def numbered_keys(kind: type[GroupKey | MetadataKey], contract: str, numbers: Iterable[int]) -> list[str]:
    """Return `to_xdr` of keys of one kind that differ in their number only, faster: a sweep needs thousands."""
    head = kind(0).encode(contract)[: -8 - len(PERSISTENT)]
    return [b2a_base64(head + number.to_bytes(8, "big") + PERSISTENT, newline=False).decode() for number in numbers]


def code_key(wasm_hash: str) -> str:
    """Return the base64 LedgerKey of a contract's code, by its hash in hex."""
    return b64(CONTRACT_CODE + bytes.fromhex(wasm_hash))


def read_key(raw: bytes, at: int) -> tuple[Key, int]:
    """Decode the storage key at an offset. Raises DecodeError for a key that the contract does not write."""
    if raw.startswith(_INSTANCE, at):
        return InstanceKey(), at + len(_INSTANCE)
    count, at = codec.count_at(raw, at, VEC)
    symbol, at = SYMBOL.read(raw, at)
    kind = _KINDS.get(symbol)
    if kind is None or count != len(kind.codecs) + 1:
        raise DecodeError("a storage key that the contract does not write")
    values, at = codec.read_all(raw, at, kind.codecs.values())
    return kind(*values), at


def _read(raw: bytes, at: int) -> tuple[tuple[str, Key], int]:
    if not raw.startswith(CONTRACT_DATA, at):
        raise DecodeError("a ledger key of something else than contract data")
    contract, at = codec.read_address(raw, at + len(CONTRACT_DATA))
    key, at = read_key(raw, at)
    return (contract, key), at + len(PERSISTENT)  # written again, another durability is another key


_LEDGER_KEY: Final[Codec[tuple[str, Key]]] = Codec("ledger key", _read, lambda found: found[1].encode(found[0]))


def decode_key(xdr: str) -> tuple[str, Key]:
    """Decode a base64 LedgerKey to contract and key. Raises DecodeError."""
    return _LEDGER_KEY.from_xdr(xdr)
