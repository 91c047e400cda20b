"""The demo population keeps to itself: groups and wallets of others are theirs to move."""

from collections.abc import Callable

from stellar_sdk import Keypair

from ajo.soroban.contract.entries import Group
from ajo.soroban.contract.keys import ContribKey, GroupKey, InstanceKey
from devtools.sandbox.chain import Chain
from devtools.sandbox.demo import Population

AMOUNT = 5 * 10**7
ROUND = 600
LEDGERS = 150


def strangers(chain: Chain, count: int) -> list[str]:
    found = [Keypair.from_raw_ed25519_seed(bytes([90 + number]) * 32).public_key for number in range(count)]
    for each in found:
        chain.fund(each)
    chain.close_ledger()
    return found


def found_group(chain: Chain, creator: str) -> int:
    terms = (creator, chain.token, AMOUNT, ROUND, 3, 0, 0, 0)
    chain.call(creator, "create_group", *terms)
    chain.close_ledger()
    return int(chain.read(InstanceKey()).group_counter)


def live(chain: Chain, people: Population, until: Callable[[], bool]) -> None:
    """Let the demo act, some minutes a ledger, for LEDGERS ledgers or until something holds."""
    for _ in range(LEDGERS):
        if until():
            return
        chain.advance(ROUND // 2)
        people.act()
        chain.close_ledger()


def test_the_demo_neither_joins_nor_pays_nor_moves_a_group_of_others() -> None:
    chain = Chain()
    group, members = found_group(chain, (three := strangers(chain, 3))[0]), three
    for each in members[1:]:
        chain.call(each, "join_group", each, group)
    half_full = found_group(chain, members[0])
    before = [chain.read(GroupKey(each)) for each in (group, half_full)]
    balances = [chain.balance(each) for each in members]

    people = Population(chain, "ajo", pace=1)
    live(chain, people, lambda: False)

    assert chain.read(InstanceKey()).group_counter > half_full + 5, "the demo did nothing at all"
    assert [chain.read(GroupKey(each)) for each in (group, half_full)] == before
    assert [chain.balance(each) for each in members] == balances
    assert chain.read(ContribKey(group, 1, members[1])) is None


def test_a_stranger_who_joins_a_group_of_the_demos_pays_for_himself() -> None:
    chain = Chain()
    (stranger,) = strangers(chain, 1)
    people = Population(chain, "ajo", pace=1)

    def joinable() -> Group | None:
        newest = chain.read(InstanceKey()).group_counter
        groups = [chain.read(GroupKey(number)) for number in range(1, newest + 1)]
        return next((each for each in groups if each.status == "active" and len(each.members) < each.max_members), None)

    live(chain, people, lambda: joinable() is not None)
    group = joinable()
    assert group is not None
    chain.call(stranger, "join_group", stranger, group.id)
    chain.close_ledger()
    balance = chain.balance(stranger)

    live(chain, people, lambda: False)

    assert chain.read(ContribKey(group.id, group.current_cycle, group.creator)) is not None
    assert chain.read(ContribKey(group.id, group.current_cycle, stranger)) is None
    assert chain.balance(stranger) == balance
