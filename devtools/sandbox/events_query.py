"""getEvents as stellar-rpc v24 answers it: the request's rules in their order, the window, the filters, the cursor."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from stellar_sdk import StrKey

from ajo.soroban.contract.codec import ANY, DecodeError
from devtools.sandbox import gojson
from devtools.sandbox.ids import EVENT_MAX, OP_MAX, TX_MAX, event_id, parse_toid
from devtools.sandbox.rpc_error import INVALID_REQUEST, RpcError, check_format, invalid_params
from devtools.sandbox.store import LedgerRange, Store, StoredEvent

SCAN_LIMIT: Final = 10_000  # ledgers in one call
MAX_LIMIT: Final = 10_000
DEFAULT_LIMIT: Final = 100
MAX_FILTERS = MAX_CONTRACTS = MAX_TOPICS = 5
MAX_SEGMENTS: Final = 4
ONE, REST = "*", "**"
_INT: Final = re.compile(r"[+-]?[0-9]+\Z")
_UINT: Final = re.compile(r"[0-9]+\Z")


@dataclass(frozen=True, slots=True)
class Filter:
    """`topics` are lists of wildcards and of base64 SCVals in their canonical form."""

    types: frozenset[str] = frozenset()
    contracts: tuple[str, ...] = ()
    topics: tuple[tuple[str, ...], ...] = ()

    def matches(self, event: StoredEvent) -> bool:
        if self.types and event.type not in self.types:
            return False
        if self.contracts and event.contract not in self.contracts:
            return False
        return not self.topics or any(_topics_match(each, event.topics) for each in self.topics)


@dataclass(frozen=True, slots=True)
class Request:
    start_ledger: int = 0
    end_ledger: int = 0
    filters: tuple[Filter, ...] = ()
    cursor: tuple[int, int, int, int] | None = None
    limit: int = 0
    format: str = ""


def _topics_match(wanted: tuple[str, ...], found: tuple[str, ...]) -> bool:
    if wanted and wanted[-1] == REST:
        wanted = wanted[:-1]
        if len(found) < len(wanted):
            return False
    elif len(found) != len(wanted):
        return False
    return all(want in (ONE, REST) or want == have for want, have in zip(wanted, found, strict=False))


# -- reading the parameters


def parse_cursor(text: Any, name: str = "") -> tuple[int, int, int, int]:
    """Ledger, transaction, operation, event of a cursor. Raises GoTypeError."""
    value = gojson.string(text, name)
    toid, dash, index = value.partition("-")
    if not dash:
        raise gojson.GoTypeError(f"invalid event id {value}")
    if not _INT.match(toid) or not -(2**63) <= int(toid) < 2**63:
        raise gojson.GoTypeError(f'invalid event id {value}: strconv.ParseInt: parsing "{toid}": invalid syntax')
    if not _UINT.match(index) or int(index) > EVENT_MAX:
        raise gojson.GoTypeError(f'invalid event id {value}: strconv.ParseUint: parsing "{index}": invalid syntax')
    return (*parse_toid(int(toid)), int(index))


def _segment(value: Any, name: str) -> str:
    text = gojson.string(value, name)
    if text in (ONE, REST):
        return text
    try:
        return ANY.from_xdr(text).to_xdr()
    except DecodeError as error:
        raise gojson.GoTypeError(str(error)) from error


def _null_segment() -> str:
    raise gojson.GoTypeError("EOF while decoding")


def _types(value: Any, name: str) -> frozenset[str]:
    joined = gojson.string(value, name)
    return frozenset(joined.split(",")) if joined else frozenset()


def _filter(value: Any, name: str) -> Filter:
    topic = gojson.array(_segment, "protocol.TopicFilter", _null_segment)
    found = gojson.struct(
        value,
        "EventFilter",
        {
            "type": _types,
            "contractIds": gojson.array(gojson.string, "[]string", str),
            "topics": gojson.array(topic, "[]protocol.TopicFilter", list),
        },
    )
    topics = tuple(tuple(each) for each in found.get("topics", ()))
    return Filter(found.get("type", frozenset()), tuple(found.get("contractIds", ())), topics)


def _pagination(value: Any, name: str) -> dict[str, Any]:
    fields = {"cursor": parse_cursor, "limit": gojson.unsigned("uint", 64)}
    return gojson.struct(value, "PaginationOptions", fields)


def parse_request(params: Any) -> Request:
    """The request in the parameters; none at all is an empty one. Raises GoTypeError."""
    found = gojson.struct(
        {} if params is None else params,
        "GetEventsRequest",
        {
            "startLedger": gojson.unsigned("uint32", 32),
            "endLedger": gojson.unsigned("uint32", 32),
            "filters": gojson.array(_filter, "[]protocol.EventFilter", Filter),
            "pagination": _pagination,
            "xdrFormat": gojson.string,
        },
    )
    pagination = found.get("pagination", {})
    return Request(
        found.get("startLedger", 0),
        found.get("endLedger", 0),
        tuple(found.get("filters", ())),
        pagination.get("cursor"),
        pagination.get("limit", 0),
        found.get("xdrFormat", ""),
    )


# -- the rules


def validate(request: Request) -> None:
    """Raises RpcError -32602 for the first rule that the request breaks."""
    check_format(request.format)
    if request.cursor is not None:
        if request.start_ledger or request.end_ledger:
            raise invalid_params("ledger ranges and cursor cannot both be set")
    elif request.start_ledger == 0:
        raise invalid_params("startLedger must be positive")
    if request.limit > MAX_LIMIT:
        raise invalid_params(f"limit must not exceed {MAX_LIMIT}")
    if len(request.filters) > MAX_FILTERS:
        raise invalid_params(f"maximum {MAX_FILTERS} filters per request")
    for number, each in enumerate(request.filters, start=1):
        wrong = _wrong_filter(each)
        if wrong:
            raise invalid_params(f"filter {number} invalid: {wrong}")


def _wrong_filter(each: Filter) -> str | None:
    if each.types - {"system", "contract"}:
        return "filter type invalid: if set, type must be either 'system' or 'contract'"
    if len(each.contracts) > MAX_CONTRACTS:
        return f"maximum {MAX_CONTRACTS} contract IDs per filter"
    if len(each.topics) > MAX_TOPICS:
        return f"maximum {MAX_TOPICS} topics per filter"
    for number, contract in enumerate(each.contracts, start=1):
        if not StrKey.is_valid_contract(contract):
            return f"contract ID {number} invalid"
    for number, topic in enumerate(each.topics, start=1):
        wrong = _wrong_topic(topic)
        if wrong:
            return f"topic {number} invalid: {wrong}"
    return None


def _wrong_topic(topic: tuple[str, ...]) -> str | None:
    if not topic:
        return "topic must have at least 1 segment"
    segments = topic[:-1] if topic[-1] == REST else topic
    if REST in segments:
        return f"segment {segments.index(REST) + 1} invalid: wildcard '**' is only allowed as the last segment"
    if len(segments) > MAX_SEGMENTS:
        return f"topic cannot have more than {MAX_SEGMENTS} segments"
    return None


# -- the answer


def get_events(store: Store, span: LedgerRange, params: Any) -> dict[str, Any]:
    """The result of getEvents. Raises RpcError, and GoTypeError for parameters of a wrong type."""
    request = parse_request(params)
    validate(request)
    start = request.cursor or (request.start_ledger, 0, 0, 0)
    if request.cursor is not None:
        # The item after the cursor. The counter wraps: after an end-of-ledger cursor it is that place's event 0.
        start = (*start[:3], (start[3] + 1) & EVENT_MAX)
    end = min(span.last + 1, start[0] + SCAN_LIMIT)
    if request.end_ledger:
        end = min(request.end_ledger, end)
    if not span.first <= start[0] <= span.last:
        text = f"startLedger must be within the ledger range: {span.first} - {span.last}"
        raise RpcError(INVALID_REQUEST, text)
    limit = request.limit or DEFAULT_LIMIT
    found: list[StoredEvent] = []
    where, values = _narrowing(request.filters)
    for event in store.events(event_id(*start), event_id(end), where, values):
        if not request.filters or any(each.matches(event) for each in request.filters):
            found.append(event)
            if len(found) == limit:
                break
    full = len(found) == limit
    closes = store.close_times({event.ledger for event in found})
    return {
        "events": [_info(event, closes[event.ledger]) for event in found],
        "cursor": found[-1].id if full else event_id(end - 1, TX_MAX, OP_MAX, EVENT_MAX),
        "latestLedger": span.last,
        "oldestLedger": span.first,
        "latestLedgerCloseTime": str(span.last_close),
        "oldestLedgerCloseTime": str(span.first_close),
    }


def _narrowing(filters: tuple[Filter, ...]) -> tuple[str, list[str]]:
    """The server's SQL narrows by the contracts, types and topics of all filters together.

    So a filter without contracts beside one with some finds only those contracts' events (mended in v27.1.1).
    """
    clauses: list[str] = []
    values: list[str] = []
    contracts = sorted({contract for each in filters for contract in each.contracts})
    types = sorted({kind for each in filters for kind in each.types})
    for column, wanted in (("contract", contracts), ("type", types)):
        if wanted:
            clauses.append(f"AND {column} IN ({', '.join('?' * len(wanted))})")
            values += wanted
    return " ".join(clauses), values


def _info(event: StoredEvent, close: int) -> dict[str, Any]:
    info: dict[str, Any] = {
        "type": event.type,
        "ledger": event.ledger,
        "ledgerClosedAt": datetime.fromtimestamp(close, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "contractId": event.contract,
        "id": event.id,
        "operationIndex": 0,
        "transactionIndex": event.position,
        "txHash": event.tx_hash,
        "inSuccessfulContractCall": event.successful,
    }
    if event.topics:
        info["topic"] = list(event.topics)
    info["value"] = event.value
    return info
