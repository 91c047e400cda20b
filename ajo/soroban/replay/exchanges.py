"""What the real RPC server answered, asked again of the sandbox's over HTTP, on the same chain."""

import base64
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ajo.soroban.replay.comparison import differences
from ajo.soroban.replay.document import UnreadableFile, items, load, text
from ajo.soroban.sandbox.chain import Chain
from ajo.soroban.sandbox.env import Emitted
from ajo.soroban.sandbox.ids import event_id
from ajo.soroban.sandbox.meta import contract_event
from ajo.soroban.sandbox.sandbox import Sandbox
from ajo.soroban.sandbox.store import StoredEvent, StoredTransaction

_TOO_LONG: Final = re.compile(r"<(\d+) bytes>\Z")
_JSON: Final = {"Content-Type": "application/json"}


def replay_exchanges(document: dict[str, Any], path: Path) -> tuple[int, list[str]]:
    """How many requests, and what differs. Raises UnreadableFile."""
    vectors = _vectors(path, text(document, "vectors"))
    steps = [step for step in items(vectors, "steps") if not step.get("view")]
    retention = document.get("retention")
    if not isinstance(retention, int):
        raise UnreadableFile("has no number 'retention'")
    chain = Chain(text(document, "network_passphrase"), retention=retention, deploy=False)
    found: list[str] = []
    requests = 0
    with Sandbox(chain) as sandbox:
        sandbox.rpc.friendbot_url = None
        for number, exchange in enumerate(items(document, "exchanges")):
            if "ledgers" in exchange:
                for ledger in exchange["ledgers"]:
                    ingest(chain, ledger, steps)
                continue
            requests += 1
            found += [f"exchange {number} {each}" for each in _ask(sandbox, exchange)]
    return requests, found


def _vectors(path: Path, name: str) -> dict[str, Any]:
    """The vectors of a recording: in its folder, or in the folder `vectors` next to that.

    A recording may bear its vectors' name, so a file without steps is not taken for them.
    """
    home = path.resolve().parent
    for found in (home / name, home.parent / "vectors" / name):
        if found.is_file() and found != path.resolve():
            document = load(found)
            if "steps" in document:
                return document
    raise UnreadableFile(f"its vectors {name} are neither beside it nor in ../vectors")


def ingest(chain: Chain, ledger: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    """One recorded ledger, or a range of empty ones whose close times lie evenly between the first's and the last's."""
    with chain.lock, chain.store.ledger():
        if "from" in ledger:
            first, last = ledger["from"], ledger["to"]
            start, span = ledger["close_from"], ledger["close_to"] - ledger["close_from"]
            width = max(last - first, 1)
            chain.store.add_ledgers([(n, start + (n - first) * span // width) for n in range(first, last + 1)])
            chain.prune(last)
            return
        sequence = ledger["ledger"]
        chain.store.add_ledgers([(sequence, ledger["close"])])
        for position, tx in enumerate(ledger["transactions"], start=1):
            _ingest_step(chain, sequence, position, tx["hash"], steps[tx["step"]])
        chain.prune(sequence)


def _ingest_step(chain: Chain, sequence: int, position: int, tx_hash: str, step: dict[str, Any]) -> None:
    """A step as a transaction. A failed one's events are in it: the recording node was given them like the others."""
    successful = "error" not in step
    events = [Emitted(each["contract"], tuple(each["topics"]), each["value"]) for each in step.get("events", ())]
    encoded = tuple(contract_event(event) for event in events)
    chain.store.add_transaction(StoredTransaction(tx_hash, sequence, position, successful, encoded, _SHELL))
    for index, event in enumerate(events):
        chain.store.add_event(
            StoredEvent(
                id=event_id(sequence, position, 0, index),
                ledger=sequence,
                contract=event.contract,
                type="contract",
                topics=event.topics,
                value=event.value,
                tx_hash=tx_hash,
                position=position,
                successful=successful,
            )
        )
    for change in step.get("changes", ()):
        chain.put_entry(sequence, base64.b64decode(change["key"]), change["xdr"])


# The recorded envelopes, results and metas are shells of the recorder's own, which nobody compares.
_SHELL: Final = {"envelopeXdr": "", "resultXdr": "", "resultMetaXdr": ""}


def _ask(sandbox: Sandbox, exchange: dict[str, Any]) -> Iterator[str]:
    request = exchange.get("request")
    if request is not None:
        verb, headers, body = "POST", _JSON, json.dumps(request).encode()
        recorded, shown = exchange["response"], json.dumps(request)
    else:
        asked = exchange["http"]
        verb, headers, body = asked["verb"], asked["headers"], _body(asked["body"])
        recorded, shown = exchange["text"], f"{verb} {asked['body'][:80]}"
    status, answer = _send(sandbox, verb, headers, body)
    place = f"{shown[:160]}:"
    if status != exchange["status"]:
        yield f"{place} status {status}, recorded {exchange['status']}"
    for each in differences(request if request is not None else _json(body), _json(answer), _recorded(recorded)):
        yield f"{place} {each}"


def _send(sandbox: Sandbox, verb: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*sandbox.server.server_address[:2], timeout=30)  # type: ignore[arg-type]
    try:
        connection.request(verb, "/", body or None, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _body(recorded: str) -> bytes:
    too_long = _TOO_LONG.match(recorded)
    return b" " * int(too_long[1]) if too_long else recorded.encode()


def _recorded(value: Any) -> Any:
    return _json(value.encode()) if isinstance(value, str) else value


def _json(raw: bytes) -> Any:
    """JSON where it is some, else the text itself."""
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", errors="replace")
