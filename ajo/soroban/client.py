"""The few calls of the Stellar RPC that Ajo needs, and the one place where every failure is translated.

stellar-sdk lets requests', json's and pydantic's exceptions through, checks no response id and retries POSTs by itself;
here a call either gives a checked, frozen answer or raises one of `ajo.soroban.errors`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from requests import RequestException
from stellar_sdk import SorobanServer
from stellar_sdk.client.requests_client import RequestsClient
from stellar_sdk.exceptions import SdkError
from stellar_sdk.soroban_rpc import (
    EventFilter,
    EventInfo,
    GetEventsRequest,
    GetEventsResponse,
    GetHealthResponse,
    GetLedgerEntriesRequest,
    GetLedgerEntriesResponse,
    GetNetworkResponse,
    PaginationOptions,
    Request,
)
from urllib3.exceptions import HTTPError

from ajo.metrics import RPC_CALLS
from ajo.soroban.errors import (
    ChainError,
    RpcInvalidAnswer,
    RpcOutOfRange,
    RpcRateLimited,
    RpcRejected,
    RpcTooMuch,
    RpcUnavailable,
)

MAX_KEYS = 200  # getLedgerEntries refuses more
MAX_RETRY_AFTER = 5.0  # seconds; a provider may ask for hours, a pass that waits so long helps nobody
BACKOFF = 0.25  # seconds before the first retry, doubled each time
MAX_U32 = 2**32 - 1

# JSON-RPC error codes that say "this node, now" rather than "this request"
NODE_FAULTS = {-32603, -32000}
TOO_MUCH = -32001
OUT_OF_RANGE = re.compile(r"startLedger must be within the ledger range: ([0-9]+) - ([0-9]+)")
EVENT_ID = re.compile(r"[0-9]{19}-[0-9]{10}")
BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Health:
    latest_ledger: int
    oldest_ledger: int
    retention: int  # ledgers


@dataclass(frozen=True, slots=True)
class Network:
    passphrase: str
    protocol_version: int


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """`live_until` 0 or None: archived or unknown, never "deleted"."""

    xdr: str
    last_modified: int
    live_until: int | None


@dataclass(frozen=True, slots=True)
class Entries:
    """A snapshot of the asked keys at one ledger; keys that are not on the chain are not in `found`."""

    ledger: int
    found: dict[str, LedgerEntry]


@dataclass(frozen=True, slots=True)
class RawEvent:
    id: str
    is_system: bool
    ledger: int
    closed_at: datetime
    tx_hash: str
    topics: tuple[str, ...]
    value: str


@dataclass(frozen=True, slots=True)
class EventPage:
    """`cursor` is where the next page starts; `complete_to` the newest ledger of which no event is missing so far."""

    events: list[RawEvent]
    cursor: str
    latest_ledger: int
    oldest_ledger: int
    latest_closed_at: datetime
    oldest_closed_at: datetime
    full: bool

    @property
    def complete_to(self) -> int:
        ledger = cursor_ledger(self.cursor)
        return min(ledger - 1 if self.full else ledger, self.latest_ledger)

    @property
    def caught_up(self) -> bool:
        return not self.full and cursor_ledger(self.cursor) >= self.latest_ledger


def cursor_ledger(cursor: str) -> int:
    """The ledger inside a cursor or event id: the upper 32 bits of its TOID (SEP-35)."""
    return int(cursor.split("-", 1)[0]) >> 32


class _Server(SorobanServer):
    """stellar-sdk's server with a transport that checks what it lets through."""

    def __init__(self, url: str, client: RequestsClient) -> None:
        super().__init__(url, client=client)
        self._transport = client

    def _post(self, request_body: Request[Any], response_body_type: type[M]) -> M:
        body = json.loads(request_body.model_dump_json(by_alias=True, exclude_none=True))
        response = self._transport.post(self.server_url, json_data=body)
        if response.status_code != 200:
            raise _http_failure(response.status_code, response.headers)
        answer = json.loads(response.text)
        if not isinstance(answer, dict) or answer.get("id") != body["id"]:
            raise RpcInvalidAnswer(f"{body['method']}: the answer belongs to another request")
        if answer.get("error") is not None:
            raise _rpc_failure(answer["error"])
        return response_body_type.model_validate(answer.get("result"))

    def entries(self, keys: Sequence[str]) -> GetLedgerEntriesResponse:
        # get_ledger_entries() of the SDK takes decoded keys only; ours are base64 already
        request = Request[GetLedgerEntriesRequest](
            id="entries", method="getLedgerEntries", params=GetLedgerEntriesRequest(keys=keys)
        )
        return self._post(request, GetLedgerEntriesResponse)

    def events(self, params: GetEventsRequest) -> GetEventsResponse:
        return self._post(Request[GetEventsRequest](id="events", method="getEvents", params=params), GetEventsResponse)


