"""simulateTransaction: what a transaction would do and need, or why it would fail, as stellar-rpc v24 says it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from stellar_sdk.xdr import (
    Int64,
    InvokeHostFunctionOp,
    LedgerFootprint,
    OperationType,
    SorobanAuthorizationEntry,
    SorobanTransactionData,
)

from devtools.sandbox.ledger.accounts import decode_account, encode_account, extend
from devtools.sandbox.ledger.effects import Effects, measure, transaction_data
from devtools.sandbox.ledger.fees import Rent, Used, events_fee, rent_fee, resource_fee
from devtools.sandbox.ledger.keys import ACCOUNT, has_lifetime
from devtools.sandbox.ledger.settings import Settings, settings
from devtools.sandbox.machine.authorization import Authorization, Enforcer, Recorder
from devtools.sandbox.machine.budget import Budget
from devtools.sandbox.machine.errors import HostError
from devtools.sandbox.machine.machine import Machine
from devtools.sandbox.machine.programs import programs
from devtools.sandbox.machine.storage import LedgerEntry, Storage
from devtools.sandbox.present import present
from devtools.sandbox.transactions import host_functions
from devtools.sandbox.transactions.envelope import BadEnvelope, Envelope, parse
from devtools.sandbox.transactions.lifetimes import LifetimeRefused, extend_lifetimes, restore_archived
from devtools.sandbox.transactions.log import event_log
from devtools.sandbox.transactions.sizes import largest_size

if TYPE_CHECKING:
    from devtools.sandbox.chain import Chain

AUTH_MODES: Final = ("enforce", "record", "record_allow_nonroot")
_U32: Final = 2**32
_INVOKE: Final = OperationType.INVOKE_HOST_FUNCTION
_LIFETIMES: Final = (OperationType.EXTEND_FOOTPRINT_TTL, OperationType.RESTORE_FOOTPRINT)


class Refused(Exception):
    """The answer is only this text; `ledger` 0 where the node had not looked at its ledgers yet."""

    def __init__(self, text: str, ledger: int = 0) -> None:
        super().__init__(text)
        self.ledger = ledger


class NoTransactionData(Exception):
    """Extending or restoring without a footprint: it ends the real server's request."""


@dataclass(frozen=True, slots=True)
class Request:
    """The parameters, with the server's defaults."""

    transaction: str = ""
    auth_mode: str = ""
    leeway: int = 0
    upgraded: bool = False


@dataclass(slots=True)
class Simulation:
    """An answer, in XDR bytes; what is empty is left out of it."""

    ledger: int
    error: str = ""
    data: bytes = b""
    fee: int = 0
    result: bytes = b""
    auth: list[bytes] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)
    changes: list[tuple[bytes, bytes | None, bytes | None]] = field(default_factory=list)
    restore: tuple[bytes, int] | None = None


def simulate(chain: "Chain", request: Request) -> Simulation:
    """Raises Refused, NoTransactionData."""
    try:
        envelope = parse(request.transaction, chain.network_id)
    except BadEnvelope:
        raise Refused("Could not unmarshal transaction") from None
    if len(envelope.tx.operations) != 1:
        raise Refused("Transaction contains more than one operation")
    kind = envelope.operation.body.type
    mode = _auth_mode(request.auth_mode, envelope)
    if kind not in (_INVOKE, *_LIFETIMES):
        name = "".join(part.capitalize() for part in kind.name.split("_"))
        raise Refused(f"transaction contains unsupported operation type: OperationType{name}")
    latest = chain.latest
    if kind in _LIFETIMES:
        return _lifetimes(chain, envelope, latest)
    if request.leeway >= _U32:
        raise Refused("out of range integral type conversion attempted", latest)
    return _Invocation(chain, envelope, request, mode, latest).answer()


def _auth_mode(asked: str, envelope: Envelope) -> str:
    """Raises Refused."""
    if asked not in ("", *AUTH_MODES):
        raise Refused(f"optional 'authMode' must be one of {','.join(AUTH_MODES)} when included")
    operation = envelope.invocation
    if operation is None:
        if asked:
            raise Refused("cannot set authMode with non-InvokeHostFunction operations")
        return ""
    if not asked:
        return "enforce" if operation.auth else "record"
    if asked != "enforce" and operation.auth:
        raise Refused(f"cannot set authMode to '{asked}' with an auth footprint")
    return asked


