"""Transaction meta of version 4: what a transaction changed, returned, cost and told."""

import hashlib
import struct
from dataclasses import dataclass, field
from typing import Final

from ajo.soroban.contract.codec import ADDRESS, I128, SYMBOL
from devtools.sandbox.ledger.keys import has_lifetime
from devtools.sandbox.machine.events import CONTRACT, Told
from devtools.sandbox.machine.storage import LedgerEntry, Storage

_CREATED, _UPDATED, _REMOVED, _STATE, _RESTORED = range(5)
_TTL: Final = (9).to_bytes(4, "big")  # the ledger entry that says until when another lives
BEFORE_ALL, AFTER_ALL = 0, 2  # when a transaction's own events are told


@dataclass(slots=True)
class Meta:
    """Pieces of XDR, put together by `encode`. `charged`: not refundable, refundable, the rent in it; in stroops."""

    before: bytes = bytes(4)
    operations: bytes = bytes(4)
    charged: tuple[int, int, int] | None = None
    result: bytes | None = None
    fee_events: list[tuple[int, Told]] = field(default_factory=list)
    diagnostics: list[bytes] = field(default_factory=list)

    def encode(self) -> bytes:
        """TransactionMeta."""
        head = struct.pack(">ii", 4, 0) + self.before + self.operations + bytes(4)
        events = b"".join(struct.pack(">i", stage) + event.encode() for stage, event in self.fee_events)
        told = struct.pack(">I", len(self.fee_events)) + events
        diagnostics = struct.pack(">I", len(self.diagnostics)) + b"".join(self.diagnostics)
        return head + self._soroban() + told + diagnostics

    def _soroban(self) -> bytes:
        if self.charged is None:
            return bytes(4)
        fees = struct.pack(">Iiiqqq", 1, 1, 0, *self.charged)
        return fees + (bytes(4) if self.result is None else struct.pack(">I", 1) + self.result)


def entry(data: bytes, modified: int) -> bytes:
    """LedgerEntry without a sponsor."""
    return modified.to_bytes(4, "big") + data + bytes(4)


def change(kind: int, body: bytes) -> bytes:
    return kind.to_bytes(4, "big") + body


def changes(items: list[bytes]) -> bytes:
    return struct.pack(">I", len(items)) + b"".join(items)


def replaced(before: LedgerEntry, after: bytes, ledger: int) -> bytes:
    """An entry that this ledger changes, and nothing else."""
    return changes([change(_STATE, entry(before.data, before.modified)), change(_UPDATED, entry(after, ledger))])


def operation(storage: Storage, events: list[Told]) -> bytes:
    """The one operation's part: changes of all that could be written, and the contracts' events."""
    items: list[bytes] = []
    keys = storage.footprint.keys
    for key in sorted_by_footprint(storage):
        if keys[key]:
            items += _entry_changes(storage, key)
        items += _life_changes(storage, key)
    told = struct.pack(">I", len(events)) + b"".join(each.encode() for each in events)
    return struct.pack(">Ii", 1, 0) + changes(items) + told


def sorted_by_footprint(storage: Storage) -> list[bytes]:
    """Those that may be written, in the transaction's order, then the others, whose lives may have been lengthened."""
    keys = storage.footprint.keys
    return [key for key, write in keys.items() if write] + [key for key, write in keys.items() if not write]


def _entry_changes(storage: Storage, key: bytes) -> list[bytes]:
    before, after = storage.before(key), storage.after(key)
    if before is None:
        return [] if after is None else [change(_CREATED, entry(after, storage.ledger))]
    was = change(_RESTORED if key in storage.restored else _STATE, entry(before.data, before.modified))
    return [was, change(_REMOVED, key) if after is None else change(_UPDATED, entry(after, storage.ledger))]


def _life_changes(storage: Storage, key: bytes) -> list[bytes]:
    if not has_lifetime(key) or storage.after(key) is None:
        return []
    before, lives = storage.before(key), storage.live_until(key) or 0
    life = _life(key, lives, storage.ledger)
    if before is None or key in storage.restored:
        return [change(_CREATED, life)]
    if lives == before.live_until:
        return []
    return [change(_STATE, _life(key, before.live_until or 0, before.modified)), change(_UPDATED, life)]


def _life(key: bytes, until: int, modified: int) -> bytes:
    return entry(_TTL + hashlib.sha256(key).digest() + until.to_bytes(4, "big"), modified)


def fee_event(asset: str, account: str, amount: int) -> Told:
    """A charge, or, with less than nothing, what is given back."""
    return Told(CONTRACT, asset, (SYMBOL.encode("fee"), ADDRESS.encode(account)), I128.encode(amount))
