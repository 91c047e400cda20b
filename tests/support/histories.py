"""Random histories of a chain: calls that are mostly valid, in ledgers of a few, with time passing in between."""

from __future__ import annotations

import base64
import random

from ajo.soroban.contract.keys import decode_key
from devtools.sandbox.chain import Chain
from tests.support.wallets import wallets

DAY = 86_400
AMOUNTS = (1, 10_000_000, 123_456_789)


def contract_entries(chain: Chain) -> dict[str, str]:
    """Return every entry of the Ajo contract, base64 key → base64 entry, as `tests.support.comparison` takes them."""
    rows = {base64.b64encode(key).decode(): xdr for key, xdr in chain.store.entries()}
    return {key: xdr for key, xdr in rows.items() if decode_owner(key) == chain.contract}


def decode_owner(key: str) -> str | None:
    """Return the contract that owns the entry of this key, or None for the token's own entries."""
    try:
        return decode_key(key)[0]
    except ValueError:
        return None  # the token's own entries


class History:
    """Walks a chain at random, the same way for the same seed."""

    def __init__(self, chain: Chain, seed: int, members: int = 6) -> None:
        self.chain = chain
        self.rng = random.Random(seed)
        self.wallets = wallets(members, seed)
        for wallet in self.wallets:
            chain.fund(wallet)
        chain.close_ledger()
        self.groups: list[int] = []

    def walk(self, ledgers: int) -> None:
        """Close so many ledgers, each after up to three calls."""
        for _ in range(ledgers):
            for _ in range(self.rng.randrange(4)):
                self.step()
            if self.rng.random() < 0.2:
                self.chain.advance(self.rng.choice((DAY // 2, 2 * DAY, 8 * DAY)))
            self.chain.close_ledger()

    def step(self) -> None:
        """Make one call, which the contract may refuse."""
        rng, call = self.rng, self.chain.call
        who = rng.choice(self.wallets)
        if not self.groups or rng.random() < 0.1:
            amount, size = rng.choice(AMOUNTS), rng.choice((2, 2, 3, 5))
            made = call(who, "create_group", who, self.chain.token, amount, DAY, size, rng.choice((0, 3600)), 5, 100)
            if made.error is None:
                self.groups.append(made.result)
            return
        group = rng.choice(self.groups[-8:])
        kind = rng.random()
        if kind < 0.1:
            self.whole_round(group)
        elif kind < 0.3:
            call(who, "join_group", who, group)
        elif kind < 0.7:
            call(who, "contribute", who, group)
        elif kind < 0.8:
            call(who, "execute_payout", group)
        elif kind < 0.84:
            name = rng.choice((b"Market women", "Ẹgbẹ́ Ajọ 🤝".encode(), b"a\0b\xff", b"x" * 50))
            call(who, "set_group_metadata", group, name, b"what we save for", b"pay on time")
        elif kind < 0.88:
            call(who, "request_refund", who, group)
        elif kind < 0.94:
            call(who, "vote_refund", who, group, rng.random() < 0.8)
        elif kind < 0.96:
            call(who, "execute_refund", who, group)
        elif kind < 0.98:
            call(who, "cancel_group", who, group)
        elif kind < 0.99:
            call(self.chain.admin, "emergency_refund", self.chain.admin, group)
        else:
            call(self.chain.admin, "pause")
            call(who, "join_group", who, group)  # refused while paused
            call(self.chain.admin, "unpause")

    def whole_round(self, group: int) -> None:
        """Let everyone pay, time pass, and one be paid out."""
        for member in self.chain.view("list_members", group):
            self.chain.call(member, "contribute", member, group)
        self.chain.close_ledger()
        self.chain.advance(2 * DAY)
        self.chain.call(self.wallets[0], "execute_payout", group)
