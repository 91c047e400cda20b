"""The entries that a call sees: loaded from a ledger, changed in memory, each access noted or checked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from devtools.sandbox.ledger.keys import has_lifetime, is_temporary
from devtools.sandbox.machine.errors import HostError

MAX_LIFETIME: Final = 3_110_400  # ledgers


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """An entry as a ledger holds it: LedgerEntryData, when it was last modified, until when it lives."""

    data: bytes
    modified: int
    live_until: int | None = None


Source = Callable[[bytes], LedgerEntry | None]


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How many ledgers a new entry lives, at least and at most."""

    persistent: int = 2_073_600
    temporary: int = 17_280
    most: int = MAX_LIFETIME


@dataclass(slots=True)
class Footprint:
    """The keys that a call may touch, and whether it may write them. `open`: it is being recorded, all is allowed."""

    open: bool = True
    keys: dict[bytes, bool] = field(default_factory=dict)

    def access(self, key: bytes, *, write: bool) -> None:
        """Raises HostError for what is outside."""
        if self.open:
            self.keys[key] = self.keys.get(key, False) or write
        elif write > self.keys.get(key, False) or key not in self.keys:
            raise HostError("Storage", "ExceededLimit")


Watermark = tuple[dict[bytes, bytes | None], dict[bytes, int], set[bytes]]


class Storage:
    """Reads and writes for one transaction at one ledger. `restorable`: archived entries that it may bring back."""

    def __init__(
        self,
        source: Source,
        ledger: int,
        footprint: Footprint | None = None,
        restorable: frozenset[bytes] = frozenset(),
        lifetimes: Lifetimes | None = None,
    ) -> None:
        self.source: Source = cache(source)  # what it gives does not change while a transaction runs
        self.ledger = ledger
        self.footprint = footprint or Footprint()
        self.restorable = restorable
        self.lifetimes = lifetimes or Lifetimes()
        self.restored: set[bytes] = set()
        self.meter: Callable[[str, int], None] = lambda what, times: None
        self._seen: set[bytes] = set()
        self._values: dict[bytes, bytes | None] = {}
        self._written: set[bytes] = set()
        self._lives: dict[bytes, int] = {}

    def get(self, key: bytes) -> bytes | None:
        """LedgerEntryData, or None. Raises HostError for a key outside the footprint."""
        self.footprint.access(key, write=False)
        found = self._current(key)
        self._count(key, found)
        return found

    def put(self, key: bytes, data: bytes) -> None:
        self.footprint.access(key, write=True)
        if self._current(key) is None and has_lifetime(key):
            least = self.lifetimes.temporary if is_temporary(key) else self.lifetimes.persistent
            self._lives[key] = self.ledger + least - 1
        self._count(key, None)
        self.meter("write", 1)
        self.meter("byte", len(data))
        self._values[key] = data
        self._written.add(key)

    def _count(self, key: bytes, found: bytes | None) -> None:
        """Loading an entry costs something the first time; looking at it costs no more than the code that looks."""
        if key not in self._seen:
            self._seen.add(key)
            self.meter("load", 1)
            self.meter("byte", len(found or b""))

    def delete(self, key: bytes) -> None:
        self.footprint.access(key, write=True)
        self._values[key] = None
        self._written.add(key)

    def extend(self, key: bytes, threshold: int, lifetime: int) -> None:
        """Let an entry live so many ledgers from now, if it would live fewer than a threshold."""
        live = self.live_until(key)
        if live is not None and live - self.ledger <= threshold:
            self._lives[key] = max(live, self.ledger + lifetime)

    def live_until(self, key: bytes) -> int | None:
        if key in self._lives:
            return self._lives[key]
        held = self.source(key)
        return None if held is None else held.live_until

    def set_live_until(self, key: bytes, ledger: int) -> None:
        self._lives[key] = max(ledger, self._lives.get(key, 0))

    def _current(self, key: bytes) -> bytes | None:
        if key in self._values:
            return self._values[key]
        held = self.source(key)
        if held is None:
            return None
        if held.live_until is not None and held.live_until < self.ledger:
            return self._archived(key, held)
        return held.data

    def _archived(self, key: bytes, held: LedgerEntry) -> bytes | None:
        """A temporary entry is gone, a persistent one is brought back: to write it takes the right to write."""
        if is_temporary(key):
            return None
        if not self.footprint.open and key not in self.restorable:
            raise HostError("Storage", "InternalError")
        if self.footprint.open:
            self.footprint.access(key, write=True)
        self.restored.add(key)
        self._values[key] = held.data
        self._lives[key] = self.ledger + self.lifetimes.persistent - 1
        return held.data

    # -- frames: a call that fails leaves nothing

    def mark(self) -> Watermark:
        return dict(self._values), dict(self._lives), set(self._written)

    def back_to(self, mark: Watermark) -> None:
        self._values, self._lives, self._written = dict(mark[0]), dict(mark[1]), set(mark[2])

    # -- what came of it

    def before(self, key: bytes) -> LedgerEntry | None:
        """The entry as it was, archived or not; None too for a temporary one whose time is over."""
        held = self.source(key)
        gone = held is not None and held.live_until is not None and held.live_until < self.ledger
        return None if gone and is_temporary(key) else held

    def after(self, key: bytes) -> bytes | None:
        if key in self._values:
            return self._values[key]
        held = self.before(key)
        return None if held is None else held.data

    def changes(self) -> dict[bytes, tuple[bytes | None, int | None]]:
        """What is written, if only as it was, and what lives longer.

        LedgerEntryData (None: removed), and until when it lives.
        """
        found: dict[bytes, tuple[bytes | None, int | None]] = {}
        for key in self._values.keys() | self._lives.keys():
            held = self.source(key)
            data = self.after(key)
            live = self.live_until(key)
            is_same = held is not None and (held.data, held.live_until) == (data, live)
            if (held is None and data is None) or (is_same and key not in self._written):
                continue
            found[key] = (data, live)
        return found
