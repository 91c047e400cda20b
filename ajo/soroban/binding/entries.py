"""Ledger entries of the contract ↔ the dataclasses of `structs` and `instance`."""

import struct
from dataclasses import dataclass
from typing import Any, Final

from stellar_sdk.xdr import ContractDataDurability, ContractDataEntry, LedgerEntryData, SCVal

from ajo.soroban.binding.codec import (
    BOOL,
    GARBAGE,
    Codec,
    DecodeError,
    b64,
    decode_address,
    encode_address,
    parse,
)
from ajo.soroban.binding.instance import (
    Instance,
    TokenMetadata,
    TokenText,
    decode_instance,
    encode_instance,
    token_text,
)
from ajo.soroban.binding.keys import (
    CONTRACT_DATA,
    PERSISTENT,
    ContribKey,
    GroupKey,
    InstanceKey,
    InsuranceClaimKey,
    Key,
    MetadataKey,
    PayoutKey,
    RefundKey,
    RefundRequestKey,
    RefundVoteKey,
    key_of,
)
from ajo.soroban.binding.structs import (
    GROUP,
    INSURANCE_CLAIM,
    METADATA,
    REFUND,
    REFUND_REQUEST,
    REFUND_VOTE,
    Contributed,
    Group,
    InsuranceClaim,
    InsuranceConfig,
    InsurancePool,
    Metadata,
    PaidOut,
    Refund,
    RefundReason,
    RefundRequest,
    RefundVote,
    Status,
)

__all__ = [
    "CODECS",
    "Contributed",
    "Entry",
    "Group",
    "Instance",
    "InsuranceClaim",
    "InsuranceConfig",
    "InsurancePool",
    "Metadata",
    "PaidOut",
    "Refund",
    "RefundReason",
    "RefundRequest",
    "RefundVote",
    "Status",
    "TokenMetadata",
    "TokenText",
    "Value",
    "contract_data",
    "decode_entry",
    "encode_entry",
    "printable",
    "token_metadata",
]

Value = Group | Metadata | Contributed | PaidOut | RefundRequest | RefundVote | Refund | InsuranceClaim | Instance


def _flag(kind: type[Any]) -> Codec[Any]:
    """`true` and nothing else, as CONTRIB and PAYOUT entries hold."""

    def decode(value: SCVal) -> Any:
        if not BOOL.decode(value):
            raise DecodeError(f"{kind.__name__} with the value false")
        return kind()

    return Codec(kind.__name__, decode, lambda _: BOOL.encode(True))


CODECS: Final[dict[type[Key], Codec[Any]]] = {
    InstanceKey: Codec("instance", decode_instance, encode_instance),
    GroupKey: GROUP,
    MetadataKey: METADATA,
    ContribKey: _flag(Contributed),
    PayoutKey: _flag(PaidOut),
    RefundRequestKey: REFUND_REQUEST,
    RefundVoteKey: REFUND_VOTE,
    RefundKey: REFUND,
    InsuranceClaimKey: INSURANCE_CLAIM,
}
# LedgerEntryData's arm, then ContractDataEntry's extension point: nothing.
_HEAD: Final = CONTRACT_DATA + struct.pack(">i", 0)


@dataclass(frozen=True, slots=True)
class Entry:
    contract: str
    key: Key
    value: Value

    def to_xdr(self) -> str:
        """Base64 LedgerEntryData, the very bytes it was decoded from."""
        return b64(encode_entry(self.contract, self.key.scval(), CODECS[type(self.key)].encode(self.value)))


def encode_entry(contract: str, key: bytes, value: bytes) -> bytes:
    """LedgerEntryData bytes of a persistent ContractData entry whose key and value are XDR already."""
    return _HEAD + encode_address(contract) + key + PERSISTENT + value


def contract_data(xdr: str) -> ContractDataEntry:
    """The contract data in a base64 LedgerEntryData, of any contract. Raises DecodeError."""
    data = parse(LedgerEntryData, xdr).contract_data
    if data is None:
        raise DecodeError("an entry of something else than contract data")
    if data.durability != ContractDataDurability.PERSISTENT:
        raise DecodeError("an entry that is not persistent")
    return data


def decode_entry(xdr: str) -> Entry:
    """The entry in a base64 LedgerEntryData.

    Raises DecodeError for everything the contract cannot have written: another type, a missing field, a key unknown,
    a map out of order. What is returned re-encodes to the same bytes.
    """
    try:
        data = contract_data(xdr)
        key = key_of(data.key)
        entry = Entry(decode_address(data.contract), key, CODECS[type(key)].decode(data.val))
        same = entry.to_xdr() == xdr
    except GARBAGE as error:
        raise error if isinstance(error, DecodeError) else DecodeError(str(error)) from error
    if not same:
        raise DecodeError("an entry that is not written as the contract writes it")
    return entry


def token_metadata(xdr: str) -> TokenMetadata:
    """Name, symbol and decimals from the contract instance of a token, base64 LedgerEntryData.

    Raises DecodeError for an entry that is no instance, or whose storage has no METADATA as tokens keep it.
    """
    try:
        instance = decode_instance(contract_data(xdr).val)
        text = token_text(instance)
    except GARBAGE as error:
        raise error if isinstance(error, DecodeError) else DecodeError(str(error)) from error
    return TokenMetadata(printable(text.name), printable(text.symbol), text.decimal, instance.wasm_hash is None)


def printable(raw: bytes) -> str:
    """UTF-8 text, with what PostgreSQL and JSON cannot hold (invalid bytes, NUL) replaced by U+FFFD."""
    return raw.decode("utf-8", errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
