"""JSON-RPC over HTTP, and the one place that translates every failure (docs/chain.md §2, §3).

stellar-sdk's own client lets requests' and pydantic's exceptions through, checks no response id, retries POSTs by
itself and reads answers without an end. Here a call returns its result or raises one of `ajo.soroban.rpc.errors`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar
from uuid import uuid4

from django.conf import settings
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from requests import RequestException, Response, Session
from stellar_sdk.client.requests_client import IDENTIFICATION_HEADERS
from urllib3 import Timeout
from urllib3.exceptions import HTTPError, ReadTimeoutError

from ajo.metrics import RPC_CALLS, RPC_SECONDS
from ajo.soroban.rpc.errors import (
    ChainError,
    NodeFault,
    RpcInvalidAnswer,
    RpcLimitExceeded,
    RpcOutOfRange,
    RpcRateLimited,
    RpcRejected,
    RpcUnavailable,
)

MAX_RETRY_AFTER = 5.0  # seconds; a provider that asks for more is left to the pool's backoff
BACKOFF = 0.25  # seconds before the first retry, doubled each time
MAX_ANSWER = 64 * 2**20  # bytes; ten thousand events are a third of it
CHUNK = 2**16  # bytes
NOT_IN_TIME = "the RPC's answer is not complete in time"
MAX_U32 = 2**32 - 1

# JSON-RPC error codes that say "this node, now" rather than "this request"
NODE_FAULTS = {-32603, -32000}
LIMIT_EXCEEDED = -32001
OUT_OF_RANGE = re.compile(r"startLedger must be within the ledger range: ([0-9]+) - ([0-9]+)")

T = TypeVar("T")
M = TypeVar("M", bound="RpcModel")


class RpcModel(BaseModel):
    """A part of an answer. Its fields are the RPC's in snake case; fields it does not name are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class Failure(RpcModel):
    """A JSON-RPC response that may hold an error."""

    id: Any = None
    error: Any = None


class Answer(Failure, Generic[M]):
    """A JSON-RPC response."""

    result: M | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response. Names in `headers` are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http:
    """Posts to one address, following no redirect. Answers are bounded in time and in size."""

    def __init__(self, headers: Mapping[str, str], timeout: float) -> None:
        self._session = Session()
        # Neither .netrc, whose login would replace the provider's key, nor HTTP_PROXY, which is meant for others.
        self._session.trust_env = False
        self._session.verify = ca_bundle()
        if settings.RPC_PROXY:
            self._session.proxies = {"http": settings.RPC_PROXY, "https": settings.RPC_PROXY}
        self._session.headers.update(IDENTIFICATION_HEADERS | dict(headers))
        self._timeout = timeout
        self.close = self._session.close

    def post(self, url: str, request: Mapping[str, Any], deadline: float | None = None) -> Reply:
        """Send a request and read its answer until `deadline` (time.monotonic) or the timeout, whichever is first.

        Raises RpcUnavailable, and what requests and urllib3 raise.
        """
        began, body = time.monotonic(), bytearray()
        end = began + self._timeout if deadline is None else min(began + self._timeout, deadline)
        if end <= began:
            raise RpcUnavailable("no time is left to ask")
        timeout: Any = Timeout(total=end - began)  # requests takes it, its stubs do not say so
        with self._session.post(url, json=request, timeout=timeout, stream=True, allow_redirects=False) as answer:
            while part := self._read(answer, end):
                body += part
                if len(body) > MAX_ANSWER:
                    raise RpcUnavailable(f"the RPC answers more than {MAX_ANSWER} bytes")
                if time.monotonic() > end:
                    raise RpcUnavailable(NOT_IN_TIME)
        return Reply(answer.status_code, answer.headers, bytes(body))

    @staticmethod
    def _read(answer: Response, end: float) -> bytes:
        """Read the next part, waiting until `end`: urllib3 alone would restart its timeout with each part."""
        sock = getattr(answer.raw.connection, "sock", None)  # none where the answer closes the connection
        if sock is not None:
            sock.settimeout(max(0.001, end - time.monotonic()))
        try:
            return bytes(answer.raw.read1(CHUNK, decode_content=True))
        except (TimeoutError, ReadTimeoutError) as failure:
            raise RpcUnavailable(NOT_IN_TIME) from failure


def ca_bundle() -> str | bool:
    """Return the file or folder of certificate authorities that the environment names, or True for certifi's."""
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
    return next((path for name in names if (path := os.environ.get(name))), True)


