"""A chain of ledgers with the Ajo contract, its token and a router: what a network and its node would keep.

Calls run at once, on what the calls before them left, and become visible when their ledger closes. The chain's time is
its ledgers' close times (unix seconds); a clock may set them, and tests move them by hand.
"""

import hashlib
import threading
from base64 import b64decode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from ajo.soroban.contract.codec import b64
from ajo.soroban.contract.functions import FUNCTIONS, decode_result, encode_args
from ajo.soroban.contract.keys import Key
from devtools.sandbox import deployment, network
from devtools.sandbox.env import CallFailed, decode
from devtools.sandbox.host import Contracts, Outcome, invoke
from devtools.sandbox.ledger.keys import has_lifetime
from devtools.sandbox.machine.machine import LedgerInfo
from devtools.sandbox.machine.storage import LedgerEntry
from devtools.sandbox.meta import shell
from devtools.sandbox.network import ENTRY_LIFETIME, FRIENDBOT_GRANT, LEDGER_SECONDS, PASSPHRASE, RETENTION
from devtools.sandbox.open_ledger import Call, OpenLedger
from devtools.sandbox.store import LedgerRange, Store, StoredEntry
from devtools.sandbox.transactions.applied import Applied
from devtools.sandbox.transactions.history import Keepable, write_applied, write_call
from devtools.sandbox.transactions.queue import Queue

FORM: Final = "2"  # of what a folder keeps: accounts are entries of their own since 2


