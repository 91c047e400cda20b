"""What the core node looks at before it takes a transaction, in its order; the ledger looks once more."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stellar_sdk.xdr import AccountEntry, FeeBumpTransactionEnvelope, MemoType, OperationType, Preconditions, TimeBounds

from ajo.soroban.contract.codec import U64
from devtools.sandbox.ledger.accounts import LOW, MEDIUM, decode_account, last_used, spendable
from devtools.sandbox.ledger.fees import resource_fee
from devtools.sandbox.ledger.keys import account_key
from devtools.sandbox.ledger.settings import Settings, settings
from devtools.sandbox.machine.errors import HostError
from devtools.sandbox.machine.events import Told, error_event, string
from devtools.sandbox.machine.storage import Source
from devtools.sandbox.present import present
from devtools.sandbox.transactions.applied import BASE_FEE, declared
from devtools.sandbox.transactions.envelope import Envelope
from devtools.sandbox.transactions.results import Code, OperationCode, Result, operation_refused
from devtools.sandbox.transactions.signers import signed, signed_by

if TYPE_CHECKING:
    from devtools.sandbox.chain import Chain

SOROBAN: Final = (
    OperationType.INVOKE_HOST_FUNCTION,
    OperationType.EXTEND_FOOTPRINT_TTL,
    OperationType.RESTORE_FOOTPRINT,
)
LEDGER_BITS: Final = 32  # an account's numbers begin with the ledger that made it, so far to the left
LATE_BY: Final = 10  # seconds before its end in which the queue takes a transaction no more: two ledgers


@dataclass(slots=True)
class Invalid(Exception):
    """A transaction that is refused. `fee` is no charge: what the result says under that name."""

    result: Result
    fee: int
    events: list[Told] = field(default_factory=list)


class Checks:
    """One transaction on a ledger's state. `margin`: seconds before its end that are too late already."""

    def __init__(self, chain: "Chain", envelope: Envelope, source: Source, now: int, ledger: int, margin: int) -> None:
        self._chain = chain
        self._envelope = envelope
        self._source = source
        self._now = now
        self._ledger = ledger
        self._margin = margin
        self._settings: Settings = settings(source)
        self._shown_fee = envelope.resource_fee + BASE_FEE * (1 if envelope.bump is None else 2)

    def run(self) -> None:
        """Raises Invalid. A wrapper is looked at first, with the fee, which is then not the inner one's affair."""
        if self._envelope.bump is not None:
            self._wrapper(self._envelope.bump)
        self._shape()
        self._soroban()
        self._bounds()
        if self._envelope.bump is None:
            self._inclusion()
        account = self._account(self._envelope.source)
        if account is None:
            raise self._invalid(Code.NO_ACCOUNT)
        self._sequence(account)
        self._signatures(account)

    def _invalid(self, code: Code, operation: bytes = b"", fee: int | None = None) -> Invalid:
        return Invalid(Result(code, operation), self._shown_fee if fee is None else fee)

    def _account(self, address: str) -> AccountEntry | None:
        held = self._source(account_key(address))
        return None if held is None else decode_account(held.data)

    def _shape(self) -> None:
        operations = self._envelope.tx.operations
        if not operations:
            raise self._invalid(Code.MISSING_OPERATION)
        if any(each.body.type in SOROBAN for each in operations) and len(operations) != 1:
            raise self._invalid(Code.MALFORMED)
        if operations[0].body.type not in SOROBAN:
            raise self._invalid(Code.NOT_SUPPORTED)
        if self._envelope.soroban is None or self._envelope.resource_fee < 0:
            raise self._invalid(Code.MALFORMED)

    def _soroban(self) -> None:
        envelope, found = self._envelope, self._settings
        if self._has_memo_or_mux():
            words = "non-source auth Soroban tx uses memo or muxed source account"
            raise self._soroban_invalid("Context", "InvalidInput", words, fee=0)
        soroban = present(envelope.soroban)
        used, footprint = declared(envelope), soroban.resources.footprint
        keys = [each.to_xdr_bytes() for each in (*footprint.read_only, *footprint.read_write)]
        for words, value, most in (
            (
                "transaction instructions resources exceed network config limit",
                used.instructions,
                found.max_instructions,
            ),
            ("transaction entry-read resources exceed network config limit", used.read_entries, found.max_read_entries),
            ("transaction byte-read resources exceed network config limit", used.read_bytes, found.max_read_bytes),
            (
                "transaction entry-write resources exceed network config limit",
                used.write_entries,
                found.max_write_entries,
            ),
            ("transaction byte-write resources exceed network config limit", used.write_bytes, found.max_write_bytes),
            ("transaction footprint resources exceed network config limit", len(keys), found.max_footprint),
            ("total transaction size exceeds network config limit", used.size, found.max_size),
        ):
            if value > most:
                raise self._soroban_invalid("Storage", "ExceededLimit", words, value, most)
        if envelope.resource_fee > (envelope.tx.fee.uint32 if envelope.bump is None else envelope.fee):
            words = "transaction `sorobanData.resourceFee` is higher than the full transaction fee"
            raise self._soroban_invalid("Storage", "ExceededLimit", words, envelope.resource_fee, envelope.fee)
        needed = resource_fee(used, found)
        if envelope.resource_fee < needed:
            words = "transaction `sorobanData.resourceFee` is lower than the actual Soroban resource fee"
            raise self._soroban_invalid("Storage", "ExceededLimit", words, envelope.resource_fee, needed)
        if len(set(keys)) < len(keys):
            words = (
                "Found duplicate key in the Soroban footprint; every key across read-only and read-write footprints "
            )
            raise self._soroban_invalid("Storage", "InvalidInput", words + "has to be unique.")

    def _has_memo_or_mux(self) -> bool:
        tx, source = self._envelope.tx, self._envelope.operation.source_account
        muxed = tx.source_account.med25519 is not None or (source is not None and source.med25519 is not None)
        return muxed or tx.memo.type != MemoType.MEMO_NONE

    def _soroban_invalid(self, kind: str, code: str, words: str, *figures: int, fee: int | None = None) -> Invalid:
        found = self._invalid(Code.SOROBAN_INVALID, fee=fee)
        told = [U64.encode(each) for each in figures]
        found.events = [error_event(None, HostError(kind, code), string(words), *told)]
        return found

    def _bounds(self) -> None:
        conditions = self._envelope.tx.cond
        times = time_bounds(conditions)
        extra = conditions.v2
        if times is not None and self._now < times.min_time.time_point.uint64:
            raise self._invalid(Code.TOO_EARLY)
        if extra is not None and extra.ledger_bounds is not None:
            least, most = extra.ledger_bounds.min_ledger.uint32, extra.ledger_bounds.max_ledger.uint32
            if self._ledger < least:
                raise self._invalid(Code.TOO_EARLY)
            if most and self._ledger >= most:
                raise self._invalid(Code.TOO_LATE)
        latest = 0 if times is None else times.max_time.time_point.uint64
        if latest and latest < self._now + self._margin:
            raise self._invalid(Code.TOO_LATE)

    def _inclusion(self) -> None:
        bid = self._envelope.fee - self._envelope.resource_fee
        if bid < BASE_FEE:
            raise self._invalid(Code.INSUFFICIENT_FEE, fee=self._envelope.resource_fee + BASE_FEE)

    def _wrapper(self, bump: FeeBumpTransactionEnvelope) -> None:
        """It bids for two, and no less for each than what it wraps bids."""
        envelope = self._envelope
        needed = 2 * max(BASE_FEE, envelope.tx.fee.uint32 - envelope.resource_fee)
        if envelope.fee - envelope.resource_fee < needed:
            raise self._wrapper_invalid(Code.INSUFFICIENT_FEE, envelope.resource_fee + needed)
        payer = self._account(envelope.payer)
        if payer is None:
            raise self._wrapper_invalid(Code.NO_ACCOUNT)
        used: set[int] = set()
        if not signed(payer, LOW, bump.signatures, envelope.hash, used):
            raise self._wrapper_invalid(Code.BAD_AUTH)
        if spendable(payer, self._chain.base_reserve) < envelope.fee:
            raise self._wrapper_invalid(Code.INSUFFICIENT_BALANCE)
        if len(used) < len(bump.signatures):
            raise self._wrapper_invalid(Code.BAD_AUTH_EXTRA)

    def _wrapper_invalid(self, code: Code, fee: int | None = None) -> Invalid:
        return Invalid(Result(code, of_wrapper=True), self._shown_fee if fee is None else fee)

    def _sequence(self, account: AccountEntry) -> None:
        """The account's next number, or a higher one where the transaction says from which on; and not too soon."""
        wanted, last = self._envelope.sequence, account.seq_num.sequence_number.int64
        extra = self._envelope.tx.cond.v2
        least = None if extra is None or extra.min_seq_num is None else extra.min_seq_num.sequence_number.int64
        is_next = wanted == last + 1 if least is None else least <= last < wanted
        if not is_next or wanted == self._ledger << LEDGER_BITS:
            raise self._invalid(Code.BAD_SEQ)
        if extra is None:
            return
        at_ledger, at_time = last_used(account)
        age, gap = extra.min_seq_age.duration.uint64, extra.min_seq_ledger_gap.uint32
        if self._now - age < at_time or self._ledger - gap < at_ledger:
            raise self._invalid(Code.BAD_MIN_SEQ_AGE_OR_GAP)

    def _signatures(self, account: AccountEntry) -> None:
        """LOW for the transaction, what its source has, MEDIUM for the operation, and no signature too many."""
        envelope = self._envelope
        used: set[int] = set()
        if not signed(account, LOW, envelope.signatures, envelope.inner_hash, used):
            raise self._invalid(Code.BAD_AUTH)
        extra = envelope.tx.cond.v2
        for signer in [] if extra is None else extra.extra_signers:
            if not signed_by([(signer, 1)], 1, envelope.signatures, envelope.inner_hash, used):
                raise self._invalid(Code.BAD_AUTH)
        if envelope.bump is None and spendable(account, self._chain.base_reserve) < envelope.fee:
            raise self._invalid(Code.INSUFFICIENT_BALANCE)
        source = self._account(envelope.operation_source)
        if source is None:
            raise self._invalid(Code.FAILED, operation_refused(OperationCode.NO_ACCOUNT))
        if not signed(source, MEDIUM, envelope.signatures, envelope.inner_hash, used):
            raise self._invalid(Code.FAILED, operation_refused(OperationCode.BAD_AUTH))
        if len(used) < len(envelope.signatures):
            raise self._invalid(Code.BAD_AUTH_EXTRA)


def time_bounds(conditions: Preconditions) -> TimeBounds | None:
    return conditions.time_bounds if conditions.v2 is None else conditions.v2.time_bounds


def available(chain: "Chain", address: str) -> int:
    """What an account can spend, as the newest ledger has it."""
    held = chain.closed(account_key(address))
    return 0 if held is None else spendable(decode_account(held.data), chain.base_reserve)
