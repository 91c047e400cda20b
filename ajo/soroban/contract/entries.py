"""The values that the contract stores under its keys, as dataclasses, and whole ledger entries (docs/chain.md §1.1).

Money is in the token's smallest unit, times are unix seconds, durations seconds, texts bytes.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Literal

from stellar_sdk.xdr import SCValType

from ajo.soroban.contract import keys
from ajo.soroban.contract.codec import BOOL, I128, Codec, DecodeError, b64, encode_address, read_address, tag
from ajo.soroban.contract.instance import Instance as Instance
from ajo.soroban.contract.instance import InsurancePool as InsurancePool
from ajo.soroban.contract.keys import Key
from ajo.soroban.contract.structs import Struct, address, i128, string, u32, u64

Status = Literal["active", "cancelled", "completed"]


class GroupState(IntEnum):
    ACTIVE = 0
    CANCELLED = 1
    COMPLETE = 2  # declared by the contract, never written


class InsuranceConfig(Struct):
    is_enabled: bool
    rate_bps: u32


class Group(Struct):
    """A group of any contract version.

    Fields that an older version did not write are None; fields that a newer one adds are in `extra`.
    """

    id: u64
    creator: address
    contribution_amount: i128
    cycle_duration: u64
    max_members: u32
    members: tuple[address, ...]
    current_cycle: u32
    payout_index: u32
    created_at: u64
    cycle_start_time: u64
    is_complete: bool
    grace_period: u64 | None = None
    penalty_rate: u32 | None = None
    state: u32 | None = None
    token_address: address | None = None
    insurance_config: InsuranceConfig | None = None
    is_cancelled: bool | None = None

    @property
    def status(self) -> Status:
        """Return the status in the contract's own order of tests: complete wins over cancelled (docs/chain.md §1.1)."""
        if self.is_complete:
            return "completed"
        return "cancelled" if self.state == GroupState.CANCELLED or self.is_cancelled else "active"


class Metadata(Struct):
    name: string
    description: string
    rules: string


class RefundRequest(Struct):
    group_id: u64
    requester: address
    created_at: u64
    voting_deadline: u64
    votes_for: u32
    votes_against: u32
    executed: bool
    approved: bool


class RefundVote(Struct):
    group_id: u64
    voter: address
    in_favor: bool
    timestamp: u64


class Refund(Struct):
    group_id: u64
    member: address
    amount: i128
    timestamp: u64
    reason: u32


class InsuranceClaim(Struct):
    id: u64
    group_id: u64
    cycle: u32
    defaulter: address
    claimant: address
    amount: i128
    status: u32
    created_at: u64


class Balance(Struct):
    """A holder's balance in an asset contract."""

    amount: i128
    authorized: bool | None = None
    clawback: bool | None = None


def _true(found: bool) -> bool:
    if not found:
        raise DecodeError("a mark that says false")
    return found


def _balance(is_bare: bool) -> Codec[Any]:
    return I128 if is_bare else Balance.codec


_MARK: Final = BOOL.map("mark", _true, _true)
_VALUE_CODECS: Final[dict[type[Key], Codec[Any]]] = {
    keys.InstanceKey: Instance.codec,
    keys.GroupKey: Group.codec,
    keys.MetadataKey: Metadata.codec,
    keys.ContribKey: _MARK,
    keys.PayoutKey: _MARK,
    keys.RefundRequestKey: RefundRequest.codec,
    keys.RefundVoteKey: RefundVote.codec,
    keys.RefundKey: Refund.codec,
    keys.InsuranceClaimKey: InsuranceClaim.codec,
    # an asset contract's struct, or the bare i128 of the example token
    keys.BalanceKey: Codec(
        "balance",
        lambda raw, at: _balance(raw.startswith(tag(SCValType.SCV_I128), at)).read(raw, at),
        lambda value: _balance(isinstance(value, int)).encode(value),
    ),
}
_HEAD: Final = keys.CONTRACT_DATA + bytes(4)  # LedgerEntryData's arm, and no extension


@dataclass(frozen=True, slots=True)
class Entry:
    """A contract's ledger entry. Under CONTRIB and PAYOUT the value is True: nothing else was ever written."""

    contract: str
    key: Key
    value: Any

    def encode(self) -> bytes:
        """Encode as LedgerEntryData."""
        value = _VALUE_CODECS[type(self.key)].encode(self.value)
        return _HEAD + encode_address(self.contract) + self.key.scval() + keys.PERSISTENT + value

    def to_xdr(self) -> str:
        """Encode as base64 LedgerEntryData: exactly the text that it was decoded from."""
        return b64(self.encode())


def _read(raw: bytes, at: int) -> tuple[Entry, int]:
    if not raw.startswith(_HEAD, at):
        raise DecodeError("an entry of something else than contract data")
    contract, at = read_address(raw, at + len(_HEAD))
    key, at = keys.read_key(raw, at)
    if not raw.startswith(keys.PERSISTENT, at):
        raise DecodeError("an entry that is not persistent")
    value, at = _VALUE_CODECS[type(key)].read(raw, at + len(keys.PERSISTENT))
    return Entry(contract, key, value), at


_ENTRY: Final = Codec("contract entry", _read, Entry.encode)


def decode_entry(xdr: str) -> Entry:
    """Decode a base64 LedgerEntryData.

    Raises DecodeError for everything that the contract, or a token, cannot have written: another type, a missing
    field, an unknown key, a map out of order.
    """
    return _ENTRY.from_xdr(xdr)


def printable(raw: bytes) -> str:
    """Decode UTF-8, replacing by U+FFFD what PostgreSQL and JSON cannot hold (invalid bytes, NUL)."""
    return raw.decode("utf-8", errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
