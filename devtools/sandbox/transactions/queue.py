"""A core node's queue: one transaction a source, four ledgers long, and what has left it is banned for ten."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from devtools.sandbox.transactions.application import Application
from devtools.sandbox.transactions.applied import BASE_FEE, Applied
from devtools.sandbox.transactions.checks import LATE_BY, SOROBAN, Checks, Invalid, available
from devtools.sandbox.transactions.envelope import Envelope
from devtools.sandbox.transactions.results import Code, Result

if TYPE_CHECKING:
    from devtools.sandbox.chain import Chain
    from devtools.sandbox.open_ledger import OpenLedger

MAX_AGE: Final = 4  # ledgers that one waits
BAN: Final = 10  # ledgers in which a hash that has left is not taken
BUMP_FACTOR: Final = 10  # how much more a fee bump has to bid than what it replaces
FEE_LEDGERS: Final = 50  # over which fee statistics go
CAPACITY: Final = 4000  # transactions: what two ledgers hold


class Status(Enum):
    """Core's words."""

    PENDING = "PENDING"
    DUPLICATE = "DUPLICATE"
    TRY_AGAIN_LATER = "TRY_AGAIN_LATER"
    ERROR = "ERROR"
    FILTERED = "FILTERED"


@dataclass(slots=True)
class Waiting:
    envelope: Envelope
    age: int = 0


@dataclass
class Queue:
    """`surge`: the least inclusion fee that gets into a ledger. `filtered`: accounts that this node does not serve."""

    chain: "Chain"
    waiting: dict[str, Waiting] = field(default_factory=dict)  # by source
    banned: dict[str, int] = field(default_factory=dict)  # hashes, and the last ledger of their ban
    surge: int = BASE_FEE
    capacity: int = CAPACITY
    filtered: set[str] = field(default_factory=set)
    bids: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=10_000))  # ledgers, inclusion fees

    def submit(self, envelope: Envelope) -> Status:
        """Raises Invalid for what core answers with ERROR."""
        operations = envelope.tx.operations
        if operations and operations[0].body.type in SOROBAN and envelope.soroban is None:
            raise Invalid(Result(Code.MALFORMED, of_wrapper=True), 0)
        if any(each in self.banned for each in (envelope.key, envelope.inner_hash.hex())):
            return Status.TRY_AGAIN_LATER
        if self.filtered & {envelope.source, envelope.payer}:
            return Status.FILTERED
        before = self.waiting.get(envelope.source)
        if before is not None:
            status = self._beside(before.envelope, envelope)
            if status is not None:
                return status
        worst = self._worst(envelope) if before is None and len(self.waiting) >= self.capacity else None
        self.check(envelope)
        if worst is not None:
            self._ban(self.waiting.pop(worst.source).envelope)
        self.waiting[envelope.source] = Waiting(envelope)
        return Status.PENDING

    def check(self, envelope: Envelope) -> None:
        """Raises Invalid."""
        newest = self.chain.range()
        ahead = max(self.chain.node_time() - newest.last_close, 0)
        Checks(self.chain, envelope, self.chain.closed, newest.last_close, newest.last + 1, LATE_BY + ahead).run()
        others = [each.envelope for each in self.waiting.values() if each.envelope.source != envelope.source]
        promised = sum(each.fee for each in others if each.payer == envelope.payer)
        if promised and available(self.chain, envelope.payer) < promised + envelope.fee:
            raise Invalid(Result(Code.INSUFFICIENT_BALANCE, of_wrapper=True), 0)

    def _worst(self, envelope: Envelope) -> Envelope:
        """Of a full queue the one that has to go for one that bids more. Raises Invalid for one that bids no more."""
        worst = min((each.envelope for each in self.waiting.values()), key=self._bid, default=None)
        needed = self.surge if worst is None else self._bid(worst) + 1
        if worst is None or self._bid(envelope) < needed:
            self._ban(envelope)
            parts = 1 if envelope.bump is None else 2
            raise Invalid(Result(Code.INSUFFICIENT_FEE, of_wrapper=True), envelope.resource_fee + needed * parts)
        return worst

    def _beside(self, before: Envelope, envelope: Envelope) -> Status | None:
        """What one of a source that has another waiting gets; None where it may take the other's place."""
        if before.hash == envelope.hash or before.inner_hash == envelope.hash:
            return Status.DUPLICATE
        if envelope.sequence < before.sequence:
            raise Invalid(Result(Code.BAD_SEQ, of_wrapper=True), 0)
        if envelope.bump is None or envelope.sequence != before.sequence:
            return Status.TRY_AGAIN_LATER
        needed = BUMP_FACTOR * (before.fee - before.resource_fee)
        if envelope.fee - envelope.resource_fee < needed:
            raise Invalid(Result(Code.INSUFFICIENT_FEE, of_wrapper=True), envelope.resource_fee + needed)
        return None

    def _ban(self, envelope: Envelope) -> None:
        until = self.chain.latest + BAN
        for each in (envelope.key, envelope.inner_hash.hex()):
            self.banned[each] = until

    def close(self, ledger: "OpenLedger") -> list[Applied]:
        """What of the queue goes into a ledger, applied in the order in which it came; the rest grows older."""
        included = [each for each in self.waiting.values() if self._bid(each.envelope) >= self.surge]
        applied = apply_all(self.chain, ledger, [each.envelope for each in included], self.surge)
        self.bids.extend((ledger.sequence, self._bid(each.envelope)) for each in included)
        for each in included:
            del self.waiting[each.envelope.source]
        for each in list(self.waiting.values()):
            each.age += 1
            if each.age >= MAX_AGE:
                del self.waiting[each.envelope.source]
                included.append(each)
        self.banned = {key: last for key, last in self.banned.items() if last > ledger.sequence}
        for each in included:
            for key in (each.envelope.key, each.envelope.inner_hash.hex()):
                self.banned[key] = ledger.sequence + BAN
        return applied

    def recent_bids(self, latest: int) -> list[int]:
        """Inclusion fees of what the last ledgers took in."""
        return [bid for ledger, bid in self.bids if ledger > latest - FEE_LEDGERS]

    def _bid(self, envelope: Envelope) -> int:
        """The inclusion fee, for each operation and a wrapper where there is one."""
        return (envelope.fee - envelope.resource_fee) // (1 if envelope.bump is None else 2)


def apply_all(chain: "Chain", ledger: "OpenLedger", envelopes: list[Envelope], base_fee: int) -> list[Applied]:
    """All fees first, then the transactions one after the other, then what is given back."""
    work = [Application(chain, each, ledger.writes, ledger.sequence, ledger.close) for each in envelopes]
    valid: list[Callable[[], None]] = []
    for envelope, application in zip(envelopes, work, strict=True):
        refused = _refused(chain, envelope, ledger)
        application.charge(base_fee * (1 if envelope.bump is None else 2))
        if refused is None:
            valid.append(application.apply)
        else:
            application.refuse(refused)
    for apply in valid:
        apply()
    for application in work:
        application.give_back()
    return [each.applied for each in work]


def _refused(chain: "Chain", envelope: Envelope, ledger: "OpenLedger") -> Result | None:
    """Why one that was valid when it was queued is not any more."""
    try:
        Checks(chain, envelope, chain.current, ledger.close, ledger.sequence, 0).run()
    except Invalid as invalid:
        return invalid.result
    return None
