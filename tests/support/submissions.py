"""People who submit transactions through the API while the network is in trouble, and a judge who knows the chain.

Each person wants one thing at a time and does what the API's `retry` says: wait, build it anew, replace it, or give up.
Whatever went wrong in between, the chain has the thing once at most, and every end that was said is the chain's.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import requests
from stellar_sdk import Account, Keypair, SorobanServer, TransactionBuilder, TransactionEnvelope, scval
from stellar_sdk.exceptions import PrepareTransactionException, SdkError

from tests.support.running import Running
from tests.support.sending import AMOUNT, sequence

PEOPLE_AT_ONCE = 30
POLL = 1.5  # seconds between two looks at a transaction
TRIES = 4  # transactions that one wish is worth
FINAL = ("success", "failed", "expired", "unknown", "rejected")
HOUR = 3600
END_UNKNOWN = "end_unknown"  # a refusal after which nobody should try again


@dataclass
class Wish:
    """What somebody wants done once, and the hashes of the transactions that were submitted for it."""

    who: Keypair
    function: str
    group: int | None
    text: str = ""
    hashes: list[str] = field(default_factory=list)


class People:
    """Submits `count` transactions of wishes drawn by `seed`. `faults` are what a reader saw that must not be."""

    def __init__(self, up: Running, count: int, seed: int) -> None:
        self.up, self.count = up, count
        self.rng = random.Random(seed)
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.wishes: list[Wish] = []
        self.said: dict[str, dict[str, Any]] = {}  # the last answer of the API, by hash
        self.faults: list[str] = []
        self.taken = self.built_here = 0
        self._server = threading.local()
        self._opened: list[SorobanServer] = []
        self._prepare(max(PEOPLE_AT_ONCE * 3, count // 8))

    def _prepare(self, people: int) -> None:
        chain = self.up.sandbox.chain
        self.people = [Keypair.from_raw_ed25519_seed(self.rng.randbytes(32)) for _ in range(people)]
        self.idle = list(self.people)
        self.groups: dict[int, Keypair] = {}
        for each in self.people:
            chain.fund(each.public_key)
        chain.close_ledger()
        for each in self.people[: people // 2]:
            address = each.public_key
            made = chain.call(address, "create_group", address, chain.token, AMOUNT, HOUR, 12, 0, 0, 0)
            self.groups[made.result] = each
        chain.close_ledger()

    def run(self) -> None:
        """Let people wish until `count` transactions were taken, and each wish has come to an end."""
        with ThreadPoolExecutor(PEOPLE_AT_ONCE) as pool:
            running = [pool.submit(self._live) for _ in range(PEOPLE_AT_ONCE)]
        for server in self._opened:
            server.close()  # the sandbox waits for its connections to end
        for each in running:
            each.result()

    def _live(self) -> None:
        while self.taken < self.count and not self.ended.is_set():
            with self.lock:
                wish = self._draw()
                self.wishes.append(wish)
            self._pursue(wish)
            with self.lock:
                self.idle.append(wish.who)

    def _draw(self) -> Wish:
        who = self.idle.pop(self.rng.randrange(len(self.idle)))
        kind = self.rng.random()
        owned = [group for group, creator in self.groups.items() if creator is who]
        if kind < 0.15 or not self.groups:
            return Wish(who, "create_group", None)
        if kind < 0.4 and owned:
            return Wish(who, "set_group_metadata", owned[0], f"name {len(self.wishes)}")
        function = "join_group" if kind < 0.75 else "contribute"
        return Wish(who, function, self.rng.choice(list(self.groups)))

    def give_up(self) -> None:
        """End the run before its time."""
        self.faults.append(f"{self.taken} of {self.count} were taken in time")
        self.ended.set()

    # -- one wish

    def _pursue(self, wish: Wish) -> None:
        number: int | None = None
        for _ in range(TRIES):
            envelope = self._build(wish, number)
            if envelope is None:
                return  # the contract would refuse it
            answer = self._submit(wish, envelope)
            if answer is None:
                number = None
                continue
            if answer["status"] == END_UNKNOWN:
                return  # it may have been applied
            answer = self._await(answer)
            if answer["status"] == "success":
                self._read(wish, answer)
            if answer["retry"] is None or self.ended.is_set():
                return
            number = envelope.transaction.sequence if answer["retry"] == "replace" else None

    def _build(self, wish: Wish, number: int | None) -> TransactionEnvelope | None:
        """Return a signed transaction, built by the API or by stellar-sdk; None where the contract would refuse it."""
        with self.lock:
            mood, fee, valid_for = self.rng.random(), self.rng.choice((100, 100, 5000)), self.rng.choice((60, 300, 300))
            is_built_here = number is None and self.rng.random() < 0.5
        built = self._built_here(wish, valid_for) if is_built_here else None
        envelope = built or self._built_alone(wish, number, fee, valid_for)
        if envelope is None:
            return None
        envelope.sign(wish.who)
        if mood < 0.1:
            self.ended.wait(3)  # the chain goes on meanwhile
        elif mood < 0.15:
            self._send(envelope)  # the wallet has sent it itself
        elif mood < 0.2:
            self._spend(wish.who, envelope.transaction.sequence - 1)
        return envelope

    def _built_alone(self, wish: Wish, number: int | None, fee: int, valid_for: int) -> TransactionEnvelope | None:
        chain, key = self.up.sandbox.chain, wish.who
        used = sequence(self.up.sandbox, key) if number is None else number - 1
        builder = TransactionBuilder(Account(key.public_key, used), chain.passphrase, base_fee=fee)
        builder.append_invoke_contract_function_op(self.up.sandbox.contract, wish.function, self._arguments(wish))
        builder.add_time_bounds(0, chain.range().last_close + valid_for)
        try:
            return self._rpc().prepare_transaction(builder.build())
        except PrepareTransactionException:
            return None

    def _built_here(self, wish: Wish, valid_for: int) -> TransactionEnvelope | None:
        """Build it by the API; None where the API does not."""
        body: dict[str, Any] = {"function": wish.function, "source": wish.who.public_key, "valid_for": valid_for}
        url = f"http://127.0.0.1:{self.up.port}/api/v1/transactions/build/"
        try:
            answer = requests.post(url, json=body | {"args": self._named_arguments(wish)}, timeout=15)
        except requests.RequestException:
            return None
        if answer.status_code not in (200, 409, 503):
            self.faults.append(f"build answers {answer.status_code}: {answer.text[:200]}")
        if answer.status_code != 200:
            return None
        with self.lock:
            self.built_here += 1
        return TransactionEnvelope.from_xdr(answer.json()["xdr"], self.up.sandbox.chain.passphrase)

    def _named_arguments(self, wish: Wish) -> dict[str, Any]:
        who, group = wish.who.public_key, str(wish.group)
        if wish.function == "create_group":
            terms = {"creator": who, "token_address": self.up.sandbox.chain.token, "contribution_amount": str(AMOUNT)}
            rates = {"grace_period": "0", "penalty_rate": 0, "insurance_rate_bps": 0}
            return {**terms, **rates, "cycle_duration": str(HOUR), "max_members": 12}
        if wish.function == "set_group_metadata":
            return {"group_id": group, "name": wish.text, "description": "", "rules": ""}
        return {"member": who, "group_id": group}

    def _spend(self, key: Keypair, used: int) -> None:
        """Use the sequence number for something else, outside of the service."""
        chain = self.up.sandbox.chain
        builder = TransactionBuilder(Account(key.public_key, used), chain.passphrase, base_fee=20_000)
        builder.append_bump_sequence_op(0).add_time_bounds(0, chain.range().last_close + 60)
        envelope = builder.build()
        envelope.sign(key)
        self._send(envelope)

    def _send(self, envelope: TransactionEnvelope) -> None:
        """Send it past the service; what the node answers is the network's trouble."""
        with suppress(SdkError, requests.RequestException):
            self._rpc().send_transaction(envelope)

    def _arguments(self, wish: Wish) -> list[Any]:
        who = scval.to_address(wish.who.public_key)
        if wish.function == "create_group":
            token = scval.to_address(self.up.sandbox.chain.token)
            numbers = [scval.to_uint32(12), scval.to_uint64(0), scval.to_uint32(0), scval.to_uint32(0)]
            return [who, token, scval.to_int128(AMOUNT), scval.to_uint64(HOUR), *numbers]
        group = scval.to_uint64(wish.group or 0)
        if wish.function == "set_group_metadata":
            return [group, *(scval.to_string(text) for text in (wish.text, "", ""))]
        return [who, group]

    def _rpc(self) -> SorobanServer:
        if not hasattr(self._server, "rpc"):
            self._server.rpc = SorobanServer(self.up.sandbox.url)
            self._opened.append(self._server.rpc)
        found: SorobanServer = self._server.rpc
        return found

    def _submit(self, wish: Wish, envelope: TransactionEnvelope) -> dict[str, Any] | None:
        """Post it until it is taken or refused, as a client does that gets no answer."""
        url, body = f"http://127.0.0.1:{self.up.port}/api/v1/transactions/", {"xdr": envelope.to_xdr()}
        wish.hashes.append(envelope.hash_hex())
        while not self.ended.is_set():
            try:
                answer = requests.post(url, json=body, timeout=15)
            except requests.RequestException:
                self.ended.wait(POLL)
                continue
            if answer.status_code in (200, 202):
                with self.lock:
                    self.taken += answer.status_code == 202
                return dict(answer.json())
            if END_UNKNOWN in answer.text:
                return {"status": END_UNKNOWN}
            if answer.status_code in (400, 409):
                return None
            if answer.status_code not in (429, 503):
                self.faults.append(f"POST answers {answer.status_code}: {answer.text[:200]}")
            self.ended.wait(POLL)
        return None

    def _await(self, answer: dict[str, Any]) -> dict[str, Any]:
        path = f"/api/v1/transactions/{answer['hash']}/"
        while (answer["status"] not in FINAL or answer["retry"] == "wait") and not self.ended.wait(POLL):
            found = self.up.get(path)
            if found.status_code == 200:
                answer = found.json()
            elif found.status_code not in (0, 503):
                self.faults.append(f"GET {path} answers {found.status_code}")
        self.said[answer["hash"]] = answer
        return answer

    def _read(self, wish: Wish, answer: dict[str, Any]) -> None:
        """Read what a success has changed, plainly: it has to be there, or what came after it."""
        group = answer["group"]
        if wish.function == "create_group":
            with self.lock:
                self.groups[int(group)] = wish.who
        while (found := self.up.get(f"/api/v1/groups/{group}/")).status_code in (0, 503):
            if self.ended.wait(POLL):
                return
        body = found.json() if found.status_code == 200 else {}
        members = {each["address"]: each for each in body.get("members", ())}
        mine = members.get(wish.who.public_key)
        shown = {
            "create_group": mine is not None,
            "join_group": mine is not None,
            "contribute": mine is not None and mine["has_contributed"],
            "set_group_metadata": body.get("modified_ledger", 0) >= answer["ledger"] and body.get("name") != "",
        }[wish.function]
        if not shown:
            told = {name: body.get(name) for name in ("name", "modified_ledger", "member_count")}
            headers = {name: found.headers.get(name) for name in ("Latest-Ledger", "Ajo-Stale")}
            self.faults.append(f"{wish.function} of group {group} in {answer['ledger']}: shown {told} {headers}")

    # -- the judge

    def verdict(self, rows: dict[str, tuple[str, int | None]]) -> list[str]:
        """Compare what was said of each stored transaction, (status, ledger) by hash, with the chain."""
        chain, found = self.up.sandbox.chain, list(self.faults)
        with chain.lock:
            truth = {tx: chain.store.transaction(tx) for tx in rows}
        for tx, (status, ledger) in rows.items():
            applied = truth[tx]
            right = "none" if applied is None else "success" if applied.successful else "failed"
            said = status if status in ("success", "failed") else "none"
            if status in ("pending", "unknown") or said != right or (applied and applied.ledger != ledger):
                found.append(f"{tx}: said {status} in {ledger}, the chain has {right}")
        for wish in self.wishes:
            done = [tx for tx in wish.hashes if (each := chain.store.transaction(tx)) is not None and each.successful]
            if len(done) > 1:
                found.append(f"{wish.function} took effect {len(done)} times")
        return found


def tally(rows: dict[str, tuple[str, int | None]]) -> dict[str, int]:
    """Count the ends."""
    return dict(Counter(status for status, _ in rows.values()))


def ledgers_close(up: Running, ended: threading.Event, pause: float) -> None:
    """Close a ledger every `pause` seconds until `ended`."""
    while not ended.wait(pause):
        up.sandbox.chain.close_ledger()
