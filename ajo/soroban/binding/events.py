"""Events of the contract ↔ the dataclasses of `event_types`, and those that are not the contract's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from stellar_sdk.xdr import SCVal, SCValType

from ajo.soroban.binding.codec import (
    BYTES,
    GARBAGE,
    SYMBOL,
    Codec,
    DecodeError,
    b64,
    encode_vec,
    parse,
    tuple_of,
)
from ajo.soroban.binding.event_types import (
    Cancelled,
    Completed,
    Contribution,
    Created,
    CycleStarted,
    EmergencyRefunded,
    Event,
    Joined,
    LateContribution,
    Payout,
    PenaltyDistributed,
    Refunded,
    RefundRequested,
    RefundVoted,
    data_codec,
)

__all__ = [
    "Cancelled",
    "Completed",
    "Contribution",
    "Created",
    "CycleStarted",
    "EmergencyRefunded",
    "Event",
    "Joined",
    "LateContribution",
    "Payout",
    "PenaltyDistributed",
    "RefundRequested",
    "RefundVoted",
    "Refunded",
    "Unknown",
    "Upgraded",
    "decode_event",
]

UPGRADE: Final = "executable_update"


@dataclass(frozen=True, slots=True)
class Upgraded(Event):
    """The system event of an upgrade: Wasm hashes in hex. It concerns no group."""

    group_id: None
    old: str
    new: str

    @property
    def name(self) -> str:
        return UPGRADE

    def encode(self) -> tuple[tuple[str, ...], str]:
        hashes = [_EXECUTABLE.encode(("Wasm", bytes.fromhex(each))) for each in (self.old, self.new)]
        return (b64(SYMBOL.encode(UPGRADE)), *map(b64, hashes)), b64(encode_vec([]))

    def data(self) -> dict[str, str | int | bool]:
        return {"old": self.old, "new": self.new}


@dataclass(frozen=True, slots=True)
class Unknown(Event):
    """An event that no version of the contract known here emits; kept as it came. `label` is its first topic, printable
    only where that is a symbol."""

    group_id: None
    label: str
    topics: tuple[str, ...]
    value: str

    @property
    def name(self) -> str:
        return self.label

    def encode(self) -> tuple[tuple[str, ...], str]:
        return self.topics, self.value

    def data(self) -> dict[str, str | int | bool]:
        return {}


# The host's own enumeration: `ContractExecutable::Wasm(hash)`.
_EXECUTABLE: Final[Codec[Any]] = tuple_of(SYMBOL, BYTES)
_KINDS: Final[dict[str, type[Event]]] = {
    kind.event_name: kind
    for kind in (
        Created,
        Joined,
        Contribution,
        Payout,
        Completed,
        Cancelled,
        RefundRequested,
        RefundVoted,
        Refunded,
        EmergencyRefunded,
        CycleStarted,
        LateContribution,
        PenaltyDistributed,
    )
}


def decode_event(topics: Sequence[str], value: str, *, system: bool = False) -> Event:
    """The event in base64 SCVals as getEvents gives them; `system` where its type is "system".

    A name that is not known gives Unknown. Raises DecodeError for anything that is not XDR, and for a known name with
    other topics or data than the contract gives it.
    """
    try:
        found = [parse(SCVal, topic) for topic in topics]
        body = parse(SCVal, value)
        label = SYMBOL.decode(found[0]) if found and found[0].type == SCValType.SCV_SYMBOL else ""
        if system:
            known = label == UPGRADE
            event = _upgraded(found[1:]) if known else Unknown(None, label, tuple(topics), value)
        else:
            kind = _KINDS.get(label)
            event = Unknown(None, label, tuple(topics), value) if kind is None else _known(kind, found[1:], body)
        same = event.encode() == (tuple(topics), value)
    except GARBAGE as error:
        raise error if isinstance(error, DecodeError) else DecodeError(str(error)) from error
    if not same:
        raise DecodeError("an event that is not written as the contract writes it")
    return event


def _known(kind: type[Event], topics: list[SCVal], body: SCVal) -> Event:
    if len(topics) != len(kind.topic_spec):
        raise DecodeError(f"{kind.event_name} with {len(topics) + 1} topics")
    found = {each: codec.decode(topic) for (each, codec), topic in zip(kind.topic_spec, topics, strict=True)}
    values = data_codec(kind.data_spec).decode(body)
    if len(kind.data_spec) == 1:
        values = (values,)
    found.update(zip((each for each, _ in kind.data_spec), values or (), strict=True))
    return kind(**found)


def _upgraded(topics: list[SCVal]) -> Event:
    if len(topics) != 2:
        raise DecodeError(f"{UPGRADE} with {len(topics) + 1} topics")
    hashes = []
    for topic in topics:
        kind, wasm_hash = _EXECUTABLE.decode(topic)
        if kind != "Wasm":
            raise DecodeError(f"an executable of kind {kind}")
        hashes.append(wasm_hash.hex())
    return Upgraded(None, *hashes)
