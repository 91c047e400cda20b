"""Accounts and trustlines as the ledger keeps them."""

from typing import Final

from stellar_sdk import Asset, Keypair
from stellar_sdk.xdr import (
    AccountEntry,
    AccountEntryExt,
    AccountEntryExtensionV1,
    AccountEntryExtensionV1Ext,
    AccountEntryExtensionV2,
    AccountEntryExtensionV2Ext,
    AccountEntryExtensionV3,
    ExtensionPoint,
    Int64,
    LedgerEntryData,
    LedgerEntryType,
    Liabilities,
    SequenceNumber,
    SponsorshipDescriptor,
    String32,
    Thresholds,
    TimePoint,
    TrustLineAsset,
    TrustLineEntry,
    TrustLineEntryExt,
    Uint32,
    Uint64,
)

from devtools.sandbox.present import present

MAX_BALANCE: Final = 2**63 - 1
AUTHORIZED: Final = 1  # a trustline's flag
AUTH_REQUIRED, AUTH_CLAWBACK_ENABLED = 1, 8  # an issuer's flags
MASTER, LOW, MEDIUM, HIGH = range(4)  # places in an account's thresholds


def decode_account(data: bytes) -> AccountEntry:
    """The account in LedgerEntryData."""
    return present(LedgerEntryData.from_xdr_bytes(data).account)


def encode_account(account: AccountEntry) -> bytes:
    return LedgerEntryData(LedgerEntryType.ACCOUNT, account=account).to_xdr_bytes()


def decode_trustline(data: bytes) -> TrustLineEntry:
    return present(LedgerEntryData.from_xdr_bytes(data).trust_line)


def encode_trustline(line: TrustLineEntry) -> bytes:
    return LedgerEntryData(LedgerEntryType.TRUSTLINE, trust_line=line).to_xdr_bytes()


def new_account(address: str, balance: int, sequence: int) -> AccountEntry:
    return AccountEntry(
        account_id=Keypair.from_public_key(address).xdr_account_id(),
        balance=Int64(balance),
        seq_num=SequenceNumber(Int64(sequence)),
        num_sub_entries=Uint32(0),
        inflation_dest=None,
        flags=Uint32(0),
        home_domain=String32(b""),
        thresholds=Thresholds(bytes([1, 0, 0, 0])),
        signers=[],
        ext=AccountEntryExt(0),
    )


def new_trustline(address: str, asset: Asset, balance: int, limit: int, flags: int = AUTHORIZED) -> TrustLineEntry:
    return TrustLineEntry(
        account_id=Keypair.from_public_key(address).xdr_account_id(),
        asset=TrustLineAsset.from_xdr_bytes(asset.to_xdr_object().to_xdr_bytes()),
        balance=Int64(balance),
        limit=Int64(limit),
        flags=Uint32(flags),
        ext=TrustLineEntryExt(0),
    )


def extend(account: AccountEntry) -> AccountEntryExtensionV3:
    """The account's newest extension, made with all before it where it has none."""
    if account.ext.v1 is None:
        nothing = Liabilities(Int64(0), Int64(0))
        account.ext = AccountEntryExt(1, AccountEntryExtensionV1(nothing, AccountEntryExtensionV1Ext(0)))
    first = present(account.ext.v1)
    if first.ext.v2 is None:
        none = Uint32(0)
        nobody = [SponsorshipDescriptor(None) for _ in account.signers]
        extension = AccountEntryExtensionV2(none, Uint32(0), nobody, AccountEntryExtensionV2Ext(0))
        first.ext = AccountEntryExtensionV1Ext(2, extension)
    second = present(first.ext.v2)
    if second.ext.v3 is None:
        third = AccountEntryExtensionV3(ExtensionPoint(0), Uint32(0), TimePoint(Uint64(0)))
        second.ext = AccountEntryExtensionV2Ext(3, third)
    return present(second.ext.v3)


def last_used(account: AccountEntry) -> tuple[int, int]:
    """The ledger and the time in which its number was last used; 0 for what is not known."""
    second = None if account.ext.v1 is None else account.ext.v1.ext.v2
    third = None if second is None else second.ext.v3
    return (0, 0) if third is None else (third.seq_ledger.uint32, third.seq_time.time_point.uint64)


def limits(account: AccountEntry, base_reserve: int) -> tuple[int, int]:
    """The least and the most that an account may hold: its reserve and what it owes, and what it may still take."""
    sponsoring = sponsored = buying = selling = 0
    first = account.ext.v1
    if first is not None:
        buying, selling = first.liabilities.buying.int64, first.liabilities.selling.int64
        if first.ext.v2 is not None:
            sponsoring, sponsored = first.ext.v2.num_sponsoring.uint32, first.ext.v2.num_sponsored.uint32
    entries = 2 + account.num_sub_entries.uint32 + sponsoring - sponsored
    return entries * base_reserve + selling, MAX_BALANCE - buying


def spendable(account: AccountEntry, base_reserve: int) -> int:
    return int(account.balance.int64) - limits(account, base_reserve)[0]


def trustline_limits(line: TrustLineEntry) -> tuple[int, int]:
    owed = line.ext.v1.liabilities if line.ext.v1 is not None else None
    buying, selling = (owed.buying.int64, owed.selling.int64) if owed is not None else (0, 0)
    return selling, line.limit.int64 - buying


def signer_weight(account: AccountEntry, public_key: str) -> int:
    """0 for a key that is no signer."""
    if Keypair.from_public_key(public_key).xdr_account_id() == account.account_id:
        return account.thresholds.thresholds[MASTER]
    raw = Keypair.from_public_key(public_key).raw_public_key()
    for signer in account.signers:
        if signer.key.ed25519 is not None and signer.key.ed25519.uint256 == raw:
            return min(signer.weight.uint32, 255)
    return 0
