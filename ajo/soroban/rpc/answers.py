"""What an RPC answers about ledgers, entries and events: getHealth, getNetwork, getLedgerEntries, getEvents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, NotRequired

from pydantic import AfterValidator, AwareDatetime, Field
from typing_extensions import TypedDict

from ajo.soroban.rpc.errors import RpcInvalidAnswer
from ajo.soroban.rpc.transport import MAX_U32, RpcModel, strip_nul

U32 = Annotated[int, Field(ge=0, le=MAX_U32)]
Ledger = Annotated[int, Field(gt=0, le=MAX_U32)]
Base64 = Annotated[str, Field(pattern="^[A-Za-z0-9+/]+={0,2}$")]
EventId = Annotated[str, Field(pattern="^[0-9]{19}-[0-9]{10}$")]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Health(RpcModel):
    latest_ledger: Ledger
    oldest_ledger: Ledger
    retention: int = Field(alias="ledgerRetentionWindow")  # ledgers


class Network(RpcModel):
    passphrase: Annotated[str, AfterValidator(strip_nul)]
    protocol_version: int


class LedgerEntry(TypedDict):
    """An entry as the RPC gives it. Sweeps read so many that building a model of each would dominate their time.

    `liveUntilLedgerSeq` 0 or missing means archived or unknown, never "deleted".
    """

    key: str
    xdr: str
    lastModifiedLedgerSeq: U32
    liveUntilLedgerSeq: NotRequired[U32 | None]


def earliest_live_until(one: int | None, other: int | None) -> int | None:
    """Return the earlier of two ledgers at which entries are archived; None stands for an unknown one."""
    return other if one is None or (other is not None and other < one) else one


class EntriesAnswer(RpcModel):
    latest_ledger: Ledger
    entries: list[LedgerEntry] | None = None


class EventAnswer(RpcModel):
    id: EventId
    type: str
    ledger: U32
    ledger_closed_at: AwareDatetime
    contract_id: str
    tx_hash: Hash
    topic: tuple[Base64, ...]
    value: Base64
    # Nodes before v30 also give the events of failed calls, and mark them: none of those took effect.
    in_successful_contract_call: bool | None = None


class EventsAnswer(RpcModel):
    events: list[EventAnswer]
    cursor: EventId
    latest_ledger: Ledger
    oldest_ledger: Ledger
    latest_ledger_close_time: int
    oldest_ledger_close_time: int


@dataclass(frozen=True, slots=True)
class Entries:
    """A snapshot of the requested keys at one ledger; keys that are not on the chain are not in `found`."""

    ledger: int
    found: dict[str, LedgerEntry]


@dataclass(frozen=True, slots=True)
class RawEvent:
    """An event of getEvents: base64 SCVals, and the ledger and transaction that carried it."""

    id: str
    is_system: bool
    ledger: int
    closed_at: datetime
    tx_hash: str
    topics: tuple[str, ...]
    value: str


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of getEvents. `cursor` is where the next page starts; a `full` page has as many events as requested."""

    events: list[RawEvent]
    cursor: str
    latest_ledger: int
    oldest_ledger: int
    latest_closed_at: datetime
    oldest_closed_at: datetime
    full: bool

    @property
    def complete_to(self) -> int:
        """Return the newest ledger of which no event is missing so far."""
        ledger = cursor_ledger(self.cursor)
        return min(ledger - 1 if self.full else ledger, self.latest_ledger)

    @property
    def caught_up(self) -> bool:
        """Return whether the page reaches the node's newest ledger."""
        return not self.full and cursor_ledger(self.cursor) >= self.latest_ledger


def cursor_ledger(cursor: str) -> int:
    """Return the ledger inside a cursor or event id: the upper 32 bits of its TOID (SEP-35)."""
    return int(cursor.split("-", 1)[0]) >> 32


def last_cursor(ledger: int) -> str:
    """Return the cursor after everything in this ledger, as an RPC gives it with a page that is not full."""
    return f"{(ledger + 1 << 32) - 1:019d}-{MAX_U32:010d}"


def check_order(method: str, answer: Health | EventsAnswer) -> None:
    """Raise RpcInvalidAnswer for an answer whose oldest ledger is after its newest."""
    if answer.oldest_ledger > answer.latest_ledger:
        raise RpcInvalidAnswer(f"{method}: ledgers out of order")


def raw_event(event: EventAnswer, contract: str, latest_ledger: int) -> RawEvent:
    """Return an event of the contract. Raises RpcInvalidAnswer for one that contradicts itself or is another's."""
    if cursor_ledger(event.id) != event.ledger or event.ledger > latest_ledger:
        raise RpcInvalidAnswer("getEvents: an event whose id and ledger disagree")
    if event.contract_id != contract or event.type not in ("contract", "system"):
        raise RpcInvalidAnswer("getEvents: an event that was not asked for")
    return RawEvent(
        id=event.id,
        is_system=event.type == "system",
        ledger=event.ledger,
        closed_at=event.ledger_closed_at.astimezone(UTC),
        tx_hash=event.tx_hash,
        topics=event.topic,
        value=event.value,
    )
