"""A resource that is read through the cache, and the watermark that counts."""

import time

from ajo import cache
from ajo.cache import Document, Found, Freshness

DATASET_ID = "a" * 32


def fresh(ledger: int, chain_advanced_at: float | None = None) -> Freshness:
    """Return the freshness of tables at this ledger, heard now unless told otherwise (Unix seconds)."""
    return Freshness(DATASET_ID, ledger, time.time() if chain_advanced_at is None else chain_advanced_at)


def document(revision: int, synced_ledger: int = 10) -> Document:
    """Return a body of this revision."""
    return Document(f'{{"revision":{revision}}}'.encode(), revision, synced_ledger)


class Source:
    """A resource in tables that a test changes by hand. `asked` lists what was read: rows or chain."""

    def __init__(self, rows: Document | None, ledger: int = 10) -> None:
        self.rows, self.ledger = rows, ledger
        self.chain: Document | None = None
        self.asked: list[str] = []
        self.exists = True
        self.read_at = 10

    def read(self, min_ledger: int = 0) -> cache.Answer:
        return cache.fetch(
            "thing:1",
            from_rows=self.from_rows,
            from_chain=self.from_chain,
            exists=lambda: self.exists,
            min_ledger=min_ledger,
        )

    def from_rows(self) -> Found | None:
        self.asked.append("rows")
        return Found(self.rows, fresh(self.ledger), "postgresql") if self.rows else None

    def from_chain(self) -> int:
        self.asked.append("chain")
        self.rows = self.chain or self.rows
        return self.read_at


def stored_watermark() -> cache.Watermark:
    """Return the watermark in Redis. Asserts that there is one."""
    found = cache.current_watermark()
    assert found is not None
    return found
