"""People for the sandbox: they found groups, join, pay (some late), take payouts, cancel, vote and give names.

What happens in a ledger follows from the seed and the ledger's number alone, and from what the chain holds, so a chain
that is started again goes on as if it had never stopped.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from stellar_sdk import Keypair, StrKey

from ajo.soroban.contract.codec import ADDRESS, U64, vec_of
from ajo.soroban.contract.entries import Group, RefundRequest
from ajo.soroban.contract.keys import (
    ContribKey,
    GroupKey,
    InstanceKey,
    MetadataKey,
    RefundRequestKey,
    RefundVoteKey,
)
from devtools.sandbox.chain import Chain
from devtools.sandbox.contract.refunds import APPROVAL_PERCENT
from devtools.sandbox.demo_texts import DESCRIPTIONS, NAMES, RULES
from devtools.sandbox.network import LEDGER_SECONDS

PEOPLE: Final = 48
# A tenth of the wallets are contracts, as passkey wallets are.
CONTRACTS_EVERY: Final = 10
ACTIVE_GROUPS: Final = 24
# After a restart only so many of the newest groups are looked through for those still going.
REMEMBERED_GROUPS: Final = 500
# Seconds. Short rounds keep the pages moving; long ones are what real groups have.
DURATIONS: Final = (300, 600, 600, 900, 900, 1800, 1800, 3600, 3600, 21_600, 86_400, 604_800)
GRACE: Final = (0, 60, 120, 300)
XLM: Final = 10**7
KEPT: Final = 5 * XLM  # what a wallet keeps: its reserve is part of that

Deed = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Fate:
    """What a group is heading for; drawn once from the seed and its id."""

    size: int
    named: bool
    end: str  # "finish", "cancel", "stall" or "emergency"


class Population:
    """Acts on a chain's open ledger; `pace` is each group's chance that something happens to it in one ledger."""

    def __init__(self, chain: Chain, seed: str, *, pace: float) -> None:
        self.chain = chain
        self.seed = seed
        self.pace = pace
        self.people = [self._person(number) for number in range(PEOPLE)]
        self._own = frozenset(self.people)
        newest = chain.read(InstanceKey()).group_counter
        self._seen = max(newest - REMEMBERED_GROUPS, 0)
        self._active: set[int] = set()

    def _person(self, number: int) -> str:
        raw = hashlib.sha256(f"{self.seed}/person/{number}".encode()).digest()
        if number % CONTRACTS_EVERY == CONTRACTS_EVERY - 1:
            return StrKey.encode_contract(raw)
        return Keypair.from_raw_ed25519_seed(raw).public_key

    def _random(self, *place: object) -> Random:
        return Random("/".join(map(str, (self.seed, *place))))  # noqa: S311 - it guards nothing

    def act(self) -> None:
        """One ledger's deeds."""
        ledger = self.chain.open_ledger()
        dice = self._random("ledger", ledger.sequence)
        groups = self._groups()
        # A group with somebody from outside may wait for that one for ever: it must not keep new ones from coming.
        own = [each for each in groups if self._own.issuperset(each.members)]
        if len(own) < ACTIVE_GROUPS and dice.random() < max(self.pace, 0.1):
            self._found(dice)
        for group in groups:
            if dice.random() < self.pace:
                deeds = self._deeds(group, ledger.close, dice)
                if deeds:
                    dice.choice(deeds)()

    def _groups(self) -> list[Group]:
        """The groups of their own that are still going, by id."""
        newest = self.chain.read(InstanceKey()).group_counter
        self._active.update(range(self._seen + 1, newest + 1))
        self._seen = newest
        found = [self.chain.read(GroupKey(each)) for each in sorted(self._active)]
        groups = [each for each in found if each.status == "active" and each.creator in self._own]
        self._active = {each.id for each in groups}
        return groups

    def fate(self, group: Group) -> Fate:
        dice = self._random("fate", group.id)
        end = dice.choices(("finish", "cancel", "stall", "emergency"), (80, 7, 10, 3))[0]
        return Fate(dice.randint(2, min(group.max_members, 7)), dice.random() < 0.85, end)

    def _found(self, dice: Random) -> None:
        creator = dice.choice(self.people)
        amount = dice.choice((5, 10, 25, 50, 100, 250)) * XLM + dice.choice((0, 0, 0, 1))
        insurance = dice.choice((0, 0, 0, 50, 250))
        duration, grace = dice.choice(DURATIONS), dice.choice(GRACE)
        terms = (amount, duration, dice.randint(2, 12), grace, dice.choice((0, 5, 10)), insurance)
        self.chain.call(creator, "create_group", creator, self.chain.token, *terms)

    # -- what can happen to a group now

    def _deeds(self, group: Group, now: int, dice: Random) -> list[Deed]:
        fate = self.fate(group)
        unpaid = [each for each in group.members if not self._has_paid(group, each)]
        deeds = [*self._growth(group, fate, dice), *self._payments(group, fate, unpaid, dice)]
        grace_end = group.cycle_start_time + group.cycle_duration + (group.grace_period or 0)
        if not unpaid and len(group.members) > 1 and now >= grace_end:
            # Whoever notices first pushes the button: nothing else matters then.
            return [lambda: self.chain.call(group.creator, "execute_payout", group.id)]
        if fate.end == "cancel" and group.payout_index == 0 and len(group.members) >= fate.size:
            deeds.append(lambda: self.chain.call(group.creator, "cancel_group", group.creator, group.id))
        if fate.end == "emergency" and group.payout_index > 0:
            deeds.append(lambda: self.chain.call(self.chain.admin, "emergency_refund", self.chain.admin, group.id))
        if fate.end == "stall" and now > grace_end and unpaid:
            deeds += self._refund(group, now, dice)
        return deeds

    def _has_paid(self, group: Group, member: str) -> bool:
        return self.chain.read(ContribKey(group.id, group.current_cycle, member)) is not None

    def _growth(self, group: Group, fate: Fate, dice: Random) -> list[Deed]:
        deeds: list[Deed] = []
        if fate.named and self.chain.read(MetadataKey(group.id)) is None:
            texts = (self._name(group), dice.choice(DESCRIPTIONS), dice.choice(RULES))
            deeds.append(lambda: self.chain.call(group.creator, "set_group_metadata", group.id, *texts))
        if len(group.members) < fate.size:
            member = dice.choice([each for each in self.people if each not in group.members])
            deeds.append(lambda: self.chain.call(member, "join_group", member, group.id))
        return deeds

    def _name(self, group: Group) -> bytes:
        name = NAMES[group.id % len(NAMES)]
        again = group.id // len(NAMES)
        return name if again == 0 else name + f" {again + 1}".encode()

    def _payments(self, group: Group, fate: Fate, unpaid: list[str], dice: Random) -> list[Deed]:
        """Members pay in any order; in a group that stalls the last to join never does, from the second round on."""
        never = {group.members[-1]} if fate.end == "stall" and group.current_cycle > 1 else set()
        payers = [each for each in unpaid if each in self._own and each not in never]
        if not payers:
            return []
        if len(payers) > 2 and dice.random() < 0.15:
            return [lambda: self._pay_together(group, payers[:3])]
        payer = dice.choice(payers)
        if dice.random() < 0.02:
            # An impatient one pays twice; the second time is refused and stays on the chain as a failed transaction.
            return [lambda: self._pay(group, payer, times=2)]
        return [lambda: self._pay(group, payer)]

    def _pay(self, group: Group, member: str, times: int = 1) -> None:
        self._provide(group, member)
        for _ in range(times):
            self.chain.call(member, "contribute", member, group.id)

    def _pay_together(self, group: Group, members: list[str]) -> None:
        for member in members:
            self._provide(group, member)
        target, ids = ADDRESS.to_xdr(self.chain.contract), vec_of(U64).to_xdr((group.id,) * len(members))
        args = [target, vec_of(ADDRESS).to_xdr(tuple(members)), ids]
        self.chain.submit(members[0], "contribute_all", args, on=self.chain.contracts.router)

    def _provide(self, group: Group, member: str) -> None:
        if self.chain.balance(member) < group.contribution_amount + KEPT:
            self.chain.fund(member)

    def _refund(self, group: Group, now: int, dice: Random) -> list[Deed]:
        """Ask, vote, and carry it out when the seven days are over."""
        request: RefundRequest | None = self.chain.read(RefundRequestKey(group.id))
        asker = dice.choice([each for each in group.members if each in self._own])
        if request is None:
            return [lambda: self.chain.call(asker, "request_refund", asker, group.id)]
        votes = request.votes_for + request.votes_against
        if now > request.voting_deadline and request.votes_for * 100 >= votes * APPROVAL_PERCENT > 0:
            return [lambda: self.chain.call(asker, "execute_refund", asker, group.id)]
        if now > request.voting_deadline:
            # The vote is lost and the group stuck: in the end the admin gives the money back.
            return [lambda: self.chain.call(self.chain.admin, "emergency_refund", self.chain.admin, group.id)]
        in_favor = dice.random() < 0.75
        if self.chain.read(RefundVoteKey(group.id, asker)) is None:
            return [lambda: self.chain.call(asker, "vote_refund", asker, group.id, in_favor)]
        return []


# The past is told in steps of hours, the last day in finer ones: (steps, seconds each).
HISTORY: Final = ((20 * 12, 7200), (24, 3600))
HISTORY_SECONDS: Final = sum(steps * seconds for steps, seconds in HISTORY)
HISTORY_PACE: Final = 0.75
LIVE_PACE: Final = 0.05


def tell_history(chain: Chain, seed: str) -> None:
    """Give a new chain a past, up to about now. All of it is written at once: a run that dies leaves none of it."""
    people = Population(chain, seed, pace=HISTORY_PACE)
    with chain.lock, chain.store.ledger():
        for steps, seconds in HISTORY:
            for _ in range(steps):
                chain.advance(seconds - LEDGER_SECONDS)
                people.act()
                chain.close_ledger()
