"""What the real RPC server answered, asked again of the sandbox's over HTTP, on the same chain."""

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
# The recorded envelopes, results and metas are shells of the recorder's own, which nobody compares.
_SHELL: Final = {"envelopeXdr": "", "resultXdr": "", "resultMetaXdr": ""}


def replay_exchanges(document: dict[str, Any], path: Path) -> Iterator[str]:
    """What differs. Raises UnreadableFile, and what dicts and lists raise that are of another form."""
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
    return {**answer, "result": {name: "" if name in _SHELL else value for name, value in result.items()}}


def _vectors(path: Path, name: str) -> dict[str, Any]:
    """The vectors of a recording: in its folder, or in the folder `vectors` next to that.

    A recording may bear its vectors' name, so a file without steps is not taken for them.
    """
    home = path.resolve().parent
    for found in (home / name, home.parent / "vectors" / name):
        if found.is_file() and "steps" in (document := load(found)):
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
            step = steps[tx["step"]]
            # A failed step's events are in it: the recording node was given them like the others.
            outcome = Outcome(step.get("result"), step.get("error"), recorded_events(step), {})
            write_call(chain.store, sequence, position, tx["hash"], outcome, _SHELL)
            for change in step.get("changes", ()):
                chain.put_entry(sequence, base64.b64decode(change["key"]), change["xdr"])
        chain.prune(sequence)


def recorded_events(step: dict[str, Any]) -> tuple[Emitted, ...]:
    """The files do not say of an event whether it is a system one."""
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
    """JSON where it is some, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
