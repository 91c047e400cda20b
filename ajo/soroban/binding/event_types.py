"""The contract's events as dataclasses (CHAIN §1.2).

An event's first topic is its name, the second the group, the third, where there is one, the cycle. The rest is data.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ajo.soroban.binding.codec import (
    ADDRESS,
    BOOL,
    I128,
    SYMBOL,
    U32,
    U64,
    VOID,
    Codec,
    b64,
    tuple_of,
)

Spec = tuple[tuple[str, Codec[Any]], ...]


@dataclass(frozen=True, slots=True)
class Event:
    """What the contract announced. `group_id` is None where the event concerns no group."""

    event_name: ClassVar[str] = ""
    topic_spec: ClassVar[Spec] = (("group_id", U64),)
    # One value alone is written bare, several as a vector, none as void.
    data_spec: ClassVar[Spec] = ()

    group_id: int | None

    @property
    def cycle_or_none(self) -> int | None:
        """The cycle that the event names, if it names one."""
        found: int | None = getattr(self, "cycle", None)
        return found

    @property
    def name(self) -> str:
        """The first topic."""
        return self.event_name

    def encode(self) -> tuple[tuple[str, ...], str]:
        """Topics and value as base64 SCVals."""
        topics = [SYMBOL.encode(self.name), *(codec.encode(getattr(self, each)) for each, codec in self.topic_spec)]
        values = tuple(getattr(self, each) for each, _ in self.data_spec)
        codec = data_codec(self.data_spec)
        return tuple(map(b64, topics)), b64(codec.encode(values[0] if len(values) == 1 else values))

    def data(self) -> dict[str, str | int | bool]:
        """The decoded fields by name, without group and cycle; u64 and i128 as text, for JSON's numbers lose digits."""
        wide = (U64.name, I128.name)
        spec = [each for each in (*self.topic_spec, *self.data_spec) if each[0] not in ("group_id", "cycle")]
        found = {each: (getattr(self, each), codec.name in wide) for each, codec in spec}
        return {each: str(value) if is_wide else value for each, (value, is_wide) in found.items()}


def data_codec(spec: Spec) -> Codec[Any]:
    codecs = [codec for _, codec in spec]
    if not codecs:
        return VOID
    return codecs[0] if len(codecs) == 1 else tuple_of(*codecs)


GROUP_AND_CYCLE: Final[Spec] = (("group_id", U64), ("cycle", U32))


@dataclass(frozen=True, slots=True)
class Created(Event):
    event_name: ClassVar[str] = "created"
    data_spec: ClassVar[Spec] = (("creator", ADDRESS), ("contribution_amount", I128), ("max_members", U32))
    group_id: int
    creator: str
    contribution_amount: int
    max_members: int


@dataclass(frozen=True, slots=True)
class Joined(Event):
    event_name: ClassVar[str] = "joined"
    data_spec: ClassVar[Spec] = (("member", ADDRESS),)
    group_id: int
    member: str


@dataclass(frozen=True, slots=True)
class Contribution(Event):
    event_name: ClassVar[str] = "contrib"
    topic_spec: ClassVar[Spec] = GROUP_AND_CYCLE
    data_spec: ClassVar[Spec] = (("member", ADDRESS), ("amount", I128))
    group_id: int
    cycle: int
    member: str
    amount: int


@dataclass(frozen=True, slots=True)
class Payout(Event):
    event_name: ClassVar[str] = "payout"
    topic_spec: ClassVar[Spec] = GROUP_AND_CYCLE
    data_spec: ClassVar[Spec] = (("recipient", ADDRESS), ("amount", I128))
    group_id: int
    cycle: int
    recipient: str
    amount: int


@dataclass(frozen=True, slots=True)
class Completed(Event):
    event_name: ClassVar[str] = "complete"
    group_id: int


@dataclass(frozen=True, slots=True)
class Cancelled(Event):
    event_name: ClassVar[str] = "cancel"
    data_spec: ClassVar[Spec] = (("creator", ADDRESS), ("member_count", U32), ("refund_per_member", I128))
    group_id: int
    creator: str
    member_count: int
    refund_per_member: int


@dataclass(frozen=True, slots=True)
class RefundRequested(Event):
    event_name: ClassVar[str] = "refreq"
    data_spec: ClassVar[Spec] = (("requester", ADDRESS), ("voting_deadline", U64))
    group_id: int
    requester: str
    voting_deadline: int


@dataclass(frozen=True, slots=True)
class RefundVoted(Event):
    event_name: ClassVar[str] = "refvote"
    data_spec: ClassVar[Spec] = (("voter", ADDRESS), ("in_favor", BOOL))
    group_id: int
    voter: str
    in_favor: bool


@dataclass(frozen=True, slots=True)
class Refunded(Event):
    event_name: ClassVar[str] = "refund"
    data_spec: ClassVar[Spec] = (("member", ADDRESS), ("amount", I128), ("reason", U32))
    group_id: int
    member: str
    amount: int
    reason: int


@dataclass(frozen=True, slots=True)
class EmergencyRefunded(Event):
    event_name: ClassVar[str] = "emrefund"
    data_spec: ClassVar[Spec] = (("admin", ADDRESS), ("total", I128))
    group_id: int
    admin: str
    total: int


@dataclass(frozen=True, slots=True)
class CycleStarted(Event):
    """Older deployments announced each new cycle."""

    event_name: ClassVar[str] = "cycle"
    data_spec: ClassVar[Spec] = (("cycle", U32), ("start", U64))
    group_id: int
    cycle: int
    start: int


@dataclass(frozen=True, slots=True)
class LateContribution(Event):
    """Declared by the contract, not emitted today."""

    event_name: ClassVar[str] = "late"
    topic_spec: ClassVar[Spec] = GROUP_AND_CYCLE
    data_spec: ClassVar[Spec] = (("member", ADDRESS), ("amount", I128), ("penalty", I128))
    group_id: int
    cycle: int
    member: str
    amount: int
    penalty: int


@dataclass(frozen=True, slots=True)
class PenaltyDistributed(Event):
    """Declared by the contract, unreachable today."""

    event_name: ClassVar[str] = "pendistr"
    topic_spec: ClassVar[Spec] = GROUP_AND_CYCLE
    data_spec: ClassVar[Spec] = (("recipient", ADDRESS), ("base", I128), ("bonus", I128))
    group_id: int
    cycle: int
    recipient: str
    base: int
    bonus: int
