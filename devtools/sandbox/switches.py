"""Orders over HTTP, for tests and app developers: `POST /sandbox/NAME` with a JSON object.

What a network, its nodes and its people can do to a client, at will; `GET /sandbox/` says the names and their fields.
"""

import base64
from collections.abc import Callable
from typing import Any, Final

from stellar_sdk import Asset

from ajo.soroban.contract.codec import encode_address
from devtools.sandbox import gojson, people
from devtools.sandbox.host import Writes
from devtools.sandbox.jsonrpc import Answer
from devtools.sandbox.ledger.keys import has_lifetime
from devtools.sandbox.network import ENTRY_LIFETIME
from devtools.sandbox.rpc import Fault, Rpc
from devtools.sandbox.transactions import core


class BadOrder(ValueError):
    """A field that is missing, unknown or of no use; the message names it."""


class Order:
    """What can be ordered: `do` does it, and its docstring says what it is. `fields` are the names that it takes."""

    def __init__(self, do: Callable[[Rpc, dict[str, Any]], Any], *fields: str) -> None:
        self.do = do
        self.fields = fields
        self.text = " ".join((do.__doc__ or "").split())

    def check_fields(self, given: dict[str, Any]) -> None:
        """Raise BadOrder that names the fields that it does not take, and those that it does."""
        unknown = [name[:100] for name in given if name not in self.fields]
        if unknown:
            known = ", ".join(self.fields) or "none"
            raise BadOrder(f"unknown fields: {', '.join(unknown[:5])}; it takes {known}")


def order(rpc: Rpc, name: str, body: bytes) -> Answer:
    """Do what is asked; the answer is a JSON object."""
    try:
        fields = gojson.loads(body) if body else {}
        if not isinstance(fields, dict):
            raise BadOrder("the body must be a JSON object")
        if name not in ORDERS:
            raise BadOrder(f"no such order; there are {', '.join(sorted(ORDERS))}")
        ORDERS[name].check_fields(fields)
        with rpc.chain.lock:
            found = ORDERS[name].do(rpc, fields)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return Answer(400, "application/json", gojson.dumps({"detail": f"{name}: {error}"}).encode())
    return Answer(200, "application/json", gojson.dumps(found or {}).encode())


def orders() -> Answer:
    """What can be ordered, by name."""
    told = {name: each.text for name, each in sorted(ORDERS.items())}
    return Answer(200, "application/json", gojson.dumps(told).encode())


def _number(fields: dict[str, Any], name: str, default: int | None = None, least: int = 0) -> int:
    value = fields.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise BadOrder(f"{name} must be a whole number, at least {least}")
    return value


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise BadOrder(f"{name} must be a text")
    return value


def _address(fields: dict[str, Any], name: str) -> str:
    value = _text(fields, name)
    encode_address(value)
    return value


# -- time and ledgers


