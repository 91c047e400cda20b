"""Replay of the real contract's steps in the sandbox's contract, and of their XDR through the codecs and back."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ajo.soroban.contract import DecodeError
from ajo.soroban.contract.codec import b64
from ajo.soroban.contract.entries import Entry, Group, Instance, decode_entry
from ajo.soroban.contract.events import Unknown, decode_event
from ajo.soroban.contract.functions import FUNCTIONS, decode_args, decode_result, encode_args, encode_result
from ajo.soroban.contract.keys import BalanceKey, InstanceKey, Key, decode_key
from devtools.replay.document import unequal
from devtools.replay.exchanges import recorded_events
from devtools.sandbox import token
from devtools.sandbox.env import encode
from devtools.sandbox.host import Contracts, Writes, invoke
from devtools.sandbox.ledger.keys import code_entry, code_key, contract_head
from devtools.sandbox.machine.machine import LedgerInfo
from devtools.sandbox.machine.storage import LedgerEntry

Step = dict[str, Any]


def replay_steps(document: dict[str, Any], _: Path) -> Iterator[str]:
    """Yield the differences. Raises LookupError, TypeError and the like for another form of file."""
    contracts = Contracts(document["contract"], document["token"], document["router"])
    state = _genesis(document, contracts)
    for number, step in enumerate(document["steps"]):
        for found in (*_check_codecs(step, contracts), *_play(state, contracts, step)):
            yield f"step {number} {step['fn']}: {found}"


class State:
    """Entries in memory, with values as the binding has them. They live for ever: the vectors know no archive."""

    def __init__(self) -> None:
        self.entries: dict[bytes, LedgerEntry] = {}

    def get(self, key: bytes) -> LedgerEntry | None:
        return self.entries.get(key)

    def data(self, key: bytes) -> bytes | None:
        held = self.entries.get(key)
        return None if held is None else held.data

    def put(self, contract: str, key: Key, value: Any) -> None:
        raw, entry = encode(contract, key, value)
        self.entries[raw] = LedgerEntry(entry, 0)

    def apply(self, writes: Writes) -> None:
        self.entries.update({key: LedgerEntry(data, 0) for key, (data, _) in writes.items() if data is not None})


def _genesis(document: dict[str, Any], contracts: Contracts) -> State:
    """Return the state before the first step: both contracts deployed, the balances minted.

    The file does not say which Wasm was deployed; its first instance entry does.
    """
    changes = [_decoded(change["xdr"]) for step in document["steps"] for change in step.get("changes", ())]
    instances = [entry.value for entry in changes if entry and isinstance(entry.value, Instance)]
    state = State()
    wasm_hash = instances[0].wasm_hash if instances else bytes(32).hex()
    state.put(contracts.ajo, InstanceKey(), Instance(wasm_hash))
    state.put(contracts.token, InstanceKey(), token.instance())
    state.put(contracts.router, InstanceKey(), Instance(bytes(32).hex()))
    for holder, amount in document["minted"]:
        state.put(contracts.token, BalanceKey(holder), token.held(int(amount)))
    # The files do not say which code an upgrade puts in place, only that it was there.
    for step in document["steps"]:
        if step["fn"] == "upgrade" and "error" not in step:
            raw = code_key(decode_args("upgrade", step["args"])["new_wasm_hash"].hex())
            state.entries[raw] = LedgerEntry(code_entry(raw), 0)
    return state


def _decoded(xdr: str) -> Entry | None:
    try:
        return decode_entry(xdr)
    except DecodeError:
        return None


def _play(state: State, contracts: Contracts, step: Step) -> Iterator[str]:
    """Run one step in the sandbox's contract, and yield the differences.

    The state afterwards is the recorded one, so that an error is reported once.
    """
    on, view = step.get("on", contracts.ajo), bool(step.get("view"))
    info = LedgerInfo(step["ledger"], step["timestamp"])
    outcome = invoke(state.get, contracts, info, on, step["fn"], step["args"], plain_token=True)
    yield from unequal("result", outcome.result, step.get("result"))
    yield from unequal("error", outcome.error, step.get("error"))
    events = tuple(replace(each, system=False) for each in outcome.events)
    yield from unequal("events", events, recorded_events(step))
    recorded = {each["key"]: each["xdr"] for each in step.get("changes", ())}
    head = contract_head(contracts.ajo)
    written = {} if view else outcome.writes
    ours = {
        b64(key): b64(data)
        for key, (data, _) in written.items()
        if data and key.startswith(head) and state.data(key) != data
    }
    for key in sorted(ours.keys() | recorded.keys()):
        yield from unequal(f"entry {key}", ours.get(key), recorded.get(key))
    state.apply(written)
    if ours != recorded:
        for entry in filter(None, map(_decoded, recorded.values())):
            state.put(entry.contract, entry.key, entry.value)


def _check_codecs(step: Step, contracts: Contracts) -> Iterator[str]:
    """Decode and encode all XDR of a step, and yield the differences. The first DecodeError ends it as one."""
    fn, args, result = step["fn"], step["args"], step.get("result")
    try:
        if step.get("on", contracts.ajo) == contracts.ajo and fn in FUNCTIONS:
            yield from unequal("arguments", encode_args(fn, decode_args(fn, args)), args)
            if result is not None:
                yield from unequal("result", encode_result(fn, decode_result(fn, result)), result)
        for event in recorded_events(step):
            found = decode_event(event.topics, event.value)
            yield from unequal("event", found.encode(), (event.topics, event.value))
            if event.contract == contracts.ajo and isinstance(found, Unknown):
                yield f"event: {found.name or event.topics[:1]} is not known to the binding"
        for change in step.get("changes", ()):
            yield from _check_entry(change)
    except DecodeError as error:
        yield str(error)


def _check_entry(change: dict[str, str]) -> Iterator[str]:
    """Decode and encode a key and its entry, compare both, and yield the differences. Raises DecodeError."""
    (contract, key), entry = decode_key(change["key"]), decode_entry(change["xdr"])
    yield from unequal("key", key.to_xdr(contract), change["key"])
    yield from unequal("entry", entry.to_xdr(), change["xdr"])
    yield from unequal("key of the entry", (entry.contract, entry.key), (contract, key))
    yield from unequal("contract", contract, change.get("contract", contract))
    if isinstance(entry.value, Group) and entry.value.extra:
        yield f"fields unknown to the binding: {[name for name, _ in entry.value.extra]}"


def replay_entries(document: dict[str, Any], _: Path) -> Iterator[str]:
    """Decode and encode entries of earlier contract versions, and yield the differences."""
    for number, entry in enumerate(document["entries"]):
        try:
            yield from (f"entry {number}: {found}" for found in _check_entry(entry))
        except DecodeError as error:
            yield f"entry {number}: {error}"
