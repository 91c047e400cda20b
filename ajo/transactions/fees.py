"""What a transaction offers: for its place in a ledger, and for what it uses, with margins for what may grow.

What a node says of resources is enough for the state that it simulated. Until the ledger carries the transaction,
others may have made an entry larger (docs/writing.md).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from stellar_sdk import TransactionEnvelope
from stellar_sdk.xdr import Int64, SorobanTransactionData, Uint32

from ajo.soroban.contract import XDR_FAULTS
from ajo.soroban.models import ChainTransaction
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import RpcInvalidAnswer
from ajo.transactions.calls import Call
from ajo.transactions.limits import Limits, refuse_beyond
from ajo.transactions.state import State

MIN_INCLUSION_FEE: Final = 100  # stroops: core refuses less
STATS_TTL: Final = 15.0  # seconds, three ledgers of the fifty that the node counts
REPLACING: Final = 10  # times the old bid: what core wants of one that takes another's place in its queue

JOINS: Final = 8  # others that may join the group before this one is applied
MEMBER_BYTES: Final = 44  # that an account adds to the group's entry; a contract adds 40
MEMBER_INSTRUCTIONS: Final = 60_000  # to read and write one member more
# In percent of what the node says. What is refundable and not used comes back, and rent is most of it: a fifth more
# has been seen to be needed where a ledger's other writes made the state larger.
FEE_MARGIN: Final = 25

_bids: dict[tuple[str, ...], tuple[float, int]] = {}  # until when (time.monotonic) one is right, by network and nodes


def default_bid(client: SorobanClient) -> int:
    """Return what to offer for a place in a ledger, in stroops: the 90th percentile of what was paid lately.

    A ledger charges all the same price, so that a high bid costs no more than the place is worth. It asks the node
    once in STATS_TTL seconds. Raises ChainError.
    """
    place = (settings.STELLAR_NETWORK_PASSPHRASE, *settings.SOROBAN_RPC_URL)
    until, bid = _bids.get(place, (0.0, 0))
    if time.monotonic() >= until:
        bid = int(client.get_fee_stats().soroban_inclusion_fee.p90)
        _bids[place] = (time.monotonic() + STATS_TTL, bid)
    return min(max(bid, MIN_INCLUSION_FEE), settings.MAX_INCLUSION_FEE)


def bid_of(envelope: TransactionEnvelope) -> int:
    """Return the stroops that a transaction offers for its place in a ledger: its fee less that of its resources."""
    data = envelope.transaction.soroban_data
    return int(envelope.transaction.fee - (data.resource_fee.int64 if data else 0))


def stored_bid(row: ChainTransaction) -> int:
    """Return what a stored transaction offers for its place in a ledger, in stroops."""
    return bid_of(TransactionEnvelope.from_xdr(row.xdr, settings.STELLAR_NETWORK_PASSPHRASE))


def replacing_bid(old: int, bid: int) -> int:
    """Return the bid of a transaction that takes the place of one that offered `old`, at most MAX_INCLUSION_FEE."""
    return min(max(bid, old * REPLACING), settings.MAX_INCLUSION_FEE)


@dataclass(frozen=True, slots=True)
class Growth:
    """What an entry may have grown by before the transaction is applied."""

    write_bytes: int = 0
    instructions: int = 0


def expected_growth(call: Call, state: State) -> Growth:
    """Return what other transactions may add to what this call writes: each that joins makes the group larger."""
    if call.function != "join_group" or state.group is None:
        return Growth()
    seats = state.group.max_members - len(state.group.members) - 1  # after this one
    joins = max(0, min(JOINS, seats))
    return Growth(joins * MEMBER_BYTES, joins * MEMBER_INSTRUCTIONS)


def with_margins(data: str, min_resource_fee: int, growth: Growth, limits: Limits) -> SorobanTransactionData:
    """Return a simulation's transaction data (base64) with the margins.

    Raises Conflict where even the least fee is beyond MAX_RESOURCE_FEE, as for restoring an archived contract, and
    RpcInvalidAnswer for data that is none.
    """
    refuse_beyond("resource_fee", min_resource_fee, settings.MAX_RESOURCE_FEE)
    try:
        padded = SorobanTransactionData.from_xdr(data)
    except XDR_FAULTS as error:
        raise RpcInvalidAnswer("simulateTransaction: transaction data that cannot be decoded") from error
    resources = padded.resources
    before = resources.instructions.uint32, resources.write_bytes.uint32
    instructions = max(before[0], min(before[0] + growth.instructions, limits.instructions))
    write_bytes = max(before[1], min(before[1] + growth.write_bytes, limits.write_bytes))
    more = _price(instructions - before[0], limits.fee_instructions, 10_000)
    more += _price(write_bytes - before[1], limits.fee_write_1kb, 1024)
    resources.instructions, resources.write_bytes = Uint32(instructions), Uint32(write_bytes)
    fee = min(min_resource_fee * (100 + FEE_MARGIN) // 100 + more, settings.MAX_RESOURCE_FEE)
    refuse_beyond("resource_fee", min_resource_fee + more, settings.MAX_RESOURCE_FEE)
    padded.resource_fee = Int64(fee)
    return padded


def _price(amount: int, rate: int, increment: int) -> int:
    return -(-amount * rate // increment)
