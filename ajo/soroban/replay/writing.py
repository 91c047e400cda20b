"""What the real server answered about writing, asked again of the sandbox over HTTP, on a chain of the same entries.

Ledgers are made of the recorded entries. A transaction whose envelope stands in the recording is sent to the sandbox
and applied by it; what it changed is compared with the entries, too.
"""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import requests

from ajo.soroban.binding.codec import b64
from ajo.soroban.replay.document import load, unequal
from ajo.soroban.replay.exchanges import ask
from ajo.soroban.replay.settled import settled
from ajo.soroban.sandbox.chain import Chain
from ajo.soroban.sandbox.host import Contracts
from ajo.soroban.sandbox.ledger.keys import code_entry
from ajo.soroban.sandbox.ledger.settings import default_entries, entry_data
from ajo.soroban.sandbox.network import BASE_RESERVE
from ajo.soroban.sandbox.sandbox import Sandbox
from ajo.soroban.sandbox.store import StoredEntry

SETTINGS: Final = "writing-settings.json"


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

    def play(self, exchange: dict[str, Any]) -> Iterator[str]:
        if "ledgers" in exchange:
            for ledger in exchange["ledgers"]:
                yield from self._close(ledger)
        elif "clock" in exchange:
            self._order("clock", seconds=exchange["clock"])
        else:
            if "core" in exchange:
                self._order("core", status=exchange["core"]["status"], body=exchange["core"]["body"])
            yield from ask(self._sandbox.url, exchange, settled)

    def _order(self, what: str, **fields: Any) -> None:
        answer = requests.post(f"{self._sandbox.url}/sandbox/{what}", json=fields, timeout=30)
        answer.raise_for_status()

    def _close(self, ledger: dict[str, Any]) -> Iterator[str]:
        """One recorded ledger: its transactions as far as they are known, then its entries as they were recorded."""
        sequence = ledger["ledger"]
        known = [self._envelopes.get(each["hash"]) for each in ledger["transactions"]]
        self._chain.open_at(sequence, ledger["close"])
        for envelope in filter(None, known):
            yield from self._send(envelope)
        self._chain.close_ledger()
        self._chain.node_clock = None
        if all(known) and known:
            yield from self._compare(ledger)
        with self._chain.lock, self._chain.store.ledger():
            if self._settings:
                for key, data in self._settings.items():
                    self._chain.store.put_entry(key, StoredEntry(b64(data), 1, None))
                self._settings = {}
            for entry in ledger.get("entries", ()):
                self._put(entry)

    def _send(self, envelope: str) -> Iterator[str]:
        request = {"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": {"transaction": envelope}}
        answer = requests.post(self._sandbox.url, json=request, timeout=30).json()
        status = answer.get("result", {}).get("status")
        yield from unequal(f"sendTransaction of a recorded transaction ({answer}): status", status, "PENDING")

    def _put(self, entry: dict[str, Any]) -> None:
        key = base64.b64decode(entry["key"])
        if entry["xdr"] is None:
            self._chain.store.delete_entry(key)
            return
        data, modified = _entry(key, entry["xdr"])
        self._chain.store.put_entry(key, StoredEntry(b64(data), modified or self._chain.latest, entry.get("live_until")))

    def _compare(self, ledger: dict[str, Any]) -> Iterator[str]:
        """What our transactions left, against what the real ones did. What payers have left depends on fees."""
        for entry in ledger.get("entries", ()):
            key = base64.b64decode(entry["key"])
            if entry["xdr"] is None or key[:4] in (bytes(4), (7).to_bytes(4, "big")):
                continue
            ours = self._chain.store.entry(key)
            data, modified = _entry(key, entry["xdr"])
            place = f"ledger {ledger['ledger']} entry {entry['key']}"
            found = None if ours is None else (ours.xdr, ours.modified, ours.live_until)
            yield from unequal(place, found, (b64(data), modified, entry.get("live_until")))


def _entry(key: bytes, xdr: str) -> tuple[bytes, int]:
    """LedgerEntryData and when it was modified; of code the recordings have no XDR."""
    try:
        return entry_data(xdr), int.from_bytes(base64.b64decode(xdr)[:4], "big")
    except ValueError:
        return code_entry(key), 0


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