def _clock(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`seconds`: the node's clock from now on; null: the newest ledger's close time again."""
    value = fields.get("seconds")
    rpc.chain.node_clock = None if value is None else _number(fields, "seconds")


def _advance(rpc: Rpc, fields: dict[str, Any]) -> dict[str, int]:
    """`seconds`: the clock moves on, so much later does the next ledger close: at once if `close` is true."""
    rpc.chain.advance(_number(fields, "seconds"))
    return {"latestLedger": rpc.chain.close_ledger() if fields.get("close") is True else rpc.chain.latest}


def _close(rpc: Rpc, fields: dict[str, Any]) -> dict[str, int]:
    """`count`: ledgers that close now."""
    return {"latestLedger": rpc.chain.close_ledger(_number(fields, "count", 1, least=1))}


def _freeze(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`frozen`: no ledger closes by itself."""
    rpc.chain.frozen = bool(fields.get("frozen", True))


def _prune(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`ledgers`: the node keeps no more than these, from now on."""
    chain = rpc.chain
    chain.retention = _number(fields, "ledgers", least=1)
    with chain.store.ledger():
        chain.prune(chain.latest)


# -- what nodes do


def _core(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`status`, `body`: core's answer to the next transaction, which it does not look at; `times` of them."""
    answer = core.Answer(_number(fields, "status", 200), _text(fields, "body"))
    rpc.core.ordered.extend([answer] * _number(fields, "times", 1))


def _refuse(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`status`: TRY_AGAIN_LATER, FILTERED or any other word, `times`: what core says to the next transactions."""
    body = gojson.dumps({"status": _text(fields, "status")})
    rpc.core.ordered.extend([core.Answer(200, body)] * _number(fields, "times", 1))


def _lose(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`times`: transactions that are taken, though the answer says that they could not be submitted."""
    rpc.core.lost += _number(fields, "times", 1)


def _drop(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`times`: sendTransaction requests whose connection ends without an answer, though they were taken."""
    rpc.dropped += _number(fields, "times", 1)


def _filter(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`accounts`: those that this node's core does not serve."""
    rpc.chain.queue.filtered = {str(each) for each in fields.get("accounts", ())}


def _busy(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`times`: simulations that are answered `preflight queue full`."""
    rpc.busy += _number(fields, "times", 1)


def _race(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`times`: getTransaction answers whose hash was looked up before the newest ledger, and its range read after."""
    rpc.races += _number(fields, "times", 1)


def _faults(rpc: Rpc, fields: dict[str, Any]) -> dict[str, int]:
    """What the next `times` (1) requests get: `kind` status (with `status`, 503), drop, slow (`seconds`, 5) or none.

    `method`: only requests of this RPC method; `none` ends all that are still to come.
    """
    kind, times, method = _text(fields, "kind"), _number(fields, "times", 1), str(fields.get("method", ""))
    if kind == "none":
        rpc.faults.clear()
    elif kind == "status":
        rpc.faults.extend([Fault(_number(fields, "status", 503, least=400), method)] * times)
    elif kind == "drop":
        rpc.faults.extend([Fault(0, method)] * times)
    elif kind == "slow":
        rpc.faults.extend([Fault(None, method, _number(fields, "seconds", 5))] * times)
    else:
        raise BadOrder("kind must be status, drop, slow or none")
    return {"waiting": len(rpc.faults)}


def _surge(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`fee`: the least inclusion fee, in stroops, that gets a transaction into a ledger. 100: no surge."""
    rpc.chain.queue.surge = _number(fields, "fee", 100, least=100)


def _queue(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`capacity`: transactions that the queue holds."""
    rpc.chain.queue.capacity = _number(fields, "capacity")


def _second(rpc: Rpc, fields: dict[str, Any]) -> dict[str, int]:
    """The second node (at /second) is brought up to now, and stays there unless `following` is true."""
    return {"latestLedger": rpc.set_second(following=bool(fields.get("following", False)))}


def _reset(rpc: Rpc, fields: dict[str, Any]) -> None:
    """The network starts again from ledger 1, as test networks do."""
    rpc.chain.reset()


# -- entries and people


def _entry(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`key`, `xdr` (base64 LedgerKey and LedgerEntryData, null to remove), `live_until`: an entry, as it is to be."""
    key = base64.b64decode(_text(fields, "key"), validate=True)
    data = None if fields.get("xdr") is None else base64.b64decode(_text(fields, "xdr"), validate=True)
    ledger = rpc.chain.open_ledger()
    lives = _number(fields, "live_until", ledger.sequence + ENTRY_LIFETIME) if has_lifetime(key) else None
    ledger.writes[key] = (data, lives)


def _archive(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`keys` (base64 LedgerKeys): entries whose life ended with the newest ledger."""
    ledger = rpc.chain.open_ledger()
    writes: Writes = {}
    for text in fields["keys"]:
        key = base64.b64decode(text, validate=True)
        held = rpc.chain.current(key)
        if held is None or not has_lifetime(key):
            raise BadOrder(f"no entry that could be archived: {text}")
        writes[key] = (held.data, ledger.sequence - 1)
    ledger.writes.update(writes)


def _asset(rpc: Rpc, fields: dict[str, Any]) -> dict[str, str]:
    """`code`, `issuer`: an issued asset's contract, deployed."""
    asset = Asset(_text(fields, "code"), _address(fields, "issuer"))
    return {"contract": people.deploy_asset(rpc.chain, asset)}


def _trustline(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`account`, `code`, `issuer`, `amount`, `limit`, `authorized`: an account's trustline with so much of an asset."""
    asset = Asset(_text(fields, "code"), _address(fields, "issuer"))
    terms = _number(fields, "amount", 0), _number(fields, "limit", 2**63 - 1)
    is_authorized = bool(fields.get("authorized", True))
    people.set_trustline(rpc.chain, _address(fields, "account"), asset, *terms, is_authorized=is_authorized)


def _signers(rpc: Rpc, fields: dict[str, Any]) -> None:
    """`account`, `thresholds` (master, low, medium, high), `signers` {G…: weight}: who signs for an account."""
    thresholds = [int(each) for each in fields.get("thresholds", (1, 0, 0, 0))]
    signers = {str(key): int(weight) for key, weight in fields.get("signers", {}).items()}
    people.set_signers(rpc.chain, _address(fields, "account"), thresholds, signers)


def _wallet(rpc: Rpc, fields: dict[str, Any]) -> dict[str, str]:
    """`public_key` (G…): a contract account that signs with this key, funded."""
    return {"contract": people.deploy_wallet(rpc.chain, _address(fields, "public_key"))}


ORDERS: Final = {
    "advance": Order(_advance, "seconds", "close"),
    "archive": Order(_archive, "keys"),
    "asset": Order(_asset, "code", "issuer"),
    "busy": Order(_busy, "times"),
    "clock": Order(_clock, "seconds"),
    "close": Order(_close, "count"),
    "core": Order(_core, "status", "body", "times"),
    "drop": Order(_drop, "times"),
    "entry": Order(_entry, "key", "xdr", "live_until"),
    "faults": Order(_faults, "kind", "times", "method", "status", "seconds"),
    "filter": Order(_filter, "accounts"),
    "freeze": Order(_freeze, "frozen"),
    "lose": Order(_lose, "times"),
    "prune": Order(_prune, "ledgers"),
    "queue": Order(_queue, "capacity"),
    "race": Order(_race, "times"),
    "refuse": Order(_refuse, "status", "times"),
    "reset": Order(_reset),
    "second": Order(_second, "following"),
    "signers": Order(_signers, "account", "thresholds", "signers"),
    "surge": Order(_surge, "fee"),
    "trustline": Order(_trustline, "account", "code", "issuer", "amount", "limit", "authorized"),
    "wallet": Order(_wallet, "public_key"),
}
