"""Arguments and results of every function of the contract, in the contract's order (docs/chain.md §1.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ajo.soroban.contract import DecodeError
from ajo.soroban.contract.codec import ADDRESS, BOOL, BYTES, I128, STRING, U32, U64, VOID, Codec, tuple_of, vec_of
from ajo.soroban.contract.entries import Group, InsuranceClaim, InsurancePool, Metadata, Refund, RefundRequest
from ajo.soroban.contract.structs import Struct, address, i128, u32, u64


class GroupStatus(Struct):
    """The result of get_group_status, computed at a ledger's close time."""

    group_id: u64
    current_cycle: u32
    has_next_recipient: bool
    next_recipient: address
    total_members: u32
    contributions_received: u32
    pending_contributors: tuple[address, ...]
    is_complete: bool
    is_cycle_active: bool
    is_in_grace_period: bool
    cycle_start_time: u64
    cycle_end_time: u64
    grace_period_end_time: u64
    current_time: u64
    cycle_penalty_pool: i128


class PenaltyRecord(Struct):
    group_id: u64
    member: address
    late_count: u32
    on_time_count: u32
    total_penalties: i128
    reliability_score: u32


@dataclass(frozen=True, slots=True)
class Function:
    """The types of a function's arguments, by name and in order, and of its result."""

    args: dict[str, Codec[Any]]
    result: Codec[Any]


def _takes(result: Codec[Any] = VOID, /, **args: Codec[Any]) -> Function:
    return Function(args, result)


WRITES: Final[dict[str, Function]] = {
    "initialize": _takes(admin=ADDRESS),
    "upgrade": _takes(new_wasm_hash=BYTES),
    "pause": _takes(),
    "unpause": _takes(),
    "create_group": _takes(
        U64,
        creator=ADDRESS,
        token_address=ADDRESS,
        contribution_amount=I128,
        cycle_duration=U64,
        max_members=U32,
        grace_period=U64,
        penalty_rate=U32,
        insurance_rate_bps=U32,
    ),
    "join_group": _takes(member=ADDRESS, group_id=U64),
    "contribute": _takes(member=ADDRESS, group_id=U64),
    "execute_payout": _takes(group_id=U64),
    "cancel_group": _takes(creator=ADDRESS, group_id=U64),
    "request_refund": _takes(requester=ADDRESS, group_id=U64),
    "vote_refund": _takes(voter=ADDRESS, group_id=U64, in_favor=BOOL),
    "execute_refund": _takes(executor=ADDRESS, group_id=U64),
    "emergency_refund": _takes(admin=ADDRESS, group_id=U64),
    "set_group_metadata": _takes(group_id=U64, name=STRING, description=STRING, rules=STRING),
    "file_insurance_claim": _takes(U64, claimant=ADDRESS, group_id=U64, cycle=U32, defaulter=ADDRESS, amount=I128),
    "process_insurance_claim": _takes(admin=ADDRESS, claim_id=U64, approved=BOOL),
}
VIEWS: Final[dict[str, Function]] = {
    "get_group": _takes(Group.codec, group_id=U64),
    "list_members": _takes(vec_of(ADDRESS), group_id=U64),
    "is_complete": _takes(BOOL, group_id=U64),
    "get_group_status": _takes(GroupStatus.codec, group_id=U64),
    "get_group_metadata": _takes(Metadata.codec, group_id=U64),
    "get_refund_request": _takes(RefundRequest.codec, group_id=U64),
    "get_group_risk_rating": _takes(U32, group_id=U64),
    "is_member": _takes(BOOL, group_id=U64, address=ADDRESS),
    "get_member_penalty_record": _takes(PenaltyRecord.codec, group_id=U64, address=ADDRESS),
    "get_refund_record": _takes(Refund.codec, group_id=U64, address=ADDRESS),
    "get_contribution_status": _takes(vec_of(tuple_of(ADDRESS, BOOL)), group_id=U64, cycle=U32),
    "get_contract_balance": _takes(I128, token=ADDRESS),
    "get_insurance_pool": _takes(InsurancePool.codec, token=ADDRESS),
    "get_insurance_claim": _takes(InsuranceClaim.codec, claim_id=U64),
    "get_member_risk_score": _takes(U32, member=ADDRESS),
}
FUNCTIONS: Final = WRITES | VIEWS


def encode_args(name: str, values: Mapping[str, Any]) -> list[str]:
    """Encode arguments by name as base64 SCVals in the contract's order.

    Raises KeyError for an unknown function, ValueError for a missing, an unknown or an impossible argument.
    """
    args = FUNCTIONS[name].args
    if values.keys() != args.keys():
        raise ValueError(f"{name} takes {', '.join(args) or 'nothing'}")
    encoded = []
    for each, codec in args.items():
        try:
            encoded.append(codec.to_xdr(values[each]))
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"{each} is not a {codec.name}") from error
    return encoded


def decode_args(name: str, args: Sequence[str]) -> dict[str, Any]:
    """Decode base64 SCVals in the contract's order to arguments by name.

    Raises DecodeError, also for an unknown function or another number of arguments.
    """
    types = _function(name).args
    if len(args) != len(types):
        raise DecodeError(f"{name} takes {len(types)} arguments, not {len(args)}")
    return {each: codec.from_xdr(arg) for (each, codec), arg in zip(types.items(), args, strict=True)}


def encode_result(name: str, value: Any) -> str:
    """Encode a function's result as a base64 SCVal. Raises KeyError for an unknown function."""
    return FUNCTIONS[name].result.to_xdr(value)


def decode_result(name: str, xdr: str) -> Any:
    """Decode a function's result from a base64 SCVal. Raises DecodeError, also for an unknown function."""
    return _function(name).result.from_xdr(xdr)


def _function(name: str) -> Function:
    if name not in FUNCTIONS:
        raise DecodeError(f"the contract has no function {name}")
    return FUNCTIONS[name]
