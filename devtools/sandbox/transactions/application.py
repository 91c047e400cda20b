"""A transaction in a ledger: its fee, its sequence number, what the host makes of it, and the limits after that."""

from typing import TYPE_CHECKING

from stellar_sdk.xdr import Int64, OperationType, SequenceNumber, TimePoint, Uint32, Uint64

from devtools.sandbox.host import Writes
from devtools.sandbox.ledger.accounts import decode_account, encode_account, extend
from devtools.sandbox.ledger.effects import Effects, measure
from devtools.sandbox.ledger.fees import entry_size, events_fee, rent_fee, resource_fee
from devtools.sandbox.ledger.keys import account_key, has_lifetime, is_temporary
from devtools.sandbox.ledger.settings import Settings, settings
from devtools.sandbox.machine.authorization import Enforcer
from devtools.sandbox.machine.budget import Budget
from devtools.sandbox.machine.errors import HostError, OutOfBudget
from devtools.sandbox.machine.events import failed_event
from devtools.sandbox.machine.machine import Machine
from devtools.sandbox.machine.programs import programs
from devtools.sandbox.machine.storage import Footprint, LedgerEntry, Storage
from devtools.sandbox.present import present
from devtools.sandbox.transactions import host_functions
from devtools.sandbox.transactions.applied import Applied, LimitExceeded, declared, diagnostics
from devtools.sandbox.transactions.envelope import Envelope
from devtools.sandbox.transactions.meta import AFTER_ALL, BEFORE_ALL, fee_event, operation, replaced
from devtools.sandbox.transactions.results import (
    Code,
    HostCode,
    Result,
    host_result,
    lifetime_result,
    success_hash,
)

if TYPE_CHECKING:
    from devtools.sandbox.chain import Chain


