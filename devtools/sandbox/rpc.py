"""The methods of a Stellar RPC over one chain, as stellar-rpc v24 answers them.

Left out are getLedgers, getTransactions and getVersionInfo, which nobody here asks for; they answer, like any unknown
method, that they are not there.
"""

import base64
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from stellar_sdk.xdr import LedgerEntryType, LedgerKey

from ajo.soroban.contract.codec import DecodeError, any_of, b64
from devtools.sandbox import gojson
from devtools.sandbox.chain import Chain
from devtools.sandbox.events_query import get_events
from devtools.sandbox.fee_statistics import fee_statistics
from devtools.sandbox.network import PROTOCOL_VERSION
from devtools.sandbox.rpc_error import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    RpcError,
    check_format,
    invalid_params,
)
from devtools.sandbox.send_method import send_transaction
from devtools.sandbox.simulate_method import simulate_transaction
from devtools.sandbox.transaction_method import get_transaction
from devtools.sandbox.transactions.core import Core

MAX_KEYS: Final = 200


class Dropped(Exception):
    """The connection is to end without an answer."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What one of the next requests gets instead of its answer, after `delay` seconds.

    `status`: this HTTP status; 0: the connection ends without one; None: the answer, only late. `method`: the one that
    it is for; empty: any.
    """

    status: int | None
    method: str = ""
    delay: float = 0.0


