"""Replay of requests to the real RPC server: the sandbox answers them over HTTP, on the same chain."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import requests

from devtools.replay.comparison import differences
from devtools.replay.document import UnreadableFile, load
from devtools.sandbox.chain import Chain
from devtools.sandbox.env import Emitted
from devtools.sandbox.host import Outcome
from devtools.sandbox.sandbox import Sandbox
from devtools.sandbox.transactions.history import write_call

_TOO_LONG: Final = re.compile(r"<(\d+) bytes(?:: a transaction of ([\d,]+) times the letter (\w))?>\Z")
_JSON: Final = {"Content-Type": "application/json"}
# The recorded envelopes, results and metas are the recorder's placeholders, which are not compared.
_PLACEHOLDER_XDR: Final = {"envelopeXdr": "", "resultXdr": "", "resultMetaXdr": ""}


def replay_exchanges(document: dict[str, Any], path: Path) -> Iterator[str]:
    """Yield the differences. Raises UnreadableFile, or LookupError, TypeError and the like for another form of file."""
    steps = [step for step in _vectors(path, document["vectors"])["steps"] if not step.get("view")]
    chain = Chain(document["network_passphrase"], retention=int(document["retention"]), deploy=False)
    with Sandbox(chain) as sandbox:
        sandbox.rpc.friendbot_url = None
        for number, exchange in enumerate(document["exchanges"]):
            for ledger in exchange.get("ledgers", ()):
                ingest(chain, ledger, steps)
            if "ledgers" not in exchange:
                yield from (f"exchange {number} {each}" for each in ask(sandbox.url, exchange, _without_shells))


def _without_shells(method: str, answer: Any) -> Any:
    """The recorded envelopes, results and metas are shells of the recorder's own: only that they are there counts."""
    result = answer.get("result") if isinstance(answer, dict) else None
    if method != "getTransaction" or not isinstance(result, dict):
        return answer
    return {**answer, "result": {name: "" if name in _PLACEHOLDER_XDR else value for name, value in result.items()}}


def _vectors(path: Path, name: str) -> dict[str, Any]:
    """Load the vectors of a recording, from its folder or from the folder `vectors` next to that.

    A recording may bear its vectors' name, so a file without steps is not taken for them.
    """
    home = path.resolve().parent
    for found in (home / name, home.parent / "vectors" / name):
        if found.is_file() and "steps" in (document := load(found)):
            return document
    raise UnreadableFile(f"its vectors {name} are neither beside it nor in ../vectors")


def ingest(chain: Chain, ledger: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    """Add a recorded ledger, or a range of empty ones with evenly spaced close times, to the chain."""
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
            step = steps[tx["step"]]
            # A failed step's events are in it: the recording node was given them like the others.
            outcome = Outcome(step.get("result"), step.get("error"), recorded_events(step), {})
            write_call(chain.store, sequence, position, tx["hash"], outcome, _PLACEHOLDER_XDR)
            for change in step.get("changes", ()):
                chain.put_entry(sequence, base64.b64decode(change["key"]), change["xdr"])
        chain.prune(sequence)


def recorded_events(step: dict[str, Any]) -> tuple[Emitted, ...]:
    """Return the events of a step. The files do not say which are system events."""
    return tuple(Emitted(each["contract"], tuple(each["topics"]), each["value"]) for each in step.get("events", ()))


def ask(
    url: str, exchange: dict[str, Any], prepare: Callable[[str, Any], Any] = lambda _, answer: answer
) -> Iterator[str]:
    """Ask a recorded request again; what differs. `prepare`: makes an answer to a method ready to be compared."""
    if "request" in exchange:
        text, recorded = json.dumps(exchange["request"]), exchange["response"]
    else:
        text, recorded = exchange["http"]["body"], _json(exchange["text"])
    asked = exchange.get("http", {"verb": "POST", "headers": _JSON})
    too_long = _TOO_LONG.match(text)
    body = _filler(too_long) if too_long else text.encode()
    answer = requests.request(asked["verb"], url, headers=asked["headers"], data=body, timeout=30)
    place = f"{exchange.get('case') or asked['verb'] + ' ' + text[:160]}:"
    if answer.status_code != exchange["status"]:
        yield f"{place} status {answer.status_code}, recorded {exchange['status']}"
    request = _json(text)
    method = str(request.get("method")) if isinstance(request, dict) else ""
    for each in differences(request, prepare(method, _json(answer.text)), prepare(method, recorded)):
        yield f"{place} {each}"


def _filler(described: re.Match[str]) -> bytes:
    """A body that the recording only describes."""
    size, count, letter = int(described[1]), described[2], described[3]
    if count is None:
        return b" " * size
    request = {"transaction": letter * int(count.replace(",", ""))}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "simulateTransaction", "params": request}).encode()


def _json(text: str) -> Any:
    """Parse JSON; return the text itself where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text