class Application:
    """Applies one transaction to an open ledger; `writes` are the ledger's changes so far, and get its own."""

    def __init__(self, chain: "Chain", envelope: Envelope, writes: Writes, ledger: int, close: int) -> None:
        self._chain = chain
        self._envelope = envelope
        self._writes = writes
        self._ledger = ledger
        self._close = close
        self._settings: Settings = settings(chain.closed)
        self.applied = Applied(envelope, 0)

    # -- the fee, before all transactions of the ledger

    def charge(self, inclusion: int) -> None:
        """Take the resource fee and what inclusion costs here; of more than the payer has, what there is."""
        key = account_key(self._envelope.payer)
        held = self._chain.current(key)
        if held is None:
            return
        account = decode_account(held.data)
        fee = min(self._envelope.resource_fee + inclusion, int(account.balance.int64))
        account.balance = Int64(account.balance.int64 - fee)
        self._writes[key] = (encode_account(account), None)
        self.applied.charged = fee
        self._tell_fee(BEFORE_ALL, fee)

    def _tell_fee(self, stage: int, amount: int) -> None:
        event = fee_event(self._chain.token, self._envelope.source, amount)
        self.applied.meta.fee_events.append((stage, event))

    def give_back(self) -> None:
        """The part of the refundable fee that was not used, after all transactions of the ledger."""
        if self.applied.refund <= 0:
            return
        key = account_key(self._envelope.payer)
        held = self._chain.current(key)
        if held is not None:
            account = decode_account(held.data)
            account.balance = Int64(account.balance.int64 + self.applied.refund)
            self._writes[key] = (encode_account(account), None)
        self._tell_fee(AFTER_ALL, -self.applied.refund)

    # -- the transaction itself

    def refuse(self, result: Result) -> None:
        """In the ledger without effect: it had become invalid between queue and ledger."""
        self.applied.result = result
        self.applied.refund = 0

    def apply(self) -> None:
        self._use_sequence()
        operation_type = self._envelope.operation.body.type
        nonrefundable = self._nonrefundable()
        refundable = self._envelope.resource_fee - nonrefundable
        used = rent = 0
        limit: LimitExceeded | None = None
        machine = self._machine()
        try:
            if operation_type == OperationType.INVOKE_HOST_FUNCTION:
                used, rent = self._invoke(machine, refundable)
            else:
                used, rent = self._lifetimes(machine, refundable)
        except LimitExceeded as reached:
            limit = reached
            self.applied.result = Result(Code.FAILED, host_result(limit.code))
        told = diagnostics(machine, limit, is_successful=self.applied.is_successful)
        self.applied.meta.diagnostics = told
        self.applied.refund = refundable - used
        self.applied.meta.charged = (nonrefundable, used, rent)

    def _use_sequence(self) -> None:
        key = account_key(self._envelope.source)
        held = present(self._chain.current(key))
        account = decode_account(held.data)
        account.seq_num = SequenceNumber(Int64(self._envelope.sequence))
        newest = extend(account)
        newest.seq_ledger, newest.seq_time = Uint32(self._ledger), TimePoint(Uint64(self._close))
        after = encode_account(account)
        self.applied.meta.before = replaced(LedgerEntry(held.data, self._ledger), after, self._ledger)
        self._writes[key] = (after, None)

    def _nonrefundable(self) -> int:
        return resource_fee(declared(self._envelope), self._settings)

    def _machine(self) -> Machine:
        soroban = present(self._envelope.soroban)
        footprint = soroban.resources.footprint
        read_write = [each.to_xdr_bytes() for each in footprint.read_write]
        keys = {each.to_xdr_bytes(): False for each in footprint.read_only} | dict.fromkeys(read_write, True)
        extra = soroban.ext.resource_ext
        places = [] if extra is None else [each.uint32 for each in extra.archived_soroban_entries]
        restorable = frozenset(read_write[place] for place in places if place < len(read_write))
        storage = Storage(
            self._chain.current, self._ledger, Footprint(open=False, keys=keys), restorable, self._settings.lifetimes
        )
        operation = self._envelope.invocation
        entries = [] if operation is None else list(operation.auth)
        return Machine(
            storage,
            self._chain.info(self._ledger, self._close),
            programs(self._chain.contracts),
            Enforcer(self._envelope.operation_source, entries),
            Budget(soroban.resources.instructions.uint32),
        )

    def _invoke(self, machine: Machine, refundable: int) -> tuple[int, int]:
        """What of the refundable fee is used, and the rent in it. Raises LimitExceeded."""
        operation_body = present(self._envelope.invocation)
        try:
            self._load(machine.storage)
            value = host_functions.run(machine, operation_body.host_function)
        except HostError as error:
            raise self._host_failed(machine, error) from error
        effects = measure(machine.storage)
        used, rent = self._check_limits(machine, effects, value, refundable)
        events = machine.contract_events()
        self.applied.result = Result(Code.SUCCESS, host_result(HostCode.SUCCESS, success_hash(value, events)))
        self.applied.events = events
        self.applied.meta.result = value
        self.applied.meta.operations = operation(machine.storage, events)
        self._writes.update(_written(machine.storage))
        return used, rent

    def _load(self, storage: Storage) -> None:
        """The footprint's entries: archived ones must be announced, and what comes from disk has been declared."""
        soroban = present(self._envelope.soroban)
        read = 0
        for key in storage.footprint.keys:
            held = storage.before(key)
            if held is None:
                storage.get(key)
                continue
            is_archived = held.live_until is not None and held.live_until < self._ledger and not is_temporary(key)
            if is_archived and key not in storage.restorable:
                raise LimitExceeded(HostCode.ENTRY_ARCHIVED)
            storage.get(key)
            if is_archived or not has_lifetime(key):
                read += entry_size(held.data)
        limit = soroban.resources.disk_read_bytes.uint32
        if read > limit:
            words = "operation byte-read resources exceeds amount specified"
            raise LimitExceeded(HostCode.RESOURCE_LIMIT_EXCEEDED, words, read, limit)

    def _host_failed(self, machine: Machine, error: HostError) -> LimitExceeded:
        """An overrun that the host notices only afterwards leaves none of its own events."""
        if not isinstance(error, OutOfBudget) or error.is_told:
            machine.events.append(failed_event(error))
            return LimitExceeded(HostCode.TRAPPED, is_beside_host=False)
        machine.events[:] = [failed_event(error)]
        words = "operation instructions exceeds amount specified"
        figures = error.needed, machine.budget.limit or 0
        return LimitExceeded(HostCode.RESOURCE_LIMIT_EXCEEDED, words, *figures, is_beside_host=False)

    def _check_limits(self, machine: Machine, effects: Effects, value: bytes, refundable: int) -> tuple[int, int]:
        soroban = present(self._envelope.soroban)
        limit = soroban.resources.write_bytes.uint32
        if effects.write_bytes > limit:
            words = "operation byte-write resources exceeds amount specified"
            raise LimitExceeded(HostCode.RESOURCE_LIMIT_EXCEEDED, words, effects.write_bytes, limit)
        told = sum(len(each.encode()) for each in machine.contract_events()) + len(value)
        if told > self._settings.max_events:
            words = "total events size exceeds network config maximum"
            raise LimitExceeded(HostCode.RESOURCE_LIMIT_EXCEEDED, words, told, self._settings.max_events)
        return self._check_refundable(effects, told, refundable)

    def _check_refundable(self, effects: Effects, told: int, refundable: int) -> tuple[int, int]:
        rent = rent_fee(effects.rents, self._ledger, self._settings)
        used = rent + events_fee(told, self._settings)
        if used > refundable:
            words = "refundable resource fee exceeds amount specified"
            raise LimitExceeded(HostCode.INSUFFICIENT_REFUNDABLE_FEE, words, used, refundable)
        return used, rent

    def _lifetimes(self, machine: Machine, refundable: int) -> tuple[int, int]:
        """ExtendFootprintTTL and RestoreFootprint."""
        body = self._envelope.operation.body
        storage = machine.storage
        if body.extend_footprint_ttl_op is not None:
            until = self._ledger + body.extend_footprint_ttl_op.extend_to.uint32
            for key in storage.footprint.keys:
                held = storage.before(key)
                if held is not None and held.live_until is not None and self._ledger <= held.live_until < until:
                    storage.set_live_until(key, until)
        else:
            storage.restorable = frozenset(storage.footprint.keys)
            for key in storage.footprint.keys:
                storage.get(key)
        used, rent = self._check_refundable(measure(storage), 0, refundable)
        self.applied.result = Result(Code.SUCCESS, lifetime_result(body.type))
        self.applied.meta.operations = operation(storage, [])
        self._writes.update(_written(storage))
        return used, rent


def _written(storage: Storage) -> Writes:
    """Whatever could be written counts as modified; of the rest, what lives longer."""
    found = dict(storage.changes())
    for key, write in storage.footprint.keys.items():
        after = storage.after(key)
        if write and after is not None:
            found[key] = (after, storage.live_until(key))
    return found