def _http_failure(status: int, headers: Mapping[str, str]) -> Exception:
    if status == 429 or (status == 503 and "Retry-After" in headers):
        return RpcRateLimited(f"the RPC answered HTTP {status}", _seconds(headers.get("Retry-After", "")))
    return RpcUnavailable(f"the RPC answered HTTP {status}")


def _storable(text: str) -> str:
    """A node's own words are logged, stored and shown; PostgreSQL takes neither NUL nor half a surrogate pair."""
    return text.encode(errors="replace").decode().replace("\0", "?")


def _seconds(retry_after: str) -> float:
    """Retry-After in seconds. Providers send seconds; a date, or nothing, is read as one second."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 1.0


def _rpc_failure(error: Any) -> Exception:
    code = error.get("code") if isinstance(error, dict) else None
    if not isinstance(code, int):
        return RpcInvalidAnswer("the RPC answered an error without a code")
    message = _storable(str(error.get("message") or "no message")[:500])
    if code == TOO_MUCH:
        return RpcTooMuch(message)
    if code in NODE_FAULTS:
        return RpcUnavailable(f"{message} ({code})")
    if code == -32600:
        match = OUT_OF_RANGE.search(message)
        if match and 0 < int(match[1]) <= int(match[2]) <= MAX_U32:
            return RpcOutOfRange(code, message, int(match[1]), int(match[2]))
        return RpcUnavailable(f"{message} ({code})")  # -32600 also wraps the node's own database errors
    return RpcRejected(code, message)


class SorobanClient:
    """One Stellar RPC address. Every method raises only `ajo.soroban.errors.ChainError`s.

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
        transport = RequestsClient(num_retries=0, post_timeout=timeout, custom_headers=dict(headers or {}))
        self._server = _Server(url, transport)
        self._retries = retries
        self._sleep = sleep

    def close(self) -> None:
        self._server.close()

    def get_health(self) -> Health:
        def read() -> Health:
            answer: GetHealthResponse = self._server.get_health()
            if not 0 < answer.oldest_ledger <= answer.latest_ledger <= MAX_U32:
                raise RpcInvalidAnswer("getHealth: ledgers out of order")
            return Health(answer.latest_ledger, answer.oldest_ledger, answer.ledger_retention_window)

        return self._call("getHealth", read)

    def get_network(self) -> Network:
        def read() -> Network:
            answer: GetNetworkResponse = self._server.get_network()
            return Network(_storable(answer.passphrase), answer.protocol_version)

        return self._call("getNetwork", read)

    def get_entries(self, keys: Sequence[str]) -> Entries:
        """Entries of at most 200 distinct base64 LedgerKeys, all read at one ledger (getLedgerEntries)."""
        wanted = set(keys)
        if len(wanted) != len(keys) or len(keys) > MAX_KEYS:
            raise ValueError(f"getLedgerEntries takes at most {MAX_KEYS} keys, none of them twice")

        def read() -> Entries:
            answer = self._server.entries(keys)
            entries = answer.entries or []
            found = {e.key: LedgerEntry(e.xdr, e.last_modified_ledger, e.live_until_ledger) for e in entries}
            if len(found) != len(entries) or not wanted.issuperset(found):
                raise RpcInvalidAnswer("getLedgerEntries: an entry that was not asked for, or one twice")
            if not 0 < answer.latest_ledger <= MAX_U32:
                raise RpcInvalidAnswer("getLedgerEntries: latestLedger out of range")
            if any(not 0 <= e.last_modified <= answer.latest_ledger for e in found.values()):
                raise RpcInvalidAnswer("getLedgerEntries: an entry from after its own ledger")
            if any(not 0 <= (e.live_until or 0) <= MAX_U32 or not BASE64.fullmatch(e.xdr) for e in found.values()):
                raise RpcInvalidAnswer("getLedgerEntries: an entry that is none")
            return Entries(answer.latest_ledger, found)

        return self._call("getLedgerEntries", read)

    def get_events(
        self, contract: str, *, start_ledger: int | None = None, cursor: str | None = None, limit: int
    ) -> EventPage:
        """A page of the contract's events after `cursor`, or from `start_ledger` on (getEvents).

        One filter with the one contract and no type, so that the upgrade's system event arrives too.
        """
        params = GetEventsRequest(
            startLedger=start_ledger,
            filters=[EventFilter(contractIds=[contract])],
            pagination=PaginationOptions(cursor=cursor, limit=limit),
        )

        def read() -> EventPage:
            answer = self._server.events(params)
            if not EVENT_ID.fullmatch(answer.cursor):
                raise RpcInvalidAnswer("getEvents: a cursor that is none")
            if not 0 < answer.oldest_ledger <= answer.latest_ledger <= MAX_U32:
                raise RpcInvalidAnswer("getEvents: ledgers out of order")
            if cursor_ledger(answer.cursor) > answer.latest_ledger:
                raise RpcInvalidAnswer("getEvents: a cursor ahead of the newest ledger")
            is_full = len(answer.events) >= limit
            if cursor and (answer.cursor < cursor or (is_full and answer.cursor == cursor)):
                raise RpcInvalidAnswer("getEvents: a cursor that leads back")
            return EventPage(
                events=[
                    _raw_event(event, contract, answer.latest_ledger) for event in answer.events if _happened(event)
                ],
                cursor=answer.cursor,
                latest_ledger=answer.latest_ledger,
                oldest_ledger=answer.oldest_ledger,
                latest_closed_at=_moment(answer.latest_Ledger_close_time),
                oldest_closed_at=_moment(answer.oldest_ledger_close_time),
                full=is_full,
            )

        return self._call("getEvents", read)

    def _call(self, method: str, read: Callable[[], T]) -> T:
        """Run one read with capped retries; only what another attempt can mend is tried again."""
        for attempt in range(self._retries + 1):
            try:
                return _counted(method, read)
            except RpcTooMuch:
                raise
            except RpcUnavailable as failure:
                wait = failure.retry_after if isinstance(failure, RpcRateLimited) else BACKOFF * 2**attempt
                if attempt == self._retries or wait > MAX_RETRY_AFTER:
                    raise
                self._sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")


