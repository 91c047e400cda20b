"""Accounts of the network, as the chain has them: sequence number, balance, signers and thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stellar_sdk import Keypair, StrKey
from stellar_sdk.xdr import (
    AccountEntry,
    AccountID,
    LedgerEntryData,
    LedgerEntryType,
    LedgerKey,
    LedgerKeyAccount,
    Signer,
    SignerKeyType,
)

from ajo.soroban.contract import XDR_FAULTS
from ajo.soroban.rpc.errors import RpcInvalidAnswer

# Stroops for each entry. It stands in ledger headers, which no RPC method gives alone; the public networks have had
# this one since protocol 10 let them vote on it.
BASE_RESERVE: Final = 5_000_000


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The weight of signatures that operations need: LOW for the transaction, MEDIUM for a call of a contract."""

    low: int
    medium: int


@dataclass(frozen=True, slots=True)
class AccountState:
    """An account at one ledger. `balance` is in stroops; `signers` are the weights of its ed25519 keys by G… address.

    `other_signers` are pre-authorized transactions, hashes and payloads that can sign for it, too.
    """

    address: str
    sequence: int
    balance: int
    thresholds: Thresholds
    signers: dict[str, int]
    other_signers: tuple[Signer, ...] = ()
    reserve: int = 0  # stroops that it has to keep: no fee and no payment takes them


def account_key(address: str) -> str:
    """Return the base64 LedgerKey of a G… address. Raises ValueError for any other text."""
    account = AccountID(Keypair.from_public_key(address).xdr_public_key())
    return LedgerKey(LedgerEntryType.ACCOUNT, account=LedgerKeyAccount(account)).to_xdr()


def decode_account(address: str, xdr: str) -> AccountState:
    """Decode the base64 LedgerEntryData of this G… address. Raises RpcInvalidAnswer for anything else."""
    try:
        entry = LedgerEntryData.from_xdr(xdr).account
    except XDR_FAULTS as error:
        raise RpcInvalidAnswer("getLedgerEntries: an account's entry that cannot be decoded") from error
    if entry is None:
        raise RpcInvalidAnswer("getLedgerEntries: another entry than an account's")
    return _state(address, entry)


def _state(address: str, entry: AccountEntry) -> AccountState:
    master, low, medium, _high = entry.thresholds.thresholds
    signers = {address: master} if master else {}
    other = []
    for signer in entry.signers:
        if signer.key.type == SignerKeyType.SIGNER_KEY_TYPE_ED25519 and signer.key.ed25519 is not None:
            signers[StrKey.encode_ed25519_public_key(signer.key.ed25519.uint256)] = signer.weight.uint32
        else:
            other.append(signer)
    return AccountState(
        address=address,
        sequence=entry.seq_num.sequence_number.int64,
        balance=entry.balance.int64,
        thresholds=Thresholds(low, medium),
        signers=signers,
        other_signers=tuple(other),
        reserve=_reserve(entry),
    )


def _reserve(entry: AccountEntry) -> int:
    """Return what an account has to keep: for its entries that nobody else sponsors, and for its offers."""
    entries, selling = 2 + entry.num_sub_entries.uint32, 0
    if entry.ext.v1 is not None:
        selling = entry.ext.v1.liabilities.selling.int64
        if entry.ext.v1.ext.v2 is not None:
            entries += entry.ext.v1.ext.v2.num_sponsoring.uint32 - entry.ext.v1.ext.v2.num_sponsored.uint32
    return int(entries * BASE_RESERVE + selling)
