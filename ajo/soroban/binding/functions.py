"""Arguments and results of every function of the contract, in the contract's order (CHAIN §1.3)."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stellar_sdk.xdr import SCVal

from ajo.soroban.binding.codec import (
    ADDRESS,
    BOOL,
    BYTES,
    GARBAGE,
    I128,
    STRING,
    U32,
    U64,
    VOID,
    Codec,
    DecodeError,
    Field,
    b64,
    parse,
    struct_of,
    tuple_of,
    vec_of,
)
from ajo.soroban.binding.structs import (
    GROUP,
    INSURANCE_CLAIM,
    INSURANCE_POOL,
    METADATA,
    REFUND,
    REFUND_REQUEST,
    Extra,
)


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """What get_group_status computes at a ledger's time."""

    group_id: int
    current_cycle: int
    has_next_recipient: bool
    next_recipient: str
    total_members: int
    contributions_received: int
    pending_contributors: tuple[str, ...]
    is_complete: bool
    is_cycle_active: bool
    is_in_grace_period: bool
    cycle_start_time: int
    cycle_end_time: int
    grace_period_end_time: int
    current_time: int
    cycle_penalty_pool: int
    extra: Extra = ()


@dataclass(frozen=True, slots=True)
class PenaltyRecord:
    group_id: int
    member: str
    late_count: int
    on_time_count: int
    total_penalties: int
    reliability_score: int
    extra: Extra = ()


GROUP_STATUS: Final = struct_of(
    GroupStatus,
    Field("group_id", U64),
    Field("current_cycle", U32),
    Field("has_next_recipient", BOOL),
    Field("next_recipient", ADDRESS),
    Field("total_members", U32),
    Field("contributions_received", U32),
    Field("pending_contributors", vec_of(ADDRESS)),
    Field("is_complete", BOOL),
    Field("is_cycle_active", BOOL),
    Field("is_in_grace_period", BOOL),
    Field("cycle_start_time", U64),
    Field("cycle_end_time", U64),
    Field("grace_period_end_time", U64),
    Field("current_time", U64),
    Field("cycle_penalty_pool", I128),
)
PENALTY_RECORD: Final = struct_of(
    PenaltyRecord,
    Field("group_id", U64),
    Field("member", ADDRESS),
    Field("late_count", U32),
    Field("on_time_count", U32),
    Field("total_penalties", I128),
    Field("reliability_score", U32),
)


@dataclass(frozen=True, slots=True)
class Function:
    """Names and types of a function's arguments, in order, and the type of its result. A view changes nothing."""

    name: str
    args: tuple[tuple[str, Codec[Any]], ...]
    result: Codec[Any]
    is_view: bool


def _write(name: str, *args: tuple[str, Codec[Any]], result: Codec[Any] = VOID) -> Function:
    return Function(name, args, result, is_view=False)


def _view(name: str, *args: tuple[str, Codec[Any]], result: Codec[Any]) -> Function:
    return Function(name, args, result, is_view=True)


