"""A walk at random: whatever a simulation allows, the ledger does when nothing came between."""

import time
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from stellar_sdk import Keypair, scval, xdr
from stellar_sdk.contract.exceptions import SimulationFailedError

from ajo.soroban.contract.functions import FUNCTIONS
from ajo.soroban.contract.keys import InstanceKey
from devtools.sandbox.sandbox import Sandbox
from tests.devtools.sandbox.test_sdk import ISSUER, People, address
from tests.support.closing import closing, order

STEPS = 200
WEIGHTS = {
    "create_group": 2,
    "join_group": 4,
    "contribute": 24,
    "execute_payout": 10,
    "request_refund": 1,
    "vote_refund": 2,
    "execute_refund": 1,
    "cancel_group": 1,
    "set_group_metadata": 2,
    "file_insurance_claim": 2,
}
USDC = {"code": "USDC", "issuer": ISSUER.public_key}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with closing() as running:
        yield running


class Walk:
    """Accounts, one of them an issuer, and a contract account (None, which signs with the last key), at random."""

    def __init__(self, sandbox: Sandbox, seed: int) -> None:
        self.sandbox = sandbox
        self.chain = sandbox.chain
        self.dice = Random(seed)
        self.people = People(sandbox)
        self.keys = [ISSUER, *(Keypair.from_raw_ed25519_seed(bytes([40 + n]) * 32) for n in range(4))]
        for each in self.keys:
            self.chain.fund(each.public_key)
        self.wallet = order(sandbox, "wallet", public_key=self.keys[-1].public_key)["contract"]
        self.tokens = [self.chain.token, order(sandbox, "asset", **USDC)["contract"]]
        for each in self.keys[1:]:
            order(sandbox, "trustline", account=each.public_key, amount=10**12, **USDC)
        order(sandbox, "close")
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def step(self) -> None:
        fn, arguments, who = self._choice()
        source = who if who is not None and self.dice.random() < 0.5 else self.dice.choice(self.keys)
        try:
            transaction = self.people.built(source, fn, *arguments, use_upgraded_auth=self.dice.random() < 0.5)
            signers = transaction.needs_non_invoker_signing_by()
            if self.wallet in signers:
                self.people.by_wallet(source, self.wallet, self.keys[-1], fn, *arguments)
            else:
                for signer in signers:
                    transaction.sign_auth_entries(next(each for each in self.keys if each.public_key == signer))
                transaction.sign_and_submit()
        except SimulationFailedError:
            self.refused[fn] += 1
        else:
            self.done[fn] += 1
        if self.dice.random() < 0.3:
            order(self.sandbox, "advance", seconds=self.dice.choice((600, 3600, 700_000)))

    def _choice(self) -> tuple[str, list[xdr.SCVal], Keypair | None]:
        """A function, its arguments, and who is to authorize it."""
        dice = self.dice
        fn = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        who = dice.choice([*self.keys, None])
        me = address(self.wallet if who is None else who)
        newest = self.chain.read(InstanceKey()).group_counter
        group = scval.to_uint64(dice.randint(max(newest - 2, 1), max(newest, 1)))
        amount = scval.to_int128(dice.randint(1, 10**7))
        if fn == "create_group":
            terms = [amount, scval.to_uint64(60), scval.to_uint32(dice.randint(2, 4)), scval.to_uint64(0)]
            rest = [scval.to_uint32(0), scval.to_uint32(dice.choice((0, 500)))]
            return fn, [me, address(dice.choice(self.tokens)), *terms, *rest], who
        if fn == "vote_refund":
            return fn, [me, group, scval.to_bool(True)], who
        if fn == "set_group_metadata":
            return fn, [group, *(scval.to_string("x" * dice.randint(0, 50)) for _ in range(3))], who
        if fn == "file_insurance_claim":
            return fn, [me, group, scval.to_uint32(1), me, amount], who
        return fn, [group] if FUNCTIONS[fn].args == FUNCTIONS["execute_payout"].args else [me, group], who


def test_what_a_simulation_allows_the_ledger_does(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    pause = time.sleep
    # The SDK asks for a result once a second.
    monkeypatch.setattr(time, "sleep", lambda seconds: pause(min(seconds, 0.06)))
    walk = Walk(sandbox, 10)
    for _ in range(STEPS):
        walk.step()
    assert set(walk.done) >= {"create_group", "join_group", "contribute", "execute_payout"}
    assert sum(walk.done.values()) > STEPS // 6
    assert sum(walk.refused.values()) > STEPS // 6