class _Invocation:
    """One host function, run on the newest ledger at the node's time, with everything that it touches noted."""

    def __init__(self, chain: "Chain", envelope: Envelope, request: Request, mode: str, latest: int) -> None:
        self._operation: InvokeHostFunctionOp = present(envelope.invocation)
        self._request = request
        self._latest = latest
        self._settings: Settings = settings(chain.closed)
        self._auth = self._authorization(envelope, mode)
        self._storage = Storage(_with_extensions(chain), latest, lifetimes=self._settings.lifetimes)
        info = chain.info(latest, chain.node_time())
        self._machine = Machine(self._storage, info, programs(chain.contracts), self._auth, Budget())

    def _authorization(self, envelope: Envelope, mode: str) -> Authorization:
        source = envelope.operation_source
        if mode == "enforce":
            return Enforcer(source, list(self._operation.auth))
        return Recorder(source, allow_nonroot=mode == "record_allow_nonroot", upgraded=self._request.upgraded)

    def answer(self) -> Simulation:
        found = Simulation(self._latest)
        try:
            found.result = host_functions.run(self._machine, self._operation.host_function)
        except HostError as error:
            found.error = f"HostError: {error}\n{event_log(self._machine.events)}"
            found.events = [each.diagnostic(successful=False) for each in self._machine.events]
            return found
        if isinstance(self._auth, Recorder):
            self._auth.emulate(self._machine)
            found.auth = self._auth.entries()
        else:
            found.auth = [each.to_xdr_bytes() for each in self._operation.auth]
        found.events = [each.diagnostic(successful=True) for each in self._machine.events]
        effects = measure(self._storage)
        found.changes = self._changes(effects)
        data = self._data(effects, found)
        found.data, found.fee = data.to_xdr_bytes(), int(data.resource_fee.int64)
        return found

    def _changes(self, effects: Effects) -> list[tuple[bytes, bytes | None, bytes | None]]:
        """Every entry that could be written: before and after, as LedgerEntry.

        Contracts' data keep when they were last modified; the host makes accounts and trustlines anew.
        """
        found = []
        for key in effects.read_write:
            held = None if key in self._storage.restored else self._storage.before(key)
            after = self._storage.after(key)
            kept = self._storage.before(key)
            modified = 0 if kept is None or not has_lifetime(key) else kept.modified
            if held is not None and after == held.data:
                modified = held.modified
            before = None if held is None else _entry(held.data, held.modified)
            if before is not None or after is not None:
                found.append((key, before, None if after is None else _entry(after, modified)))
        return found

    def _data(self, effects: Effects, found: Simulation) -> SorobanTransactionData:
        instructions = max(self._machine.budget.declared, self._machine.budget.used + self._request.leeway)
        data = transaction_data(
            effects.read_only,
            effects.read_write,
            instructions=instructions,
            read_bytes=effects.read_bytes,
            write_bytes=effects.write_bytes,
            restored=effects.restored,
        )
        told = sum(len(each.encode()) for each in self._machine.contract_events()) + len(found.result)
        auth = [SorobanAuthorizationEntry.from_xdr_bytes(each) for each in found.auth]
        operation = InvokeHostFunctionOp(self._operation.host_function, auth)
        size = largest_size(operation.to_xdr_bytes(), data)
        used = Used(
            instructions,
            effects.read_entries,
            len(effects.read_write),
            effects.read_bytes,
            effects.write_bytes,
            _with_margin(size),
        )
        data.resource_fee = Int64(full_fee(used, told, effects.rents, self._latest, self._settings))
        return data


def _entry(data: bytes, modified: int) -> bytes:
    """LedgerEntry."""
    return modified.to_bytes(4, "big") + data + bytes(4)


def _with_margin(size: int) -> int:
    return max(size + 500, size * 11 // 10)


def full_fee(used: Used, events: int, rents: list[Rent], ledger: int, found: Settings) -> int:
    """What is not given back, and what may be with 15 % on top, as simulations say it."""
    refundable = events_fee(events, found) + rent_fee(rents, ledger, found)
    return resource_fee(used, found) + refundable * 115 // 100


def _with_extensions(chain: "Chain") -> Any:
    """Entries of the newest ledger; accounts as large as the network makes them when it applies a transaction."""
    known: dict[bytes, LedgerEntry | None] = {}

    def source(key: bytes) -> LedgerEntry | None:
        if key not in known:
            held = chain.closed(key)
            if held is not None and key.startswith(ACCOUNT):
                account = decode_account(held.data)
                extend(account)
                held = LedgerEntry(encode_account(account), held.modified)
            known[key] = held
        return known[key]

    return source


def _lifetimes(chain: "Chain", envelope: Envelope, latest: int) -> Simulation:
    """ExtendFootprintTTL and RestoreFootprint: only a footprint and its fee."""
    if envelope.soroban is None:
        raise NoTransactionData
    footprint: LedgerFootprint = envelope.soroban.resources.footprint
    found = Simulation(latest)
    body = envelope.operation.body
    try:
        if body.extend_footprint_ttl_op is not None:
            keys = [each.to_xdr_bytes() for each in footprint.read_only]
            data, restore = extend_lifetimes(chain, keys, body.extend_footprint_ttl_op.extend_to.uint32, latest)
            found.restore = None if restore is None else (restore.to_xdr_bytes(), int(restore.resource_fee.int64))
        else:
            data = restore_archived(chain, [each.to_xdr_bytes() for each in footprint.read_write], latest)
    except LifetimeRefused as error:
        found.error = str(error)
        return found
    found.data, found.fee = data.to_xdr_bytes(), int(data.resource_fee.int64)
    return found