class Transport:
    """JSON-RPC calls to one address. `timeout` is in seconds per attempt; `retries` counts attempts after the first."""

    def __init__(
        self, url: str, headers: Mapping[str, str], timeout: float, retries: int, sleep: Callable[[float], None]
    ) -> None:
        self.http = Http(headers, timeout)
        self._url = url
        self._retries = retries
        self._sleep = sleep
        self.heartbeat: Callable[[], None] | None = None
        self.deadline: float | None = None

    def with_heartbeat(self, heartbeat: Callable[[], None] | None) -> Self:
        """Return a copy that calls `heartbeat` before each attempt."""
        other = copy(self)
        other.heartbeat = heartbeat
        return other

    def until(self, deadline: float | None) -> Self:
        """Return a copy that gives up at `deadline` (time.monotonic), however many attempts are left."""
        other = copy(self)
        other.deadline = deadline
        return other

    def once(self) -> Self:
        """Return a copy that does not retry."""
        other = copy(self)
        other._retries = 0
        return other

    def call(self, method: str, form: type[Answer[M]], read: Callable[[M], T], params: Any = None) -> T:
        """Return `read` of the method's result, with capped retries. Raises ChainError.

        Only RpcUnavailable is retried, and of its kinds not RpcLimitExceeded: the others cannot succeed next time.
        """
        for attempt in range(self._retries + 1):
            if self.heartbeat:
                self.heartbeat()
            try:
                return _counted(method, lambda: read(self._post(method, form, params)))
            except RpcLimitExceeded:
                raise
            except RpcUnavailable as failure:
                wait = failure.retry_after if isinstance(failure, RpcRateLimited) else BACKOFF * 2**attempt
                is_late = self.deadline is not None and time.monotonic() + wait >= self.deadline
                if attempt == self._retries or wait > MAX_RETRY_AFTER or is_late:
                    raise
                self._sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _post(self, method: str, form: type[Answer[M]], params: Any) -> M:
        # a new id each time: an answer that comes late must not be taken for the next one's
        request = {"jsonrpc": "2.0", "id": uuid4().hex, "method": method}
        reply = self.http.post(self._url, request if params is None else request | {"params": params}, self.deadline)
        if reply.status != 200:
            raise _http_failure(reply, request["id"])
        answer = form.model_validate_json(reply.body)
        if answer.id != request["id"] and (answer.id is not None or answer.error is None):
            raise RpcInvalidAnswer(f"{method}: the answer belongs to another request")
        if answer.error is not None:
            raise _rpc_failure(answer.error)
        if answer.result is None:
            raise RpcInvalidAnswer(f"{method}: the answer has another form: no result")
        return answer.result


def strip_nul(text: str) -> str:
    """Replace NULs, which PostgreSQL does not store, in a node's own words."""
    return text.replace("\0", "?")


def _http_failure(reply: Reply, request_id: str) -> Exception:
    """Return the error of a response that is not 200.

    Gateways send JSON-RPC errors with statuses of their own, 400 most of all: then the error counts, not the status.
    """
    if reply.status == 429 or (reply.status == 503 and "Retry-After" in reply.headers):
        return RpcRateLimited(f"the RPC answered HTTP {reply.status}", _seconds(reply.headers.get("Retry-After", "")))
    try:
        response = Failure.model_validate_json(reply.body)
    except ValidationError:
        response = Failure()
    is_ours = response.id in (request_id, None)  # None: the error came before the request's id was read
    if is_ours and isinstance(response.error, dict) and isinstance(response.error.get("code"), int):
        return _rpc_failure(response.error)
    return RpcUnavailable(f"the RPC answered HTTP {reply.status}")


def _seconds(retry_after: str) -> float:
    """Return Retry-After in seconds. Providers send seconds; a date, or nothing, counts as one second."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 1.0


def _rpc_failure(error: Any) -> Exception:
    code = error.get("code") if isinstance(error, dict) else None
    if not isinstance(code, int):
        return RpcInvalidAnswer("the RPC answered an error without a code")
    message = strip_nul(str(error.get("message") or "no message")[:500])
    if code == LIMIT_EXCEEDED:
        return RpcLimitExceeded(message)
    if code in NODE_FAULTS:
        return NodeFault(f"{message} ({code})")
    if code == -32600:
        match = OUT_OF_RANGE.search(message)
        if match and 0 < int(match[1]) <= int(match[2]) <= MAX_U32:
            return RpcOutOfRange(code, message, int(match[1]), int(match[2]))
        return RpcUnavailable(f"{message} ({code})")  # -32600 also wraps the node's own database errors
    return RpcRejected(code, message)


def _counted(method: str, read: Callable[[], T]) -> T:
    began, outcome = time.monotonic(), "failed"
    try:
        answer = _translated(read)
        outcome = "ok"
    except ChainError as failure:
        outcome = failure.outcome
        raise
    finally:
        RPC_CALLS.labels(method, outcome).inc()
        RPC_SECONDS.labels(method, outcome).observe(time.monotonic() - began)
    return answer


def _translated(read: Callable[[], T]) -> T:
    """Call `read`, raising what requests, urllib3 and pydantic raise as ChainError. Messages never hold the address."""
    try:
        return read()
    except (RequestException, HTTPError, OSError) as failure:
        raise RpcUnavailable(f"the RPC cannot be reached: {type(failure.__cause__ or failure).__name__}") from failure
    except ValidationError as failure:
        if failure.errors(include_input=False)[0]["type"] == "json_invalid":
            raise RpcInvalidAnswer("the RPC's answer is not JSON") from failure
        raise RpcInvalidAnswer(f"the RPC's answer has another form: {failure.error_count()} errors") from failure
    except (ValueError, OverflowError) as failure:
        raise RpcInvalidAnswer(f"the RPC's answer cannot be read: {type(failure).__name__}") from failure
