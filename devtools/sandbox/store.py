"""The chain's memory: ledgers, transactions, events and entries in SQLite, in a file or in memory.

A ledger is written in one SQLite transaction, so a process that dies in the middle leaves the chain at the ledger
before. Entries are those of the latest ledger, as a real node serves them.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger (sequence INTEGER PRIMARY KEY, close INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tx (
    hash TEXT PRIMARY KEY, ledger INTEGER NOT NULL, position INTEGER NOT NULL, successful INTEGER NOT NULL,
    events TEXT NOT NULL, details TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tx_ledger ON tx (ledger);
CREATE TABLE IF NOT EXISTS event (
    id TEXT PRIMARY KEY, ledger INTEGER NOT NULL, contract TEXT NOT NULL, type TEXT NOT NULL,
    topic1 TEXT, topic2 TEXT, topic3 TEXT, topic4 TEXT, topics TEXT NOT NULL, value TEXT NOT NULL,
    tx_hash TEXT NOT NULL, position INTEGER NOT NULL, successful INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS event_ledger ON event (ledger);
CREATE TABLE IF NOT EXISTS entry (
    key BLOB PRIMARY KEY, xdr TEXT NOT NULL, modified INTEGER NOT NULL, live_until INTEGER) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """`xdr` is a base64 LedgerEntryData; `live_until` None for entries that do not expire."""

    xdr: str
    modified: int
    live_until: int | None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """`id` as getEvents gives it: TOID and index. `type` is "contract" or "system"."""

    id: str
    ledger: int
    contract: str
    type: str
    topics: tuple[str, ...]
    value: str
    tx_hash: str
    position: int
    successful: bool


@dataclass(frozen=True, slots=True)
class StoredTransaction:
    """`events` are base64 ContractEvents; `details` the envelope, result and meta as getTransaction names them."""

    hash: str
    ledger: int
    position: int
    successful: bool
    events: tuple[str, ...]
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LedgerRange:
    """What the node holds: sequence numbers and close times (unix seconds)."""

    first: int
    first_close: int
    last: int
    last_close: int


class Store:
    """One chain. Not to be shared by threads without the chain's lock."""

    def __init__(self, path: Path | None = None) -> None:
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        # A ledger lost by a power cut would be a chain that went back: rather slow than that, and only once a ledger.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    @contextmanager
    def ledger(self) -> Iterator[None]:
        """Everything written inside is there afterwards, or nothing of it. Within another, it is part of that one."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()

    def clear(self) -> None:
        for table in ("meta", "ledger", "tx", "event", "entry"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - the names are the ones above

    def copy_to(self, other: "Store") -> None:
        self._db.backup(other._db)

    def meta(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def add_ledgers(self, ledgers: Iterable[tuple[int, int]]) -> None:
        self._db.executemany("INSERT INTO ledger VALUES (?, ?)", ledgers)

    def range(self, retention: int) -> LedgerRange:
        """The last `retention` ledgers of those stored. The chain has at least one."""
        last, last_close = self._db.execute("SELECT * FROM ledger ORDER BY sequence DESC LIMIT 1").fetchone()
        oldest = max(last + 1 - retention, 0)
        query = "SELECT * FROM ledger WHERE sequence >= ? ORDER BY sequence LIMIT 1"
        first, first_close = self._db.execute(query, (oldest,)).fetchone()
        return LedgerRange(first, first_close, last, last_close)

    def last(self) -> tuple[int, int] | None:
        """Sequence and close time of the newest ledger; None for a chain that has none yet."""
        row = self._db.execute("SELECT * FROM ledger ORDER BY sequence DESC LIMIT 1").fetchone()
        return None if row is None else (int(row[0]), int(row[1]))

    def close_times(self, sequences: set[int]) -> dict[int, int]:
        rows = (self._db.execute("SELECT * FROM ledger WHERE sequence = ?", (each,)).fetchone() for each in sequences)
        return {int(row[0]): int(row[1]) for row in rows if row is not None}

    def prune(self, first: int) -> None:
        """Forget ledgers before this one, with their transactions and events."""
        self._db.execute("DELETE FROM ledger WHERE sequence < ?", (first,))
        self._db.execute("DELETE FROM tx WHERE ledger < ?", (first,))
        self._db.execute("DELETE FROM event WHERE ledger < ?", (first,))

    def put_entry(self, key: bytes, entry: StoredEntry) -> None:
        row = (key, entry.xdr, entry.modified, entry.live_until)
        self._db.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?)", row)

    def entry(self, key: bytes) -> StoredEntry | None:
        row = self._db.execute("SELECT xdr, modified, live_until FROM entry WHERE key = ?", (key,)).fetchone()
        return None if row is None else StoredEntry(*row)

    def delete_entry(self, key: bytes) -> None:
        self._db.execute("DELETE FROM entry WHERE key = ?", (key,))

    def entries(self) -> Iterator[tuple[bytes, str]]:
        """Every entry there is: LedgerKey bytes and base64 LedgerEntryData."""
        yield from self._db.execute("SELECT key, xdr FROM entry")

    def add_transaction(self, tx: StoredTransaction) -> None:
        row = (tx.hash, tx.ledger, tx.position, tx.successful, json.dumps(tx.events), json.dumps(tx.details))
        self._db.execute("INSERT INTO tx VALUES (?, ?, ?, ?, ?, ?)", row)

    def transaction(self, tx_hash: str) -> StoredTransaction | None:
        row = self._db.execute("SELECT * FROM tx WHERE hash = ?", (tx_hash,)).fetchone()
        if row is None:
            return None
        return StoredTransaction(row[0], row[1], row[2], bool(row[3]), tuple(json.loads(row[4])), json.loads(row[5]))

    def add_event(self, event: StoredEvent) -> None:
        first = (*event.topics, None, None, None, None)[:4]
        head = (event.id, event.ledger, event.contract, event.type, *first, json.dumps(event.topics), event.value)
        row = (*head, event.tx_hash, event.position, event.successful)
        self._db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def events(self, start: str, end: str, where: str = "", values: Sequence[str] = ()) -> Iterator[StoredEvent]:
        """Events from one id to before another, in order. `where` narrows them; its text is never a client's."""
        columns = "id, ledger, contract, type, topics, value, tx_hash, position, successful"
        query = f"SELECT {columns} FROM event WHERE id >= ? AND id < ? {where} ORDER BY id"  # noqa: S608
        for row in self._db.execute(query, (start, end, *values)):
            place, ledger, contract, kind, topics, value, tx_hash, position, successful = row
            listed = tuple(json.loads(topics))
            yield StoredEvent(place, ledger, contract, kind, listed, value, tx_hash, position, bool(successful))
