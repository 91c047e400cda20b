"""The client of one Stellar RPC (docs/chain.md §2): a call returns a checked, frozen answer or raises ChainError."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final, TypeVar

from ajo.soroban.rpc.answers import (
    Entries,
    EntriesAnswer,
    EventPage,
    EventsAnswer,
    Health,
    Network,
    check_order,
    cursor_ledger,
    raw_event,
)
from ajo.soroban.rpc.errors import (
    NodeFault,
    NodeLagging,
    RpcInvalidAnswer,
    RpcLimitExceeded,
    RpcRejected,
    SendFault,
    SendRejected,
)
from ajo.soroban.rpc.transactions import (
    FeeStats,
    HostRefusal,
    Sent,
    Simulation,
    SimulationAnswer,
    TransactionAnswer,
    check_transaction,
    read_simulation,
)
from ajo.soroban.rpc.transport import Answer, Transport

T = TypeVar("T")
R = TypeVar("R")

MAX_KEYS = 200  # getLedgerEntries refuses more
MAX_XDR = 2**19  # characters in base64; the network keeps no contract of more than 128 KiB, nor data of more than 64
XDR: Final = re.compile("[A-Za-z0-9+/]+={0,2}", re.ASCII)  # in base64

_MODIFIED_LEDGER: Final = itemgetter("lastModifiedLedgerSeq")
_XDR: Final = itemgetter("xdr")
# pydantic makes a generic's model anew, in milliseconds, unless somebody holds it.
_FORMS: Final = (
    Answer[Health], Answer[Network], Answer[EntriesAnswer], Answer[EventsAnswer], Answer[SimulationAnswer],
    Answer[Sent], Answer[TransactionAnswer], Answer[FeeStats],
)  # fmt: skip


class Confirmed:
    """The newest ledger that a second request has confirmed, and when; ledger 0 before the first one."""

    def __init__(self) -> None:
        self._known = (0, 0.0)

    def record(self, ledger: int) -> None:
        self._known = (ledger, time.monotonic())

    def reaches(self, ledger: int, min_close_seconds: float, slack: int) -> bool:
        """Return whether the network can have reached `ledger` since then, at a ledger each `min_close_seconds`."""
        known, at = self._known
        return known > 0 and ledger <= known + (time.monotonic() - at) / min_close_seconds + slack


class SorobanClient:
    """One Stellar RPC address. Every method raises only `ajo.soroban.rpc.errors.ChainError`s.

    `timeout` is in seconds per attempt; `retries` counts the attempts after the first.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        timeout: float = 8.0,
        retries: int = 2,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = Transport(url, headers or {}, timeout, retries, sleep)
        self.url = url
        self.confirmed = Confirmed()

    def with_heartbeat(self, heartbeat: Callable[[], None] | None) -> SorobanClient:
        """Return a copy that calls `heartbeat` before each attempt."""
        other = copy(self)
        other._transport = self._transport.with_heartbeat(heartbeat)
        return other

    def until(self, deadline: float | None) -> SorobanClient:
        """Return a copy that gives up at `deadline` (time.monotonic), however many attempts are left."""
        other = copy(self)
        other._transport = self._transport.until(deadline)
        return other

    @property
    def deadline(self) -> float | None:
        """Return when the client gives up (time.monotonic); None: never."""
        return self._transport.deadline

    def like(self, other: SorobanClient) -> SorobanClient:
        """Return a copy with the heartbeat and the deadline of `other`."""
        return self.with_heartbeat(other._transport.heartbeat).until(other._transport.deadline)

    def close(self) -> None:
        """Close the HTTP connections."""
        self._transport.http.close()

    def get_health(self) -> Health:
        """Return the ledgers that the node holds (getHealth)."""

        def read(answer: Health) -> Health:
            check_order("getHealth", answer)
            return answer

        return self._transport.call("getHealth", Answer[Health], read)

    def get_network(self) -> Network:
        """Return the passphrase and protocol of the node's network (getNetwork)."""
        return self._transport.call("getNetwork", Answer[Network], lambda answer: answer)

    def get_entries(self, keys: Sequence[str], *, at_least: int = 0, only_compared: bool = False) -> Entries:
        """Return the entries of at most 200 distinct base64 LedgerKeys, all read at one ledger (getLedgerEntries).

        `only_compared` skips the check for base64: the caller compares the text with one that was checked. Raises
        NodeLagging where the ledger is before `at_least`, ValueError for too many keys or one twice.
        """
        wanted = set(keys)
        if len(wanted) != len(keys) or len(keys) > MAX_KEYS:
            raise ValueError(f"getLedgerEntries takes at most {MAX_KEYS} keys, none of them twice")

        def read(answer: EntriesAnswer) -> Entries:
            found = {entry["key"]: entry for entry in answer.entries or ()}
            if len(found) != len(answer.entries or ()) or not wanted.issuperset(found):
                raise RpcInvalidAnswer("getLedgerEntries: an entry that was not asked for, or one twice")
            if max(map(_MODIFIED_LEDGER, found.values()), default=0) > answer.latest_ledger:
                raise RpcInvalidAnswer("getLedgerEntries: an entry from after its own ledger")
            if max(map(len, map(_XDR, found.values())), default=0) > MAX_XDR:
                raise RpcInvalidAnswer(f"getLedgerEntries: an entry of more than {MAX_XDR} characters")
            if not (only_compared or all(XDR.fullmatch(entry["xdr"]) for entry in found.values())):
                raise RpcInvalidAnswer("getLedgerEntries: an entry that is not base64")
            return Entries(answer.latest_ledger, found)

        entries = self._transport.call("getLedgerEntries", Answer[EntriesAnswer], read, {"keys": list(keys)})
        if entries.ledger < at_least:
            raise NodeLagging(f"the node is at ledger {entries.ledger}, {at_least} is known to exist")
        return entries

    def get_events(
        self, contract: str, *, start_ledger: int | None = None, cursor: str | None = None, limit: int
    ) -> EventPage:
        """Return a page of the contract's events after `cursor`, or from `start_ledger` on (getEvents).

        The filter names no type, so that the upgrade's system event arrives too. Events of failed calls are dropped.
        Raises RpcOutOfRange for a start that the node does not hold.
        """
        params = {"filters": [{"contractIds": [contract]}], "pagination": {"limit": limit}}
        start = {"pagination": {"limit": limit, "cursor": cursor}} if cursor else {"startLedger": start_ledger}

        def read(answer: EventsAnswer) -> EventPage:
            check_order("getEvents", answer)
            if cursor_ledger(answer.cursor) > answer.latest_ledger:
                raise RpcInvalidAnswer("getEvents: a cursor ahead of the newest ledger")
            # an event that is delivered twice fills no page: the next one would be asked for for ever
            is_full = len({event.id for event in answer.events if event.id > (cursor or "")}) >= limit
            is_at_the_end = not is_full and cursor_ledger(answer.cursor) >= answer.latest_ledger
            if cursor and (answer.cursor < cursor or (answer.cursor == cursor and not is_at_the_end)):
                raise RpcInvalidAnswer("getEvents: a cursor that leads back, or nowhere")
            return EventPage(
                events=[
                    raw_event(event, contract, answer.latest_ledger)
                    for event in answer.events
                    # what came before the cursor was read before, and is not read another way now
                    if event.in_successful_contract_call is not False and event.id > (cursor or "")
                ],
                cursor=answer.cursor,
                latest_ledger=answer.latest_ledger,
                oldest_ledger=answer.oldest_ledger,
                latest_closed_at=datetime.fromtimestamp(answer.latest_ledger_close_time, UTC),
                oldest_closed_at=datetime.fromtimestamp(answer.oldest_ledger_close_time, UTC),
                full=is_full,
            )

        return self._transport.call("getEvents", Answer[EventsAnswer], read, params | start)

    def simulate(self, envelope: str, *, use_upgraded_auth: bool = False) -> Simulation | HostRefusal:
        """Return what the host says of a transaction's one call (simulateTransaction).

        It is recorded where the envelope carries no authorization entries, enforced where it does.
        `use_upgraded_auth` records entries of the kind ADDRESS_V2, where the network has them.
        """
        params = {"transaction": envelope} | ({"useUpgradedAuth": True} if use_upgraded_auth else {})
        return self._transport.call("simulateTransaction", Answer[SimulationAnswer], read_simulation, params)

    def send(self, envelope: str) -> Sent:
        """Send a signed transaction once (sendTransaction).

        It is not repeated: whoever sends plans the next time. After any ChainError but the code -32602 the
        transaction may have been taken.
        """
        params = {"transaction": envelope}
        try:
            return self._transport.once().call("sendTransaction", Answer[Sent], lambda sent: sent, params)
        except NodeFault as failure:
            raise SendFault(str(failure)) from failure
        except RpcRejected as failure:
            raise SendRejected(failure.code, failure.message) from failure

    def get_transaction(self, tx_hash: str) -> TransactionAnswer:
        """Return what the node's history has of a transaction, by its own or its inner hash (getTransaction)."""
        return self._transport.call("getTransaction", Answer[TransactionAnswer], check_transaction, {"hash": tx_hash})

    def get_fee_stats(self) -> FeeStats:
        """Return the inclusion fees that transactions of the last ledgers paid (getFeeStats)."""
        return self._transport.call("getFeeStats", Answer[FeeStats], lambda stats: stats)


Run = Callable[[Callable[[SorobanClient], None]], None]  # runs a read, with failover, on a node that answers it


def in_halves(ask: Callable[[Sequence[T]], R], items: Sequence[T]) -> Iterator[tuple[Sequence[T], R]]:
    """Yield `items`, in as few parts as the node takes, with the answer of `ask` to each part.

    A part that exceeds the node's limit is halved, down to one item. Raises RpcLimitExceeded for that one.
    """
    try:
        found = ask(items)
    except RpcLimitExceeded:
        if len(items) == 1:
            raise
        half = len(items) // 2
        for part in (items[:half], items[half:]):
            yield from in_halves(ask, part)
    else:
        yield items, found
