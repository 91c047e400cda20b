"""What the contract keeps under its keys, as dataclasses, with their codecs (CHAIN §1.1).

Money is in the token's smallest unit, times are unix seconds, durations seconds, texts bytes.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

from ajo.soroban.binding.codec import ADDRESS, BOOL, I128, STRING, U32, U64, Codec, Field, struct_of, vec_of

Extra = tuple[tuple[str, str], ...]
Status = Literal["active", "cancelled", "completed"]


class GroupState(IntEnum):
    ACTIVE = 0
    CANCELLED = 1
    COMPLETE = 2  # declared by the contract, never written


class RefundReason(IntEnum):
    CREATOR_CANCELLED = 0
    MEMBER_VOTE = 1
    EMERGENCY = 2


class ClaimStatus(IntEnum):
    PENDING = 0
    APPROVED = 1  # declared by the contract, never stored: an approved claim is paid at once
    REJECTED = 2
    PAID = 3


@dataclass(frozen=True, slots=True)
class InsuranceConfig:
    is_enabled: bool
    rate_bps: int
    extra: Extra = ()


@dataclass(frozen=True, slots=True)
class Group:
    """A group of any age: what an older contract did not write is None, what a newer one adds is in `extra`."""

    id: int
    creator: str
    contribution_amount: int
    cycle_duration: int
    max_members: int
    members: tuple[str, ...]
    current_cycle: int
    payout_index: int
    created_at: int
    cycle_start_time: int
    is_complete: bool
    grace_period: int | None = None
    penalty_rate: int | None = None
    state: int | None = None
    token_address: str | None = None
    insurance: InsuranceConfig | None = None
    is_cancelled: bool | None = None
    extra: Extra = ()

    @property
    def status(self) -> Status:
        """As the contract itself asks: complete wins over cancelled, for `state` never becomes Complete."""
        if self.is_complete:
            return "completed"
        return "cancelled" if self.state == GroupState.CANCELLED or self.is_cancelled else "active"


@dataclass(frozen=True, slots=True)
class Metadata:
    name: bytes
    description: bytes
    rules: bytes
    extra: Extra = ()


@dataclass(frozen=True, slots=True)
class Contributed:
    """The member has paid the cycle. The contract writes `true`; nothing else was ever written."""


@dataclass(frozen=True, slots=True)
class PaidOut:
    """The member has been paid out."""


@dataclass(frozen=True, slots=True)
class RefundRequest:
    group_id: int
    requester: str
    created_at: int
    voting_deadline: int
    votes_for: int
    votes_against: int
    executed: bool
    approved: bool
    extra: Extra = ()


@dataclass(frozen=True, slots=True)
class RefundVote:
    group_id: int
    voter: str
    in_favor: bool
    timestamp: int
    extra: Extra = ()


@dataclass(frozen=True, slots=True)
class Refund:
    group_id: int
    member: str
    amount: int
    timestamp: int
    reason: int
    extra: Extra = ()


@dataclass(frozen=True, slots=True)
class InsuranceClaim:
    id: int
    group_id: int
    cycle: int
    defaulter: str
    claimant: str
    amount: int
    status: int
    created_at: int
    extra: Extra = ()


@dataclass(frozen=True, slots=True)
class InsurancePool:
    balance: int
    pending_claims_count: int
    total_payouts: int
    extra: Extra = ()


INSURANCE_CONFIG: Final = struct_of(InsuranceConfig, Field("is_enabled", BOOL), Field("rate_bps", U32))
GROUP: Final[Codec[Group]] = struct_of(
    Group,
    Field("id", U64),
    Field("creator", ADDRESS),
    Field("contribution_amount", I128),
    Field("cycle_duration", U64),
    Field("max_members", U32),
    Field("members", vec_of(ADDRESS)),
    Field("current_cycle", U32),
    Field("payout_index", U32),
    Field("created_at", U64),
    Field("cycle_start_time", U64),
    Field("is_complete", BOOL),
    Field("grace_period", U64, required=False),
    Field("penalty_rate", U32, required=False),
    Field("state", U32, required=False),
    Field("token_address", ADDRESS, required=False),
    Field("insurance", INSURANCE_CONFIG, symbol="insurance_config", required=False),
    Field("is_cancelled", BOOL, required=False),
)
METADATA: Final = struct_of(Metadata, Field("name", STRING), Field("description", STRING), Field("rules", STRING))
REFUND_REQUEST: Final = struct_of(
    RefundRequest,
    Field("group_id", U64),
    Field("requester", ADDRESS),
    Field("created_at", U64),
    Field("voting_deadline", U64),
    Field("votes_for", U32),
    Field("votes_against", U32),
    Field("executed", BOOL),
    Field("approved", BOOL),
)
REFUND_VOTE: Final = struct_of(
    RefundVote,
    Field("group_id", U64),
    Field("voter", ADDRESS),
    Field("in_favor", BOOL),
    Field("timestamp", U64),
)
REFUND: Final = struct_of(
    Refund,
    Field("group_id", U64),
    Field("member", ADDRESS),
    Field("amount", I128),
    Field("timestamp", U64),
    Field("reason", U32),
)
INSURANCE_CLAIM: Final = struct_of(
    InsuranceClaim,
    Field("id", U64),
    Field("group_id", U64),
    Field("cycle", U32),
    Field("defaulter", ADDRESS),
    Field("claimant", ADDRESS),
    Field("amount", I128),
    Field("status", U32),
    Field("created_at", U64),
)
INSURANCE_POOL: Final = struct_of(
    InsurancePool,
    Field("balance", I128),
    Field("pending_claims_count", U32),
    Field("total_payouts", I128),
)
