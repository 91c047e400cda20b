"""What a chain is doing now: the ledger that is being filled, and what a call into it gave."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from devtools.sandbox.env import Failure
from devtools.sandbox.host import Outcome, Writes
from devtools.sandbox.transactions.history import Keepable


@dataclass(frozen=True, slots=True)
class Call:
    """What a call gave: `result` decoded (None where it failed or returns nothing), `error` as the host says it."""

    hash: str
    result: Any
    error: Failure | None


@dataclass(slots=True)
class OpenLedger:
    """The ledger that is being filled."""

    sequence: int
    close: int
    transactions: list[tuple[str, Outcome, dict[str, Any]]] = field(default_factory=list)
    applied: list[Keepable] = field(default_factory=list)
    writes: Writes = field(default_factory=dict)

    def next_hash(self, passphrase: str, fn: str, args: Sequence[str]) -> str:
        """The hash of the next transaction that nobody signs."""
        place = f"{passphrase}/{self.sequence}/{self.close}/{len(self.transactions)}/{fn}/{'/'.join(args)}"
        return hashlib.sha256(place.encode()).hexdigest()
