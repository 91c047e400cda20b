"""Readings of the chain written to the tables: by several at once, and never an older one over a newer one."""

from copy import deepcopy
from functools import partial

import pytest

from ajo.soroban.contract.keys import GroupKey
from ajo.soroban.models import UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group, User
from groups.snapshots import GroupReader
from groups.sync import write_snapshots
from tests.support.following import catch_up, corrupt_entry, make_groups, read_entry, write_entry
from tests.support.histories import History
from tests.support.threads import run_concurrently
from tests.support.wallets import wallets

pytestmark = pytest.mark.django_db(transaction=True)


def test_wallets_are_made_once_by_many() -> None:
    addresses = wallets(50)
    orders = [addresses, addresses[::-1], addresses[20:], addresses[:30]]
    assert run_concurrently([partial(User.objects.ensure, some) for some in orders]) == []
    assert User.objects.count() == 50


def test_groups_are_written_once_by_many_and_the_newer_reading_stays(
    sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    history = History(sandbox.chain, 4)
    history.walk(20)
    ids = history.groups[:]
    reader = GroupReader(client_of_chain, sandbox.contract)
    older = deepcopy(reader.read(ids))
    history.walk(20)
    newer = GroupReader(client_of_chain, sandbox.contract).read(ids)
    assert older.groups != newer.groups
    assert run_concurrently([partial(write_snapshots, each) for each in (newer, older, newer, older)]) == []
    write_snapshots(older)
    stored = {group.pk: group.entry_xdr for group in Group.objects.all()}
    assert stored == {group_id: snapshot.group_xdr for group_id, snapshot in newer.groups.items()}


def test_an_older_reading_does_not_show_a_hidden_group_again(sandbox: Sandbox, client_of_chain: SorobanClient) -> None:
    """The group was hidden twice, and could be read in between."""
    make_groups(sandbox, 1)
    catch_up(client_of_chain)
    whole = read_entry(sandbox, GroupKey(1))
    snapshots = []
    for is_readable in (False, True, False):
        sandbox.chain.close_ledger()
        write_entry(sandbox, GroupKey(1), whole)
        if not is_readable:
            corrupt_entry(sandbox, GroupKey(1))
        snapshots.append(GroupReader(client_of_chain, sandbox.contract).read([1]))
    first, between, last = snapshots
    for reading in (first, last, between, first):
        write_snapshots(reading)
    assert Group.objects.get().unreadable_since
    assert UndecodedEntry.objects.get().ledger == last.ledger
