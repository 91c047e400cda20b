"""What tests do with a chain in the sandbox: make groups, follow it to its end, and compare it with the tables."""

import base64
from typing import Any

from stellar_sdk.xdr import LedgerEntryData

from ajo.indexer.follow import sync_pass
from ajo.soroban.contract.keys import Key
from ajo.soroban.rpc.client import SorobanClient
from devtools.sandbox.sandbox import Sandbox
from tests.support.comparison import differences
from tests.support.histories import DAY, contract_entries
from tests.support.wallets import wallets


def make_groups(sandbox: Sandbox, count: int) -> None:
    """In one ledger, all by the first wallet."""
    (creator,) = wallets(1)
    for _ in range(count):
        sandbox.chain.call(creator, "create_group", creator, sandbox.chain.token, 50, DAY, 3, 0, 0, 0)
    sandbox.chain.close_ledger()


def catch_up(client: SorobanClient) -> None:
    while not sync_pass(client).caught_up:
        pass


def assert_equal(sandbox: Sandbox) -> None:
    found = differences(contract_entries(sandbox.chain))
    assert not found, found


def spoil(sandbox: Sandbox, key: Key) -> None:
    """Write an entry as no contract known here does: its map without the first field, changed in the newest ledger."""
    data: Any = LedgerEntryData.from_xdr(entry_of(sandbox, key))
    del data.contract_data.val.map.sc_map[0]
    put(sandbox, key, data.to_xdr())


def entry_of(sandbox: Sandbox, key: Key) -> str:
    """What the chain holds under a key of the contract: LedgerEntryData in base64."""
    stored = sandbox.chain.store.entry(base64.b64decode(key.to_xdr(sandbox.contract)))
    assert stored is not None
    return stored.xdr


def put(sandbox: Sandbox, key: Key, xdr: str) -> None:
    with sandbox.chain.store.ledger():
        sandbox.chain.put_entry(sandbox.chain.latest, base64.b64decode(key.to_xdr(sandbox.contract)), xdr)
