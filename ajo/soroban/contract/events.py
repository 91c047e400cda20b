"""The contract's events ↔ dataclasses (docs/chain.md §1.2).

An event's first topic is its name, the second the group, the third, where there is one, the cycle. The rest is data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, dataclass_transform

from ajo.soroban.contract.codec import ANY, BYTES, I128, SYMBOL, U64, VOID, Codec, DecodeError, tuple_of
from ajo.soroban.contract.structs import address, codecs_of, i128, u32, u64

_KINDS: Final[dict[tuple[str, bool], type["Event"]]] = {}  # by base64 first topic, and whether it is a system event


@dataclass_transform(frozen_default=True)
class Event:
    """An event of the contract. Subclasses become dataclasses: their first `topics` fields are topics, the others data.

    `name` is the first topic, `group_id` None where the event concerns no group.
    """

    name: str
    group_id: int | None
    codecs: ClassVar[dict[str, Codec[Any]]]
    topic_codecs: ClassVar[list[Codec[Any]]]
    body: ClassVar[Codec[tuple[Any, ...]]]  # the data together

    def __init_subclass__(cls, name: str = "", topics: int = 1, is_system: bool = False) -> None:
        if name:
            cls.name, cls.codecs = name, codecs_of(cls)
            codecs = list(cls.codecs.values())
            cls.topic_codecs, data = codecs[:topics], codecs[topics:]
            cls.body = tuple_of(*data) if is_system or len(data) > 1 else _alone(*data)
            _KINDS[SYMBOL.to_xdr(name), is_system] = cls

    @classmethod
    def decode(cls, topics: Sequence[str], value: str) -> "Event":
        """Decode the topics after the name, and the value. Raises DecodeError."""
        if len(topics) != len(cls.topic_codecs):
            raise DecodeError(f"{cls.name} with {len(topics) + 1} topics")
        return cls(*map(Codec.from_xdr, cls.topic_codecs, topics), *cls.body.from_xdr(value))

    def encode(self) -> tuple[tuple[str, ...], str]:
        """Encode topics and value as base64 SCVals."""
        values = tuple(getattr(self, name) for name in self.codecs)
        topics = map(Codec.to_xdr, self.topic_codecs, values)
        return (SYMBOL.to_xdr(self.name), *topics), self.body.to_xdr(values[len(self.topic_codecs) :])

    def data(self) -> dict[str, str | int | bool]:
        """Return the fields by name, without group and cycle; u64 and i128 as text, as JSON's numbers lose digits."""
        items = [(name, codec, getattr(self, name)) for name, codec in self.codecs.items()]
        return {
            name: str(value) if codec in (U64, I128) else value
            for name, codec, value in items
            if name not in ("group_id", "cycle")
        }


def _alone(*codecs: Codec[Any]) -> Codec[tuple[Any, ...]]:
    """Return the codec of data of one field or none: the value without a vector around it, or void."""
    if codecs:
        return codecs[0].map(codecs[0].name, lambda value: (value,), lambda values: values[0])
    return VOID.map("void", lambda _: (), lambda _: None)


class Created(Event, name="created"):
    group_id: u64
    creator: address
    contribution_amount: i128
    max_members: u32


class Joined(Event, name="joined"):
    group_id: u64
    member: address


class Contribution(Event, name="contrib", topics=2):
    group_id: u64
    cycle: u32
    member: address
    amount: i128


class Payout(Event, name="payout", topics=2):
    group_id: u64
    cycle: u32
    recipient: address
    amount: i128


class Completed(Event, name="complete"):
    group_id: u64


class Cancelled(Event, name="cancel"):
    group_id: u64
    creator: address
    member_count: u32
    refund_per_member: i128


class RefundRequested(Event, name="refreq"):
    group_id: u64
    requester: address
    voting_deadline: u64


class RefundVoted(Event, name="refvote"):
    group_id: u64
    voter: address
    in_favor: bool


class Refunded(Event, name="refund"):
    group_id: u64
    member: address
    amount: i128
    reason: u32


class EmergencyRefunded(Event, name="emrefund"):
    group_id: u64
    admin: address
    total: i128


class CycleStarted(Event, name="cycle"):
    """Older deployments announced each new cycle."""

    group_id: u64
    cycle: u32
    start: u64


class LateContribution(Event, name="late", topics=2):
    """Declared by the contract, not emitted today."""

    group_id: u64
    cycle: u32
    member: address
    amount: i128
    penalty: i128


class PenaltyDistributed(Event, name="pendistr", topics=2):
    """Declared by the contract, unreachable today."""

    group_id: u64
    cycle: u32
    recipient: address
    base: i128
    bonus: i128


def _hash_of(executable: tuple[str, bytes]) -> str:
    kind, wasm_hash = executable
    if kind != "Wasm":
        raise DecodeError(f"an executable of kind {kind}")
    return wasm_hash.hex()


# The host's own enumeration: `ContractExecutable::Wasm(hash)`
_EXECUTABLE: Final = tuple_of(SYMBOL, BYTES).map("executable", _hash_of, lambda each: ("Wasm", bytes.fromhex(each)))
wasm = Annotated[str, _EXECUTABLE]


class Upgraded(Event, name="executable_update", topics=2, is_system=True):
    """The system event of an upgrade: Wasm hashes in hex."""

    group_id = None
    old: wasm
    new: wasm


@dataclass(frozen=True)
class Unknown(Event):
    """An event of an unknown name, as the RPC gave it. `name` is empty where its first topic is no symbol."""

    group_id = None
    name: str
    topics: tuple[str, ...]
    value: str

    def encode(self) -> tuple[tuple[str, ...], str]:
        return self.topics, self.value

    def data(self) -> dict[str, str | int | bool]:
        return {}


def decode_event(topics: Sequence[str], value: str, *, system: bool = False) -> Event:
    """Decode an event from base64 SCVals as getEvents gives them; `system` where its type is "system".

    Returns Unknown for an unknown name. Raises DecodeError for anything that is not XDR, and for a known name with
    other topics or data than the contract gives it.
    """
    kind = _KINDS.get((topics[0], system)) if topics else None
    if kind is not None:
        return kind.decode(topics[1:], value)
    symbols = [ANY.from_xdr(each).sym for each in (*topics, value)]
    name = SYMBOL.from_xdr(topics[0]) if topics and symbols[0] else ""
    return Unknown(name, tuple(topics), value)
