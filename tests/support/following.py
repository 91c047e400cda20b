"""Steps on a chain in the sandbox: make groups, follow it, compare it with the tables, change its entries."""

import base64
from typing import Any

from stellar_sdk.xdr import LedgerEntryData

from ajo.indexer.follow import sync_pass
from ajo.indexer.verify import sweep_groups
from ajo.soroban.contract.keys import Key
from ajo.soroban.rpc.client import SorobanClient
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from tests.support.comparison import differences
from tests.support.histories import DAY, contract_entries
from tests.support.wallets import wallets

# The ids that `make_full_groups` gives.
RUNNING, CANCELLED = 1, 2


def make_groups(sandbox: Sandbox, count: int) -> None:
    """Create `count` groups in one ledger, all by the first wallet."""
    (creator,) = wallets(1)
    for _ in range(count):
        sandbox.chain.call(creator, "create_group", creator, sandbox.chain.token, 50, DAY, 3, 0, 0, 0)
    sandbox.chain.close_ledger()


def catch_up(client: SorobanClient) -> None:
    """Run passes until one has caught up."""
    while not sync_pass(client).caught_up:
        pass


def assert_equal(sandbox: Sandbox) -> None:
    """Assert that the tables equal the contract's entries."""
    found = differences(contract_entries(sandbox.chain))
    assert not found, found


def corrupt_entry(sandbox: Sandbox, key: Key) -> None:
    """Write an entry that cannot be decoded (its map lacks the first field), changed in the newest ledger."""
    data: Any = LedgerEntryData.from_xdr(read_entry(sandbox, key))
    del data.contract_data.val.map.sc_map[0]
    write_entry(sandbox, key, data.to_xdr())


def read_entry(sandbox: Sandbox, key: Key) -> str:
    """Return what the chain holds under a key of the contract: LedgerEntryData in base64."""
    stored = sandbox.chain.store.entry(base64.b64decode(key.to_xdr(sandbox.contract)))
    assert stored is not None
    return stored.xdr


def write_entry(sandbox: Sandbox, key: Key, xdr: str) -> None:
    """Write an entry of the contract (LedgerEntryData in base64), changed in the newest ledger."""
    with sandbox.chain.store.ledger():
        sandbox.chain.put_entry(sandbox.chain.latest, base64.b64decode(key.to_xdr(sandbox.contract)), xdr)


def make_full_groups(sandbox: Sandbox, client: SorobanClient) -> None:
    """Make two groups with all that a group can have, and follow the chain to its end.

    RUNNING has a paid round, an open one and a request to be refunded; CANCELLED has refunds.
    """
    chain, (first, second, third) = sandbox.chain, wallets(3)
    calls: list[tuple[Any, ...]] = []
    for wallet in (first, second, third):
        chain.fund(wallet)
    for group_id in (RUNNING, CANCELLED):
        calls.append((first, "create_group", first, chain.token, 50, DAY, 3, 60, 5, 100))
        calls += [(wallet, "join_group", wallet, group_id) for wallet in (second, third)]
        calls += [(wallet, "contribute", wallet, group_id) for wallet in (first, second, third)]
    calls.append((first, "set_group_metadata", RUNNING, b"Name", b"what for", b"rules"))
    submit(sandbox, calls)
    chain.advance(2 * DAY)
    submit(sandbox, [(first, "execute_payout", RUNNING), (second, "contribute", second, RUNNING)])
    chain.advance(3 * DAY)
    submit(sandbox, [(second, "request_refund", second, RUNNING), (first, "cancel_group", first, CANCELLED)])
    submit(sandbox, [(third, "vote_refund", third, RUNNING, True)])
    catch_up(client)
    list(sweep_groups(lambda read: read(client)))
    assert_equal(sandbox)


def submit(sandbox: Sandbox, calls: list[tuple[Any, ...]]) -> None:
    """Submit calls (wallet, function, arguments…) that all succeed, and close their ledger."""
    for call in calls:
        assert sandbox.chain.call(*call).error is None, call
    sandbox.chain.close_ledger()


def make_paid_round(sandbox: Sandbox) -> str:
    """Create group 1, of two who have both paid its first round. Return its creator, who is paid next."""
    first, second = wallets(2)
    chain = sandbox.chain
    for wallet in (first, second):
        chain.fund(wallet)
    chain.call(first, "create_group", first, chain.token, 50, DAY, 2, 0, 0, 0)
    chain.call(second, "join_group", second, 1)
    for wallet in (first, second):
        chain.call(wallet, "contribute", wallet, 1)
    chain.close_ledger()
    return first


def assert_next_passes_write(sandbox: Sandbox, client: SorobanClient) -> None:
    """Give two passes something to write, each in group 1 and a new one, and assert that they write it."""
    for number, member in enumerate(wallets(3)[1:]):
        sandbox.chain.call(member, "join_group", member, 1)
        make_groups(sandbox, 1)
        catch_up(client)
        assert Group.objects.get(pk=1).member_count == 2 + number
