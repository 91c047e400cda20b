"""Keys are the bytes that the contract and stellar-sdk write, both ways; everything else is a DecodeError."""

import base64
import struct
from collections.abc import Callable, Iterator

import pytest
from stellar_sdk import Address, scval
from stellar_sdk.xdr import ContractDataDurability, LedgerEntryType, LedgerKey, LedgerKeyContractData, SCVal, SCValType

from ajo.soroban.contract import DecodeError
from ajo.soroban.contract.keys import (
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
    decode_key,
    numbered_keys,
)
from tests.support.contract_values import ALICE, CONTRACT, WALLET


def keys_and_their_scvals() -> Iterator[tuple[Key, SCVal]]:
    """Every kind of key with the least, the largest and an ordinary number, and stellar-sdk's objects for it."""
    yield InstanceKey(), SCVal(SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE)
    one: dict[str, Callable[[int], Key]] = {
        "GROUP": GroupKey,
        "METADATA": MetadataKey,
        "REFREQ": RefundRequestKey,
        "INSCLAIM": InsuranceClaimKey,
    }
    two: dict[str, Callable[[int, str], Key]] = {"PAYOUT": PayoutKey, "REFVOTE": RefundVoteKey, "REFUND": RefundKey}
    for number in (0, 1, 2**32, 2**64 - 1):
        head = [scval.to_uint64(number)]
        for name, kind in one.items():
            yield kind(number), scval.to_vec([scval.to_symbol(name), *head])
        for wallet in (ALICE, WALLET):
            tail = [scval.to_address(wallet)]
            for name, wallet_search in two.items():
                yield wallet_search(number, wallet), scval.to_vec([scval.to_symbol(name), *head, *tail])
            for cycle in (0, 1, 2**32 - 1):
                paid = [scval.to_symbol("CONTRIB"), *head, scval.to_uint32(cycle), *tail]
                yield ContribKey(number, cycle, wallet), scval.to_vec(paid)


def test_every_key_is_the_bytes_that_stellar_sdk_writes() -> None:
    for contract in (CONTRACT, WALLET):
        for key, value in keys_and_their_scvals():
            data = LedgerKeyContractData(
                Address(contract).to_xdr_sc_address(), value, ContractDataDurability.PERSISTENT
            )
            expected = LedgerKey(LedgerEntryType.CONTRACT_DATA, contract_data=data).to_xdr()
            assert key.to_xdr(contract) == expected
            assert decode_key(expected) == (contract, key)


@pytest.mark.parametrize("key", [GroupKey(-1), GroupKey(2**64), ContribKey(1, 2**32, ALICE), PayoutKey(1, "M")])
def test_a_key_with_a_part_out_of_range_is_not_written(key: Key) -> None:
    with pytest.raises((ValueError, OverflowError)):
        key.to_xdr(CONTRACT)


def test_keys_of_other_kinds_are_refused() -> None:
    account = struct.pack(">ii", LedgerEntryType.ACCOUNT.value, 0) + bytes(32)
    with pytest.raises(DecodeError, match="contract data"):
        decode_key(base64.b64encode(account).decode())
    foreign = GroupKey(1).to_xdr(CONTRACT).replace("R1JPVVA", "R1JPVVB")
    with pytest.raises(DecodeError):
        decode_key(foreign)


@pytest.mark.parametrize("kind", [GroupKey, MetadataKey])
def test_keys_that_are_made_by_the_thousand_are_those_that_are_made_one_by_one(
    kind: type[GroupKey | MetadataKey],
) -> None:
    numbers = [0, 1, 255, 256, 2**32, 2**63, 2**64 - 1]
    assert numbered_keys(kind, CONTRACT, numbers) == [kind(number).to_xdr(CONTRACT) for number in numbers]
