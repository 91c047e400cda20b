"""Runs a call that nobody signed: by a contract's address, a function's name and XDR arguments."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

from devtools.sandbox.env import Emitted, Failure
from devtools.sandbox.machine.errors import HostError
from devtools.sandbox.machine.machine import LedgerInfo, Machine
from devtools.sandbox.machine.programs import Contracts as Contracts
from devtools.sandbox.machine.programs import programs
from devtools.sandbox.machine.storage import Source, Storage

Writes = dict[bytes, tuple[bytes | None, int | None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call gave: a result (base64 SCVal) and what it changed, or an error and no change.

    The events of a failed call are those it had emitted before it failed: the host shows them, a network drops them.
    `writes`: LedgerEntryData by LedgerKey, None for what was removed, and until which ledger it lives.
    """

    result: str | None
    error: Failure | None
    events: tuple[Emitted, ...]
    writes: Writes = field(default_factory=dict)


def invoke(
    source: Source,
    contracts: Contracts,
    info: LedgerInfo,
    on: str,
    fn: str,
    args: Sequence[str],
    *,
    plain_token: bool = False,
) -> Outcome:
    """Run one call at a ledger on committed state, which stays as it is. All authorization is taken as granted.

    `plain_token`: the token is one with plain balances, as the vectors' is, not the network's asset.
    """
    storage = Storage(source, info.sequence)
    machine = Machine(storage, info, programs(contracts, plain_token=plain_token))
    try:
        result = machine.invoke(on, fn, [base64.b64decode(each) for each in args])
    except HostError as failed:
        return Outcome(None, failed.error, tuple(each.emitted for each in machine.contract_events()))
    events = tuple(each.emitted for each in machine.contract_events())
    return Outcome(base64.b64encode(result).decode(), None, events, storage.changes())
