"""What the real server answered about writing, asked again of the sandbox over HTTP, on a chain of the same entries.

Ledgers are made of the recorded entries. A transaction whose envelope stands in the recording is sent to the sandbox
and applied by it; what it changed is compared with the entries, too.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import requests

from ajo.soroban.contract.codec import SYMBOL, b64
from ajo.soroban.contract.functions import FUNCTIONS
from ajo.soroban.contract.keys import CONTRACT_DATA
from devtools.replay.document import load, unequal
from devtools.replay.exchanges import ask, recorded_events
from devtools.replay.settled import settled
from devtools.sandbox.chain import Chain
from devtools.sandbox.host import Contracts, invoke
from devtools.sandbox.ledger.keys import code_entry, is_temporary
from devtools.sandbox.ledger.settings import default_entries, entry_data, settings
from devtools.sandbox.machine.events import CONTRACT, SYSTEM, Told
from devtools.sandbox.network import BASE_RESERVE
from devtools.sandbox.sandbox import Sandbox
from devtools.sandbox.store import StoredEntry
from devtools.sandbox.transactions.applied import Applied
from devtools.sandbox.transactions.history import Keepable
from devtools.sandbox.transactions.meta import AFTER_ALL, BEFORE_ALL, fee_event

SETTINGS: Final = "writing-settings.json"
_UPGRADED: Final = SYMBOL.to_xdr("executable_update")


def replay_writing(document: dict[str, Any], path: Path) -> Iterator[str]:
    """What differs. Raises what dicts and lists raise that are of another form."""
    chain = Chain(
        document["network_passphrase"], retention=int(document["retention"]), deploy=False, base_reserve=BASE_RESERVE
    )
    chain.contracts = Contracts(
        document["contract"], document["tokens"]["native"], document["router"], frozenset((document["wallet"],))
    )
    with Sandbox(chain) as sandbox:
        recording = _Recording(sandbox, document, path)
        for number, exchange in enumerate(document["exchanges"]):
            yield from (f"exchange {number} {each}" for each in recording.play(exchange))


class _Recording:
    def __init__(self, sandbox: Sandbox, document: dict[str, Any], path: Path) -> None:
        self._sandbox = sandbox
        self._chain = sandbox.chain
        self._envelopes = _envelopes(document)
        self._settings = _settings(path)
        self._steps: list[dict[str, Any]] = document["steps"]

    def play(self, exchange: dict[str, Any]) -> Iterator[str]:
        if "ledgers" in exchange:
            for ledger in exchange["ledgers"]:
                yield from self._close(ledger)
        elif "clock" in exchange:
            self._order("clock", seconds=exchange["clock"])
        else:
            # Where none is recorded, the stand-in for the core node took whatever came.
            answer = exchange.get("core", {"status": 200, "body": '{"status":"PENDING"}'})
            for _ in range(_text(exchange).count('"sendTransaction"')):
                self._order("core", status=answer["status"], body=answer["body"])
            yield from ask(self._sandbox.url, exchange, settled)
            self._sandbox.rpc.core.ordered.clear()

    def _order(self, what: str, **fields: Any) -> None:
        answer = requests.post(f"{self._sandbox.url}/sandbox/{what}", json=fields, timeout=30)
        answer.raise_for_status()

    def _close(self, ledger: dict[str, Any]) -> Iterator[str]:
        """One recorded ledger: its transactions as far as they are known, then its entries as they were recorded."""
        sequence = ledger["ledger"]
        known = [self._envelopes.get(each["hash"]) for each in ledger["transactions"]]
        self._chain.open_at(sequence, ledger["close"])
        for each, envelope in zip(ledger["transactions"], known, strict=True):
            if envelope is None:
                yield from self._run(self._steps[each["step"]])
            else:
                yield from self._send(envelope)
        self._chain.close_ledger(arrange=lambda applied: self._in_order(ledger["transactions"], applied))
        self._chain.node_clock = None
        yield from self._compare(ledger)
        with self._chain.lock, self._chain.store.ledger():
            if self._settings:
                for key, data in self._settings.items():
                    self._chain.store.put_entry(key, StoredEntry(b64(data), 1, None))
                self._settings = {}
            for entry in ledger.get("entries", ()):
                self._put(entry)

    def _run(self, step: dict[str, Any]) -> Iterator[str]:
        """A transaction whose envelope nobody asked for: its call, with all authorization granted.

        Of some the recording does not say which contract was called: their entries are taken as they are.
        """
        if "error" in step or "code" in step or not ("on" in step or step["fn"] in FUNCTIONS):
            return
        chain = self._chain
        ledger = chain.open_ledger()
        info = chain.info(ledger.sequence, ledger.close)
        outcome = invoke(chain.current, chain.contracts, info, step.get("on", chain.contract), step["fn"], step["args"])
        place = f"step {step['fn']}"
        yield from unequal(f"{place}: error", outcome.error, None)
        yield from unequal(f"{place}: result", outcome.result, step.get("result"))
        told = tuple(replace(each, system=False) for each in outcome.events)
        yield from unequal(f"{place}: events", told, recorded_events(step))
        ledger.writes.update(outcome.writes)

    def _in_order(self, transactions: list[dict[str, Any]], applied: list[Applied]) -> list[Keepable]:
        """As the recorded ledger has them: those that the sandbox applied, and what is recorded of the others."""
        ours = {each.hashes[0]: each for each in applied}
        token = self._chain.token
        return [
            ours.get(each["hash"]) or Recorded(each["hash"], self._steps[each["step"]], token) for each in transactions
        ]

    def _send(self, envelope: str) -> Iterator[str]:
        request: Any = {"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": {"transaction": envelope}}
        answer = requests.post(self._sandbox.url, json=request, timeout=30).json()
        status = answer.get("result", {}).get("status")
        yield from unequal(f"sendTransaction of a recorded transaction ({answer}): status", status, "PENDING")

    def _put(self, entry: dict[str, Any]) -> None:
        key = base64.b64decode(entry["key"])
        if entry["xdr"] is None:
            self._chain.store.delete_entry(key)
            return
        data, modified = _entry(key, entry["xdr"])
        self._chain.store.put_entry(
            key, StoredEntry(b64(data), modified or self._chain.latest, entry.get("live_until"))
        )

    def _compare(self, ledger: dict[str, Any]) -> Iterator[str]:
        """What our transactions left of contracts' data, against what the real ones did; nonces aside."""
        for entry in ledger.get("entries", ()) if ledger["transactions"] else ():
            key = base64.b64decode(entry["key"])
            if entry["xdr"] is None or not key.startswith(CONTRACT_DATA) or is_temporary(key):
                continue
            ours = self._chain.store.entry(key)
            data, modified = _entry(key, entry["xdr"])
            place = f"ledger {ledger['ledger']} entry {entry['key']}"
            found = None if ours is None else (ours.xdr, ours.modified, ours.live_until)
            yield from unequal(place, found, (b64(data), modified, entry.get("live_until")))