def _counted(method: str, read: Callable[[], T]) -> T:
    try:
        answer = _translated(read)
    except ChainError as failure:
        RPC_CALLS.labels(method, failure.outcome).inc()
        raise
    RPC_CALLS.labels(method, "ok").inc()
    return answer


def _translated(read: Callable[[], T]) -> T:
    """Everything that stellar-sdk, requests, json and pydantic raise, as ours. Messages never carry the address."""
    try:
        return read()
    except (SdkError, RequestException, HTTPError, OSError) as failure:
        raise RpcUnavailable(f"the RPC cannot be reached: {type(failure.__cause__ or failure).__name__}") from failure
    except ValidationError as failure:
        raise RpcInvalidAnswer(f"the RPC's answer has another form: {failure.error_count()} errors") from failure
    except json.JSONDecodeError as failure:
        raise RpcInvalidAnswer("the RPC's answer is not JSON") from failure
    except (ValueError, OverflowError, RecursionError, AssertionError) as failure:
        raise RpcInvalidAnswer(f"the RPC's answer cannot be read: {type(failure).__name__}") from failure


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _happened(event: EventInfo) -> bool:
    """Nodes before v30 also give the events of failed calls, and mark them: none of those took effect."""
    # read past the SDK's property, whose deprecation warning is about the field being gone from v30 on
    return vars(event).get("in_successful_contract_call") is not False


def _raw_event(event: EventInfo, contract: str, latest_ledger: int) -> RawEvent:
    if not EVENT_ID.fullmatch(event.id) or cursor_ledger(event.id) != event.ledger or event.ledger > latest_ledger:
        raise RpcInvalidAnswer("getEvents: an event whose id and ledger disagree")
    if event.contract_id != contract or event.event_type not in ("contract", "system"):
        raise RpcInvalidAnswer("getEvents: an event that was not asked for")
    if not re.fullmatch(r"[0-9a-f]{64}", event.transaction_hash):
        raise RpcInvalidAnswer("getEvents: a transaction hash that is none")
    if not all(map(BASE64.fullmatch, [*event.topic, event.value])):
        raise RpcInvalidAnswer("getEvents: topics or data that are no base64")
    return RawEvent(
        id=event.id,
        is_system=event.event_type == "system",
        ledger=event.ledger,
        closed_at=event.ledger_close_at.astimezone(UTC),
        tx_hash=event.transaction_hash,
        topics=tuple(event.topic),
        value=event.value,
    )
