"""What a ledger keeps of the transactions applied in it: their details, their events, the events of their fees."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ajo.soroban.contract.codec import b64
from devtools.sandbox.host import Outcome
from devtools.sandbox.ids import TX_MAX, event_id
from devtools.sandbox.machine.events import SYSTEM, Told
from devtools.sandbox.meta import contract_event
from devtools.sandbox.store import Store, StoredEvent, StoredTransaction
from devtools.sandbox.transactions.meta import BEFORE_ALL


class Keepable(Protocol):
    """A transaction that stands in a ledger. `fee_events`: when each is told, and the event."""

    @property
    def hashes(self) -> Sequence[str]: ...

    @property
    def is_successful(self) -> bool: ...

    @property
    def events(self) -> Sequence[Told]: ...

    @property
    def fee_events(self) -> Sequence[tuple[int, Told]]: ...

    def details(self) -> dict[str, Any]: ...


def write_applied(store: Store, sequence: int, before: int, applied: Iterable[Keepable]) -> None:
    """`before`: so many other transactions stand in the ledger in front of them."""
    fees = {0: 0, TX_MAX: 0}  # charges stand before all transactions, what is given back after them
    for position, each in enumerate(applied, start=before + 1):
        _write(store, sequence, position, each)
        for stage, event in each.fee_events:
            place = 0 if stage == BEFORE_ALL else TX_MAX
            _write_event(store, sequence, place, fees[place], event, each)
            fees[place] += 1
        for index, event in enumerate(each.events):
            _write_event(store, sequence, position, index, event, each)


def _write(store: Store, sequence: int, position: int, applied: Keepable) -> None:
    """By its hash; one that somebody else paid for also by the hash of what was wrapped."""
    events = tuple(b64(each.encode()) for each in applied.events)
    details = applied.details()
    for key in applied.hashes:
        store.add_transaction(StoredTransaction(key, sequence, position, applied.is_successful, events, details))


def _write_event(store: Store, sequence: int, position: int, index: int, event: Told, applied: Keepable) -> None:
    shown = event.emitted
    kind = "system" if event.kind == SYSTEM else "contract"
    place = event_id(sequence, position, 0, index)
    store.add_event(
        StoredEvent(
            place,
            sequence,
            shown.contract,
            kind,
            shown.topics,
            shown.value,
            applied.hashes[0],
            position,
            applied.is_successful,
        )
    )


def write_call(
    store: Store, sequence: int, position: int, tx_hash: str, outcome: Outcome, details: dict[str, Any]
) -> None:
    """A call of the sandbox's own, which nobody signed."""
    successful = outcome.error is None
    events = tuple(contract_event(event) for event in outcome.events)
    store.add_transaction(StoredTransaction(tx_hash, sequence, position, successful, events, details))
    for index, event in enumerate(outcome.events):
        kind = "system" if event.system else "contract"
        place = event_id(sequence, position, 0, index)
        told = event.topics, event.value, tx_hash, position, successful
        store.add_event(StoredEvent(place, sequence, event.contract, kind, *told))