@dataclass(frozen=True, slots=True)
class Recorded:
    """A transaction as its step tells it. Of its fee only that it was charged: the amounts are set aside."""

    hash: str
    step: dict[str, Any]
    token: str

    @property
    def hashes(self) -> list[str]:
        return [self.hash]

    @property
    def is_successful(self) -> bool:
        return "error" not in self.step and "code" not in self.step

    @property
    def events(self) -> list[Told]:
        found = recorded_events(self.step) if self.is_successful else ()
        return [
            Told(
                SYSTEM if each.topics[0] == _UPGRADED else CONTRACT,
                each.contract,
                tuple(base64.b64decode(topic) for topic in each.topics),
                base64.b64decode(each.value),
            )
            for each in found
        ]

    @property
    def fee_events(self) -> list[tuple[int, Told]]:
        source = self.step["source"]
        return [(BEFORE_ALL, fee_event(self.token, source, 1)), (AFTER_ALL, fee_event(self.token, source, -1))]

    def details(self) -> dict[str, Any]:
        return {}


def _entry(key: bytes, xdr: str) -> tuple[bytes, int]:
    """LedgerEntryData and when it was modified; of code the recordings have no XDR."""
    try:
        return entry_data(xdr), int.from_bytes(base64.b64decode(xdr)[:4], "big")
    except ValueError:
        return code_entry(key), 0


def _text(exchange: dict[str, Any]) -> str:
    return json.dumps(exchange["request"]) if "request" in exchange else str(exchange["http"]["body"])


def _envelopes(document: dict[str, Any]) -> dict[str, str]:
    """Envelopes by their transaction's hash, as far as getTransaction told them."""
    found = {}
    for exchange in document["exchanges"]:
        result = exchange.get("response", {}).get("result") if "response" in exchange else None
        if isinstance(result, dict) and "envelopeXdr" in result:
            found[result["txHash"].lower()] = result["envelopeXdr"]
    return found


def _settings(path: Path) -> dict[bytes, bytes]:
    """The settings of the recording, else those that the sandbox has."""
    beside = path.resolve().parent / SETTINGS
    if not beside.is_file():
        return default_entries()
    return {base64.b64decode(each["key"]): entry_data(each["xdr"]) for each in load(beside)["entries"]}


def replay_settings(document: dict[str, Any], path: Path) -> Iterator[str]:
    """The network's settings, read as the sandbox reads them, and asked of a chain of them over HTTP."""
    chain = Chain(deploy=False)
    entries = [(each["key"], entry_data(each["xdr"])) for each in document["entries"]]
    with chain.store.ledger():
        chain.store.add_ledgers([(1, 0)])
        for key, data in entries:
            chain.store.put_entry(base64.b64decode(key), StoredEntry(b64(data), 1, None))
    settings(chain.closed)
    with Sandbox(chain) as sandbox:
        request: Any = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "getLedgerEntries",
            "params": {"keys": [key for key, _ in entries]},
        }
        answer = requests.post(sandbox.url, json=request, timeout=30).json()
        found = {each["key"]: each["xdr"] for each in answer["result"]["entries"]}
    for key, data in entries:
        yield from unequal(f"setting {key}", found.get(key), b64(data))
