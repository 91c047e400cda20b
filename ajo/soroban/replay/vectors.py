"""Steps of the real contract, played in the sandbox's; and every piece of XDR in them, decoded and encoded again."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from ajo.soroban.binding import DecodeError
from ajo.soroban.binding.codec import b64
from ajo.soroban.binding.entries import Entry, Group, Instance, decode_entry
from ajo.soroban.binding.events import Unknown, decode_event
from ajo.soroban.binding.functions import FUNCTIONS, decode_args, decode_result, encode_args, encode_result
from ajo.soroban.binding.keys import BalanceKey, InstanceKey, decode_key
from ajo.soroban.replay.document import UnreadableFile, items, text
from ajo.soroban.sandbox import token
from ajo.soroban.sandbox.env import Emitted, State, encode
from ajo.soroban.sandbox.host import Contracts, Outcome, invoke

Step = dict[str, Any]


def replay_steps(document: dict[str, Any]) -> tuple[int, list[str]]:
    """How many steps, and what differs. Raises UnreadableFile."""
    contracts = Contracts(text(document, "contract"), text(document, "token"), text(document, "router"))
    steps = items(document, "steps")
    state = genesis(document, contracts, steps)
    differences: list[str] = []
    for number, step in enumerate(steps):
        found = [*check_codecs(step, contracts), *_play(state, contracts, step)]
        differences += [f"step {number} {step.get('fn')}: {each}" for each in found]
    return len(steps), differences


def genesis(document: dict[str, Any], contracts: Contracts, steps: list[Step]) -> State:
    """The state before the first step: both contracts deployed, the balances minted."""
    state = State()
    first: dict[tuple[str, Any], Any] = {
        (contracts.ajo, InstanceKey()): Instance(wasm_hash=_wasm_hash(contracts, steps)),
        (contracts.token, InstanceKey()): token.instance(),
    }
    for minted in items(document, "minted"):
        holder, amount = minted
        first[contracts.token, BalanceKey(holder)] = token.held(int(amount))
    state.apply(first)
    return state


def _wasm_hash(contracts: Contracts, steps: list[Step]) -> str:
    """The file does not say which Wasm was deployed; its first instance entry does."""
    for step in steps:
        for change in step.get("changes", ()):
            entry = decode_entry(change["xdr"])
            if isinstance(entry.key, InstanceKey) and isinstance(entry.value, Instance):
                return entry.value.wasm_hash or ""
    return hashlib.sha256(contracts.ajo.encode()).hexdigest()


def _play(state: State, contracts: Contracts, step: Step) -> Iterator[str]:
    """One step in the sandbox's contract. The state afterwards is the recorded one, so that one error stays one."""
    on, view = step.get("on", contracts.ajo), bool(step.get("view"))
    outcome = invoke(state, contracts, step["timestamp"], on, step["fn"], step["args"], view=view)
    yield from _compare("result", outcome.result, step.get("result"))
    yield from _compare("error", outcome.error, step.get("error"))
    events = [Emitted(each["contract"], tuple(each["topics"]), each["value"]) for each in step.get("events", ())]
    yield from _compare("events", [_unsystem(each) for each in outcome.events], events)
    recorded = {each["key"]: each["xdr"] for each in step.get("changes", ())}
    ours = changes(outcome, contracts.ajo)
    for key in sorted(ours.keys() | recorded.keys()):
        yield from _compare(f"entry {key}", ours.get(key), recorded.get(key))
    state.apply(outcome.writes)
    if ours != recorded:
        decoded = [_decoded(xdr) for xdr in recorded.values()]
        state.apply({(entry.contract, entry.key): entry.value for entry in decoded if entry is not None})


def changes(outcome: Outcome, contract: str) -> dict[str, str]:
    """What a call changed in one contract, as base64 LedgerKey → LedgerEntryData."""
    pairs = (encode(owner, key, value) for (owner, key), value in outcome.writes.items() if owner == contract)
    return {b64(key): b64(entry) for key, entry in pairs}


def _unsystem(event: Emitted) -> Emitted:
    """The files do not say of an event whether it is a system one."""
    return Emitted(event.contract, event.topics, event.value)


def _compare(what: str, ours: object, recorded: object) -> Iterator[str]:
    if ours != recorded:
        yield f"{what}: ours {_short(ours)}, recorded {_short(recorded)}"


def _short(value: object) -> str:
    shown = str(value)
    return shown if len(shown) <= 200 else f"{shown[:200]}…"


def _decoded(xdr: str) -> Entry | None:
    try:
        return decode_entry(xdr)
    except DecodeError:
        return None


def check_codecs(step: Step, contracts: Contracts) -> Iterator[str]:
    """Everything in a step through the binding and back to the same bytes."""
    fn, args, result = step["fn"], step["args"], step.get("result")
    if step.get("on", contracts.ajo) == contracts.ajo and fn in FUNCTIONS:
        yield from _both_ways("arguments", lambda: encode_args(fn, decode_args(fn, args)), args)
        if result is not None:
            yield from _both_ways("result", lambda: encode_result(fn, decode_result(fn, result)), result)
    for change in step.get("changes", ()):
        yield from check_entry(change["key"], change["xdr"])
    for event in step.get("events", ()):
        topics, value = tuple(event["topics"]), event["value"]
        yield from _both_ways("event", lambda t=topics, v=value: decode_event(t, v).encode(), (topics, value))
        if event["contract"] == contracts.ajo and isinstance(decode_event(topics, value), Unknown):
            yield f"event: {topics[:1]} is not known to the binding"


def check_entry(key: str, xdr: str) -> Iterator[str]:
    """A key and its entry through the binding and back, and each against the other."""
    try:
        contract, found = decode_key(key)
        entry = decode_entry(xdr)
    except DecodeError as error:
        yield f"entry {key}: {error}"
        return
    yield from _compare("key", found.to_xdr(contract), key)
    yield from _compare("entry", entry.to_xdr(), xdr)
    yield from _compare("key of the entry", (entry.contract, entry.key), (contract, found))


def _both_ways(what: str, again: Any, recorded: object) -> Iterator[str]:
    try:
        yield from _compare(what, again(), recorded)
    except ValueError as error:
        yield f"{what}: {error}"


def replay_entries(document: dict[str, Any]) -> tuple[int, list[str]]:
    """Entries of earlier versions of the contract: both ways through the binding. Raises UnreadableFile."""
    entries = items(document, "entries")
    differences: list[str] = []
    for number, each in enumerate(entries):
        differences += [f"entry {number}: {found}" for found in _older(each)]
    return len(entries), differences


def _older(each: dict[str, Any]) -> Iterable[str]:
    try:
        yield from check_entry(each["key"], each["xdr"])
        entry = decode_entry(each["xdr"])
    except KeyError as error:
        raise UnreadableFile(f"has an entry without {error}") from error
    except DecodeError:
        return
    yield from _compare("contract", entry.contract, each.get("contract", entry.contract))
    if isinstance(entry.value, Group) and entry.value.extra:
        yield f"fields unknown to the binding: {[name for name, _ in entry.value.extra]}"
