"""A chain of ledgers with the Ajo contract, its token and a router: what a network and its node would keep.

Calls run at once, on what the calls before them left, and become visible when their ledger closes. The chain's time is
its ledgers' close times (unix seconds); a clock may set them, and tests move them by hand.
"""

import hashlib
import threading
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ajo.soroban.contract.codec import b64
from ajo.soroban.contract.entries import Balance, Instance
from ajo.soroban.contract.functions import FUNCTIONS, decode_result, encode_args
from ajo.soroban.contract.keys import BalanceKey, InstanceKey, Key, code_key
from devtools.sandbox import network, token
from devtools.sandbox.env import CallFailed, Failure, State, StateKey, encode
from devtools.sandbox.host import Contracts, Outcome, invoke
from devtools.sandbox.ids import event_id
from devtools.sandbox.meta import contract_event, shell
from devtools.sandbox.network import ENTRY_LIFETIME, FRIENDBOT_GRANT, LEDGER_SECONDS, PASSPHRASE, RETENTION
from devtools.sandbox.store import LedgerRange, Store, StoredEntry, StoredEvent, StoredTransaction


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
    writes: dict[StateKey, Any] = field(default_factory=dict)


class Chain:
    """See the module. Thread-safe.

    `clock` gives unix seconds; without one each ledger closes LEDGER_SECONDS after the last. `folder` keeps the chain
    over restarts; without one it lives in memory. `deploy=False` is for what others fill: replicas, recordings.
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
    ) -> None:
        self.lock = threading.RLock()
        self.passphrase = passphrase
        self.retention = retention
        self.clock = clock
        self.frozen = False
        self.contracts = Contracts(
            network.contract_id(passphrase), network.token_id(passphrase), network.router_id(passphrase)
        )
        self.admin = network.admin_keypair(passphrase).public_key
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self.store = Store(None if folder is None else folder / "chain.sqlite3")
        self._known_passphrase()
        self._state = State(self._load)
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
        self.store.set_meta("passphrase", self.passphrase)

    def _load(self, key: bytes) -> str | None:
        found = self.store.entry(key)
        return None if found is None else found.xdr

    def _genesis(self, close: int) -> None:
        """Ledger 1, empty as every network's; ledger 2 has both contracts, the Ajo contract with its admin."""
        with self.store.ledger():
            self.store.add_ledgers([(1, close)])
        wasm = network.derived(self.passphrase, "wasm").hex()
        first: dict[StateKey, Any] = {
            (self.contract, InstanceKey()): Instance(wasm_hash=wasm),
            (self.token, InstanceKey()): token.instance(),
        }
        self.open_ledger().writes.update(first)
        self._state.apply(first)
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

    def advance(self, seconds: int) -> None:
        """Let time pass before the next ledger closes, without ledgers."""
        with self.lock:
            if self._open is None:
                self._skipped += seconds
            else:
                self._open.close += seconds

    def close_ledger(self, count: int = 1, close: int | None = None) -> int:
        """Close the open ledger, and empty ones after it; the newest sequence. `close` sets the first one's time."""
        with self.lock:
            ledger = self.open_ledger()
            if close is not None:
                ledger.close = close
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
                self.write_transaction(ledger.sequence, position, tx_hash, outcome, details)
            for (owner, key), value in ledger.writes.items():
                self._write_entry(ledger.sequence, owner, key, value)
            self.prune(ledger.sequence)

    def prune(self, last: int) -> None:
        self.store.prune(last + 1 - self.retention)

    def write_transaction(
        self, sequence: int, position: int, tx_hash: str, outcome: Outcome, details: dict[str, Any]
    ) -> None:
        successful = outcome.error is None
        events = tuple(contract_event(event) for event in outcome.events)
        self.store.add_transaction(StoredTransaction(tx_hash, sequence, position, successful, events, details))
        for index, event in enumerate(outcome.events):
            kind = "system" if event.system else "contract"
            place = event_id(sequence, position, 0, index)
            stored = StoredEvent(
                place, sequence, event.contract, kind, event.topics, event.value, tx_hash, position, successful
            )
            self.store.add_event(stored)

    def _write_entry(self, sequence: int, owner: str, key: Key, value: Any) -> None:
        """An entry that exists keeps its life: writing never extends it."""
        raw, entry = encode(owner, key, value)
        self.put_entry(sequence, raw, b64(entry))
        if isinstance(value, Instance) and value.wasm_hash:  # its code is installed with it, here without bytes
            code = b64decode(code_key(value.wasm_hash))
            self.put_entry(sequence, code, b64(code[:4] + bytes(4) + code[4:] + bytes(4)))

    def put_entry(self, sequence: int, key: bytes, xdr: str) -> None:
        """One entry as of a ledger, by LedgerKey bytes and base64 LedgerEntryData."""
        before = self.store.entry(key)
        if before is not None and before.xdr == xdr:
            return
        live_until = sequence + ENTRY_LIFETIME if before is None else before.live_until
        self.store.put_entry(key, StoredEntry(xdr, sequence, live_until))

    # -- faults, for tests

    def reset(self, close: int | None = None) -> None:
        """What testnets do: the network starts again from ledger 1."""
        with self.lock:
            last = self.store.last() or (0, 0)
            with self.store.ledger():
                self.store.clear()
                self.store.set_meta("passphrase", self.passphrase)
            self._state.forget()
            self._open = None
            self._genesis(last[1] if close is None else close)

    def replica(self) -> "Chain":
        """Another node of this network as it is now; it stays there (a lagging node) until `catch_up`."""
        node = Chain(self.passphrase, retention=self.retention, deploy=False)
        node.catch_up(self)
        return node

    def catch_up(self, chain: "Chain") -> None:
        with chain.lock, self.lock:
            chain.store.copy_to(self.store)
            self._state.forget()

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
            outcome = invoke(self._state, self.contracts, ledger.close, target, fn, args)
            tx_hash = self._hash(ledger, fn, args)
            # A failed transaction has no contract events on a network; the host's are diagnostics.
            kept = outcome if outcome.error is None else Outcome(None, outcome.error, (), {})
            ledger.transactions.append((tx_hash, kept, shell(source, outcome, self.contract)))
            ledger.writes.update(outcome.writes)
            self._state.apply(outcome.writes)
            decoded = target == self.contract and outcome.result is not None
            result = decode_result(fn, outcome.result) if decoded and outcome.result is not None else outcome.result
            return Call(tx_hash, result, outcome.error)

    def view(self, fn: str, *args: Any) -> Any:
        """What a view answers now, open ledger included. Raises CallFailed."""
        with self.lock:
            names = FUNCTIONS[fn].args
            raw = encode_args(fn, dict(zip(names, args, strict=True)))
            close = self.open_ledger().close
            outcome = invoke(self._state, self.contracts, close, self.contract, fn, raw, view=True)
            if outcome.result is None:
                raise CallFailed(outcome.error or "trap")
            return decode_result(fn, outcome.result)

    def fund(self, holder: str, amount: int = FRIENDBOT_GRANT) -> str:
        """Give a holder tokens out of nothing, as a friendbot does; the transaction's hash."""
        with self.lock:
            ledger = self.open_ledger()
            key = (self.token, BalanceKey(holder))
            before: Balance = self._state.get(*key) or token.held(0)
            writes: dict[StateKey, Any] = {key: token.held(before.amount + amount)}
            outcome = Outcome(None, None, (), writes)
            tx_hash = self._hash(ledger, "friendbot", [holder])
            ledger.transactions.append((tx_hash, outcome, shell(holder, outcome, self.contract)))
            ledger.writes.update(writes)
            self._state.apply(writes)
            return tx_hash

    def read(self, key: Key) -> Any:
        """What the Ajo contract holds under a key now, open ledger included; None for nothing."""
        with self.lock:
            return self._state.get(self.contract, key)

    def balance(self, holder: str) -> int:
        with self.lock:
            found: Balance | None = self._state.get(self.token, BalanceKey(holder))
            return 0 if found is None else found.amount

    def _hash(self, ledger: OpenLedger, fn: str, args: Sequence[str]) -> str:
        place = f"{self.passphrase}/{ledger.sequence}/{ledger.close}/{len(ledger.transactions)}/{fn}/{'/'.join(args)}"
        return hashlib.sha256(place.encode()).hexdigest()