class Rpc:
    """`friendbot_url` is told by getNetwork; `max_latency` (seconds) makes getHealth complain of an old chain."""

    def __init__(self, chain: Chain, *, friendbot_url: str | None = None, max_latency: int | None = None) -> None:
        self.chain = chain
        self.friendbot_url = friendbot_url
        self.max_latency = max_latency
        self.core = Core(chain.queue)
        # Switches: how many of the next answers are spoilt, and how.
        self.busy = self.races = self.dropped = 0
        self.faults: deque[Fault] = deque()
        self._second: Rpc | None = None
        self._plain: dict[str, Callable[[], Any]] = {
            "getHealth": self.get_health,
            "getNetwork": self.get_network,
            "getLatestLedger": self.get_latest_ledger,
            "getFeeStats": self.get_fee_stats,
        }
        self._with_params: dict[str, Callable[[Any], Any]] = {
            "getLedgerEntries": self.get_ledger_entries,
            "getEvents": self.get_events,
            "getTransaction": self.get_transaction,
            "simulateTransaction": self.simulate_transaction,
            "sendTransaction": self.send_transaction,
        }

    def call(self, method: str, params: Any) -> Any:
        """The result of a method; `params` None for none. Raises RpcError."""
        if method not in self._plain and method not in self._with_params:
            raise RpcError(METHOD_NOT_FOUND, "method not found", method)
        if method in self._plain and params is not None:
            raise invalid_params("no parameters accepted")
        if method != "getNetwork" and self.chain.is_empty:
            raise RpcError(INTERNAL_ERROR, "data stores are not initialized: DB is empty")
        if method in self._plain:
            return self._plain[method]()
        try:
            return self._with_params[method](params)
        except gojson.GoTypeError as error:
            raise RpcError(INVALID_PARAMS, "invalid parameters", str(error)) from error

    def take_fault(self, body: bytes) -> Fault | None:
        """Take the first of the ordered faults, if it is for what this body asks."""
        with self.chain.lock:
            if self.faults and self.faults[0].method.encode() in body:
                return self.faults.popleft()
        return None

    def second(self) -> "Rpc":
        """The network's other node: this one, unless it was told to stay behind."""
        return self if self._second is None else self._second

    def set_second(self, *, following: bool) -> int:
        """Bring the second node up to now; its newest ledger."""
        self._second = None if following else Rpc(self.chain.replica())
        if self._second is not None:
            self._second.core.forward = self.core.queue
        return self.second().chain.latest

    def get_health(self) -> dict[str, Any]:
        span = self.chain.range()
        latency = time.time() - span.last_close
        if self.max_latency is not None and latency > self.max_latency:
            shown = f"latency ({_duration(round(latency))}) since last known ledger closed is too high"
            raise RpcError(INTERNAL_ERROR, f"{shown} (>{_duration(self.max_latency)})")
        return {
            "status": "healthy",
            "latestLedger": span.last,
            "oldestLedger": span.first,
            "ledgerRetentionWindow": self.chain.retention,
        }

    def get_network(self) -> dict[str, Any]:
        friendbot = {} if self.friendbot_url is None else {"friendbotUrl": self.friendbot_url}
        return {**friendbot, "passphrase": self.chain.passphrase, "protocolVersion": PROTOCOL_VERSION}

    def get_latest_ledger(self) -> dict[str, Any]:
        """The hash is made up of the number, header and meta are empty: the sandbox's ledgers have none of them.

        From v25 on servers send the last three fields, and stellar-sdk 16 will not do without.
        """
        span = self.chain.range()
        answer = {"id": f"{span.last:064x}", "protocolVersion": PROTOCOL_VERSION, "sequence": span.last}
        return {**answer, "closeTime": str(span.last_close), "headerXdr": "", "metadataXdr": ""}

    def get_fee_stats(self) -> dict[str, Any]:
        """What contract calls bid for their inclusion in the last ledgers; where nobody did, the least that does."""
        with self.chain.lock:
            queue, latest = self.chain.queue, self.chain.latest
            soroban = fee_statistics(queue.recent_bids(latest), queue.surge)
            return {"sorobanInclusionFee": soroban, "inclusionFee": fee_statistics([], 100), "latestLedger": latest}

    def get_events(self, params: Any) -> dict[str, Any]:
        with self.chain.lock:
            return get_events(self.chain.store, self.chain.range(), params)

    def get_ledger_entries(self, params: Any) -> dict[str, Any]:
        fields = {"keys": gojson.array(gojson.string, "[]string", str), "xdrFormat": gojson.string}
        request = gojson.struct({} if params is None else params, "GetLedgerEntriesRequest", fields)
        check_format(request.get("xdrFormat", ""))
        keys = request.get("keys", [])
        if len(keys) > MAX_KEYS:
            raise invalid_params(f"key count ({len(keys)}) exceeds maximum supported ({MAX_KEYS})")
        with self.chain.lock:
            raw = [self._ledger_key(key, index) for index, key in enumerate(keys)]
        if len(set(raw)) < len(raw):
            # The node behind the server refuses a key that comes twice, in words that say something else.
            text = "could not query captive core: http request failed with non-200 status code (404)"
            raise RpcError(INTERNAL_ERROR, text)
        with self.chain.lock:
            latest = self.chain.latest
            entries = [self._entry(key, each, latest) for key, each in zip(keys, raw, strict=True)]
        return {"entries": [each for each in entries if each is not None], "latestLedger": latest}

    def _ledger_key(self, key: str, index: int) -> bytes:
        """LedgerKey bytes of a base64 key; what is stored under them need not be parsed. Raises RpcError."""
        try:
            raw = base64.b64decode(key, validate=True)
        except ValueError:
            raw = b""
        return raw if self.chain.store.entry(raw) is not None else _ledger_key(key, index)

    def _entry(self, key: str, raw: bytes, latest: int) -> dict[str, Any] | None:
        found = self.chain.store.entry(raw)
        if found is None:
            return None
        if b64(raw) != key:
            raise RpcError(INTERNAL_ERROR, f"mismatching key in result: {b64(raw)}")
        entry: dict[str, Any] = {"key": key, "xdr": found.xdr, "lastModifiedLedgerSeq": found.modified}
        if found.live_until is not None:
            # Of an archived entry the node does not know when it expired.
            entry["liveUntilLedgerSeq"] = found.live_until if found.live_until >= latest else 0
        return {**entry, "extXdr": "AAAAAA=="}

    def simulate_transaction(self, params: Any) -> dict[str, Any]:
        with self.chain.lock:
            if self.busy > 0:
                self.busy -= 1
                return {"error": "preflight queue full", "latestLedger": self.chain.latest}
            return simulate_transaction(self.chain, params)

    def get_transaction(self, params: Any) -> dict[str, Any]:
        with self.chain.lock:
            is_race, self.races = self.races > 0, max(self.races - 1, 0)
            return get_transaction(self.chain, params, is_race=is_race)

    def send_transaction(self, params: Any) -> dict[str, Any]:
        with self.chain.lock:
            answer = send_transaction(self.chain, self.core, params)
            if self.dropped > 0:
                self.dropped -= 1
                raise Dropped
            return answer


def _ledger_key(key: str, index: int) -> bytes:
    """LedgerKey bytes of a base64 key. Raises RpcError."""
    try:
        parsed = any_of(LedgerKey).from_xdr(key)
        raw = parsed.to_xdr_bytes()
    except DecodeError as error:
        raise invalid_params(f"cannot unmarshal key value {key} at index {index}") from error
    if parsed.type == LedgerEntryType.TTL:
        raise invalid_params("ledger ttl entries cannot be queried directly")
    return raw


def _duration(seconds: int) -> str:
    """Seconds as Go prints a time.Duration: 30s, 1m0s, 2h5m7s."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