_GROUP_ID: Final = ("group_id", U64)
FUNCTIONS: Final[dict[str, Function]] = {
    each.name: each
    for each in (
        _write("initialize", ("admin", ADDRESS)),
        _write("upgrade", ("new_wasm_hash", BYTES)),
        _write("pause"),
        _write("unpause"),
        _write(
            "create_group",
            ("creator", ADDRESS),
            ("token_address", ADDRESS),
            ("contribution_amount", I128),
            ("cycle_duration", U64),
            ("max_members", U32),
            ("grace_period", U64),
            ("penalty_rate", U32),
            ("insurance_rate_bps", U32),
            result=U64,
        ),
        _write("join_group", ("member", ADDRESS), _GROUP_ID),
        _write("contribute", ("member", ADDRESS), _GROUP_ID),
        _write("execute_payout", _GROUP_ID),
        _write("cancel_group", ("creator", ADDRESS), _GROUP_ID),
        _write("request_refund", ("requester", ADDRESS), _GROUP_ID),
        _write("vote_refund", ("voter", ADDRESS), _GROUP_ID, ("in_favor", BOOL)),
        _write("execute_refund", ("executor", ADDRESS), _GROUP_ID),
        _write("emergency_refund", ("admin", ADDRESS), _GROUP_ID),
        _write("set_group_metadata", _GROUP_ID, ("name", STRING), ("description", STRING), ("rules", STRING)),
        _write(
            "file_insurance_claim",
            ("claimant", ADDRESS),
            _GROUP_ID,
            ("cycle", U32),
            ("defaulter", ADDRESS),
            ("amount", I128),
            result=U64,
        ),
        _write("process_insurance_claim", ("admin", ADDRESS), ("claim_id", U64), ("approved", BOOL)),
        _view("get_group", _GROUP_ID, result=GROUP),
        _view("list_members", _GROUP_ID, result=vec_of(ADDRESS)),
        _view("is_complete", _GROUP_ID, result=BOOL),
        _view("get_group_status", _GROUP_ID, result=GROUP_STATUS),
        _view("get_group_metadata", _GROUP_ID, result=METADATA),
        _view("get_refund_request", _GROUP_ID, result=REFUND_REQUEST),
        _view("get_group_risk_rating", _GROUP_ID, result=U32),
        _view("is_member", _GROUP_ID, ("address", ADDRESS), result=BOOL),
        _view("get_member_penalty_record", _GROUP_ID, ("address", ADDRESS), result=PENALTY_RECORD),
        _view("get_refund_record", _GROUP_ID, ("address", ADDRESS), result=REFUND),
        _view(
            "get_contribution_status",
            _GROUP_ID,
            ("cycle", U32),
            result=vec_of(tuple_of(ADDRESS, BOOL)),
        ),
        _view("get_contract_balance", ("token", ADDRESS), result=I128),
        _view("get_insurance_pool", ("token", ADDRESS), result=INSURANCE_POOL),
        _view("get_insurance_claim", ("claim_id", U64), result=INSURANCE_CLAIM),
        _view("get_member_risk_score", ("member", ADDRESS), result=U32),
    )
}


def function(name: str) -> Function:
    """The function of that name. Raises KeyError for one the contract does not have."""
    return FUNCTIONS[name]


def encode_args(name: str, values: Mapping[str, Any]) -> list[str]:
    """Arguments by name → base64 SCVals in the contract's order.

    Raises KeyError for an unknown function, ValueError for a missing, an unknown or an impossible argument.
    """
    args = FUNCTIONS[name].args
    unknown = set(values) - {each for each, _ in args}
    if unknown:
        raise ValueError(f"{name} has no argument {', '.join(sorted(unknown))}")
    encoded = []
    for each, codec in args:
        if each not in values:
            raise ValueError(f"{name} needs {each}")
        try:
            encoded.append(b64(codec.encode(values[each])))
        except (ValueError, TypeError, AttributeError, struct.error) as error:
            raise ValueError(f"{each} is not a {codec.name}") from error
    return encoded


def decode_args(name: str, args: Sequence[str]) -> dict[str, Any]:
    """Base64 SCVals in the contract's order → arguments by name.

    Raises DecodeError, also for an unknown function or another number of arguments.
    """
    found = FUNCTIONS.get(name)
    if found is None:
        raise DecodeError(f"the contract has no function {name}")
    if len(args) != len(found.args):
        raise DecodeError(f"{name} takes {len(found.args)} arguments, not {len(args)}")
    return {each: _decode(codec, arg) for (each, codec), arg in zip(found.args, args, strict=True)}


def encode_result(name: str, value: Any) -> str:
    """A function's result → base64 SCVal."""
    return b64(FUNCTIONS[name].result.encode(value))


def decode_result(name: str, xdr: str) -> Any:
    """A function's result from a base64 SCVal. Raises DecodeError, also for an unknown function."""
    found = FUNCTIONS.get(name)
    if found is None:
        raise DecodeError(f"the contract has no function {name}")
    return _decode(found.result, xdr)


def _decode(codec: Codec[Any], xdr: str) -> Any:
    """One value that re-encodes to the same bytes."""
    try:
        value = codec.decode(parse(SCVal, xdr))
        same = b64(codec.encode(value)) == xdr
    except GARBAGE as error:
        raise error if isinstance(error, DecodeError) else DecodeError(str(error)) from error
    if not same:
        raise DecodeError(f"a {codec.name} that is not written as the contract writes it")
    return value