class Chain:
    """See the module. Thread-safe.

    `clock` gives unix seconds; without one each ledger closes LEDGER_SECONDS after the last. `folder` keeps the chain
    over restarts; without one it lives in memory. `deploy=False` is for what others fill: replicas, recordings.
    `base_reserve`: stroops that an account keeps for each of its entries; the public network's are BASE_RESERVE.
    """

    def __init__(
        self,
        passphrase: str = PASSPHRASE,
        folder: Path | None = None,
        *,
        retention: int = RETENTION,
        clock: Callable[[], float] | None = None,
        genesis_close: int = 1_760_000_000,
        deploy: bool = True,
        base_reserve: int = 0,
    ) -> None:
        self.lock = threading.RLock()
        self.passphrase = passphrase
        self.retention = retention
        self.clock = clock
        self.frozen = False
        self.contracts = Contracts(
            network.contract_id(passphrase),
            network.token_id(passphrase),
            network.router_id(passphrase),
            hashes=((network.wallet_hash(passphrase), "wallet"),),
        )
        self.admin = network.admin_keypair(passphrase).public_key
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self.store = Store(None if folder is None else folder / "chain.sqlite3")
        self._known_passphrase()
        self.network_id = hashlib.sha256(passphrase.encode()).digest()
        self.base_reserve = base_reserve
        self.node_clock: int | None = None
        self.queue = Queue(self)
        self._open: OpenLedger | None = None
        self._skipped = 0
        if deploy and self.store.last() is None:
            self._genesis(genesis_close)

    @property
    def contract(self) -> str:
        return self.contracts.ajo

    @property
    def token(self) -> str:
        return self.contracts.token

    @property
    def is_empty(self) -> bool:
        """Not even a first ledger: nobody has deployed or recorded anything."""
        with self.lock:
            return self.store.last() is None

    @property
    def is_new(self) -> bool:
        """Nothing has happened yet but the deployment."""
        with self.lock:
            return (self.store.last() or (0, 0))[0] <= 2

    @property
    def latest(self) -> int:
        return self.range().last

    def range(self) -> LedgerRange:
        with self.lock:
            return self.store.range(self.retention)

    def _known_passphrase(self) -> None:
        found = self.store.meta("passphrase")
        if found not in (None, self.passphrase):
            raise ValueError(f"the folder holds a chain of another network: {found}")
        if self.store.last() is not None and self.store.meta("form") != FORM:
            raise ValueError("the folder holds a chain of an older sandbox; remove it to begin a new one")
        self.store.set_meta("form", FORM)
        self.store.set_meta("passphrase", self.passphrase)

    def closed(self, key: bytes) -> LedgerEntry | None:
        """An entry as the newest closed ledger has it, by LedgerKey bytes."""
        found = self.store.entry(key)
        return None if found is None else LedgerEntry(b64decode(found.xdr), found.modified, found.live_until)

    def current(self, key: bytes) -> LedgerEntry | None:
        """An entry as the open ledger has it."""
        if self._open is None or key not in self._open.writes:
            return self.closed(key)
        data, live_until = self._open.writes[key]
        return None if data is None else LedgerEntry(data, self._open.sequence, live_until)

    def node_time(self) -> int:
        """The node's clock, which a simulation takes for the ledger's time: the newest ledger's close, if not set."""
        return self.range().last_close if self.node_clock is None else self.node_clock

    def info(self, sequence: int, timestamp: int) -> LedgerInfo:
        return LedgerInfo(sequence, timestamp, self.network_id, self.base_reserve)

    def _genesis(self, close: int) -> None:
        """Ledger 1, empty as every network's; ledger 2 has the settings, the contracts, the Ajo contract's admin."""
        with self.store.ledger():
            self.store.add_ledgers([(1, close)])
        self.open_ledger().writes.update(deployment.first_entries(self))
        self.call(self.admin, "initialize", self.admin)
        self.close_ledger()

    # -- time and ledgers

    def open_ledger(self) -> OpenLedger:
        """The ledger that calls go into; its close time is fixed from here on."""
        with self.lock:
            if self._open is None:
                last, close = self.store.last() or (0, 0)
                planned = close + LEDGER_SECONDS if self.clock is None else max(close + 1, int(self.clock()))
                self._open = OpenLedger(last + 1, planned + self._skipped)
                self._skipped = 0
            return self._open

    def open_at(self, sequence: int, close: int) -> OpenLedger:
        """Begin a ledger of a given number and time, as a recording has it. None may be open."""
        with self.lock:
            self._open = OpenLedger(sequence, close)
            return self._open

    def advance(self, seconds: int) -> None:
        """Let time pass before the next ledger closes, without ledgers."""
        with self.lock:
            if self._open is None:
                self._skipped += seconds
            else:
                self._open.close += seconds

    def close_ledger(
        self, count: int = 1, close: int | None = None, arrange: Callable[[list[Applied]], Sequence[Keepable]] = list
    ) -> int:
        """Close the open ledger, and empty ones after it; the newest sequence. `close` sets the first one's time.

        `arrange` gives the ledger's transactions, from those that were applied, as they are to be kept.
        """
        with self.lock:
            ledger = self.open_ledger()
            if close is not None:
                ledger.close = close
            ledger.applied += arrange(self.queue.close(ledger))
            self.write_ledger(ledger)
            self._open = None
            last = ledger.sequence + count - 1
            if count > 1:
                rest = range(1, count)
                with self.store.ledger():
                    self.store.add_ledgers([(ledger.sequence + n, ledger.close + n * LEDGER_SECONDS) for n in rest])
                    self.prune(last)
            return last

    def write_ledger(self, ledger: OpenLedger) -> None:
        """Make a ledger part of the chain, all of it or nothing."""
        with self.store.ledger():
            self.store.add_ledgers([(ledger.sequence, ledger.close)])
            for position, (tx_hash, outcome, details) in enumerate(ledger.transactions, start=1):
                write_call(self.store, ledger.sequence, position, tx_hash, outcome, details)
            write_applied(self.store, ledger.sequence, len(ledger.transactions), ledger.applied)
            for key, (data, live_until) in ledger.writes.items():
                if data is None:
                    self.store.delete_entry(key)
                else:
                    self.store.put_entry(key, StoredEntry(b64(data), ledger.sequence, live_until))
            self.prune(ledger.sequence)

    def prune(self, last: int) -> None:
        self.store.prune(last + 1 - self.retention)

    def put_entry(self, sequence: int, key: bytes, xdr: str) -> None:
        """One entry as of a ledger, by LedgerKey bytes and base64 LedgerEntryData."""
        before = self.store.entry(key)
        if before is not None and before.xdr == xdr:
            return
        expires = sequence + ENTRY_LIFETIME if has_lifetime(key) else None
        live_until = expires if before is None else before.live_until
        self.store.put_entry(key, StoredEntry(xdr, sequence, live_until))

    # -- faults, for tests

    def reset(self, close: int | None = None) -> None:
        """What testnets do: the network starts again from ledger 1."""
        with self.lock:
            last = self.store.last() or (0, 0)
            with self.store.ledger():
                self.store.clear()
            self._known_passphrase()
            self._open = None
            self._genesis(last[1] if close is None else close)

    def replica(self) -> "Chain":
        """Another node of this network as it is now; it stays there (a lagging node) until `catch_up`."""
        node = Chain(self.passphrase, retention=self.retention, deploy=False, base_reserve=self.base_reserve)
        node.contracts = self.contracts
        node.catch_up(self)
        return node

    def catch_up(self, chain: "Chain") -> None:
        with chain.lock, self.lock:
            chain.store.copy_to(self.store)

    # -- calls

    def call(self, source: str, fn: str, *args: Any, on: str | None = None) -> Call:
        """Run a function of the Ajo contract in the open ledger; arguments in the contract's order, as Python values.

        Raises ValueError for arguments that the function cannot take. A contract's refusal is in the answer.
        """
        names = FUNCTIONS[fn].args
        return self.submit(source, fn, encode_args(fn, dict(zip(names, args, strict=True))), on=on)

    def submit(self, source: str, fn: str, args: Sequence[str], *, on: str | None = None) -> Call:
        """The same with base64 SCVals, of any contract that the chain runs."""
        with self.lock:
            ledger = self.open_ledger()
            target = on or self.contract
            if fn == "upgrade" and target == self.contract:
                deployment.install(self, ledger, b64decode(args[0])[8:40])
            info = self.info(ledger.sequence, ledger.close)
            outcome = invoke(self.current, self.contracts, info, target, fn, args)
            tx_hash = ledger.next_hash(self.passphrase, fn, args)
            # A failed transaction has no contract events on a network; the host's are diagnostics.
            kept = outcome if outcome.error is None else Outcome(None, outcome.error, ())
            ledger.transactions.append((tx_hash, kept, shell(source, outcome, self.contract)))
            ledger.writes.update(outcome.writes)
            decoded = target == self.contract and outcome.result is not None
            result = decode_result(fn, outcome.result) if decoded and outcome.result is not None else outcome.result
            return Call(tx_hash, result, outcome.error)

    def view(self, fn: str, *args: Any) -> Any:
        """What a view answers now, open ledger included. Raises CallFailed."""
        with self.lock:
            names = FUNCTIONS[fn].args
            raw = encode_args(fn, dict(zip(names, args, strict=True)))
            ledger = self.open_ledger()
            info = self.info(ledger.sequence, ledger.close)
            outcome = invoke(self.current, self.contracts, info, self.contract, fn, raw)
            if outcome.result is None:
                raise CallFailed(outcome.error or "trap")
            return decode_result(fn, outcome.result)

    def fund(self, holder: str, amount: int = FRIENDBOT_GRANT) -> str:
        """Give a holder XLM out of nothing, as a friendbot does; the transaction's hash. Accounts are made by it."""
        with self.lock:
            ledger = self.open_ledger()
            outcome = Outcome(None, None, (), deployment.grant(self, ledger.sequence, holder, amount))
            tx_hash = ledger.next_hash(self.passphrase, "friendbot", [holder])
            ledger.transactions.append((tx_hash, outcome, shell(holder, outcome, self.contract)))
            ledger.writes.update(outcome.writes)
            return tx_hash

    def read(self, key: Key) -> Any:
        """What the Ajo contract holds under a key now, open ledger included; None for nothing."""
        with self.lock:
            found = self.current(key.encode(self.contract))
            return None if found is None else decode(found.data)

    def balance(self, holder: str) -> int:
        """XLM of an account or a contract, in stroops."""
        with self.lock:
            return deployment.balance(self, holder)
