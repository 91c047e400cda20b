"""What became of a transaction in a ledger, as it is kept and shown."""

from dataclasses import dataclass, field
from typing import Any, Final

from ajo.soroban.contract.codec import U64, b64
from devtools.sandbox.ledger.fees import Used
from devtools.sandbox.ledger.keys import has_lifetime
from devtools.sandbox.machine.errors import HostError
from devtools.sandbox.machine.events import Told, error_event, metric_event, string
from devtools.sandbox.machine.machine import Machine
from devtools.sandbox.present import present
from devtools.sandbox.transactions.envelope import Envelope
from devtools.sandbox.transactions.meta import Meta
from devtools.sandbox.transactions.results import Code, HostCode, Result, host_result

BASE_FEE: Final = 100  # stroops for an operation, where nobody bids more
METRICS: Final = (
    "read_entry",
    "write_entry",
    "ledger_read_byte",
    "ledger_write_byte",
    "read_key_byte",
    "write_key_byte",
    "read_data_byte",
    "write_data_byte",
    "read_code_byte",
    "write_code_byte",
    "emit_event",
    "emit_event_byte",
    "cpu_insn",
    "mem_byte",
    "invoke_time_nsecs",
    "max_rw_key_byte",
    "max_rw_data_byte",
    "max_rw_code_byte",
    "max_emit_event_byte",
)


@dataclass(slots=True)
class Applied:
    """What became of one. `events` are its contracts' own; the fee's are beside them."""

    envelope: Envelope
    charged: int
    result: Result = field(default_factory=lambda: Result(Code.FAILED, host_result(HostCode.TRAPPED)))
    meta: Meta = field(default_factory=Meta)
    events: list[Told] = field(default_factory=list)
    refund: int = 0

    @property
    def hashes(self) -> list[str]:
        """The transaction's own, and that of what it wraps."""
        inner = self.envelope.inner_hash.hex()
        return [self.envelope.key] if inner == self.envelope.key else [self.envelope.key, inner]

    @property
    def fee_events(self) -> list[tuple[int, Told]]:
        return self.meta.fee_events

    @property
    def is_successful(self) -> bool:
        return self.result.code == Code.SUCCESS

    def details(self) -> dict[str, Any]:
        """As getTransaction shows it."""
        inner = None if self.envelope.bump is None else self.envelope.inner_hash
        found: dict[str, Any] = {
            "envelopeXdr": b64(self.envelope.xdr.to_xdr_bytes()),
            "resultXdr": b64(self.result.encode(self.charged - self.refund, inner)),
            "resultMetaXdr": b64(self.meta.encode()),
            "feeBump": inner is not None,
            "transactionEventsXdr": [
                b64(stage.to_bytes(4, "big") + event.encode()) for stage, event in self.meta.fee_events
            ],
        }
        if self.meta.diagnostics:
            found["diagnosticEventsXdr"] = [b64(each) for each in self.meta.diagnostics]
        return found


class LimitExceeded(Exception):
    """What ends an operation: the host's failure, or (`is_beside_host`) a limit that is looked at around it.

    `words` and `figures` are told as an error without a contract.
    """

    def __init__(self, code: HostCode, words: str = "", *figures: int, is_beside_host: bool = True) -> None:
        super().__init__(words)
        self.code = code
        self.words = words
        self.figures = figures
        self.is_beside_host = is_beside_host


def diagnostics(machine: Machine, limit: LimitExceeded | None, *, is_successful: bool) -> list[bytes]:
    """The host's events, a limit's error, and core's figures, most of which nobody counts here."""
    host_succeeded = is_successful or (limit is not None and limit.is_beside_host)
    found = [each.diagnostic(successful=host_succeeded) for each in machine.events]
    if limit is not None and limit.words:
        told = [U64.encode(each) for each in limit.figures]
        event = error_event(None, HostError("Budget", "ExceededLimit"), string(limit.words), *told)
        found.append(event.diagnostic(successful=False))
    figures = dict.fromkeys(METRICS, 0) | {"cpu_insn": machine.budget.used}
    return found + [metric_event(name, figures[name]).diagnostic(successful=is_successful) for name in METRICS]


def declared(envelope: Envelope) -> Used:
    """The resources that a transaction says it needs, and what it is itself."""
    soroban = present(envelope.soroban)
    resources = soroban.resources
    keys = [each.to_xdr_bytes() for each in (*resources.footprint.read_only, *resources.footprint.read_write)]
    archived = 0 if soroban.ext.resource_ext is None else len(soroban.ext.resource_ext.archived_soroban_entries)
    return Used(
        resources.instructions.uint32,
        sum(not has_lifetime(key) for key in keys) + archived,
        len(resources.footprint.read_write),
        resources.disk_read_bytes.uint32,
        resources.write_bytes.uint32,
        envelope.size,
    )
