"""Fills empty tables: makes the checkpoint and reads every group once, before events are followed."""

from __future__ import annotations

from django.conf import settings

from ajo.indexer.gaps import first_ledger
from ajo.indexer.lease import advance_cursor
from ajo.indexer.missing import settle_missing_groups
from ajo.soroban.deadline import Deadline
from ajo.soroban.models import Checkpoint
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError, NodeLagging, WrongChain
from groups.creation import read_groups
from groups.models import Group
from groups.snapshots import GroupReader
from groups.sync import store_undecoded, write_snapshots

LOAD_BATCH = 500  # groups that are read and committed together


def create_checkpoint(client: SorobanClient) -> Checkpoint:
    """Make the checkpoint: the network, and the first ledger whose events can be had.

    Raises WrongChain for another network than the configured one, NodeLagging if the node has no such contract.
    """
    network = client.get_network()
    if network.passphrase != settings.STELLAR_NETWORK_PASSPHRASE:
        raise WrongChain(f"the RPC serves “{network.passphrase}”, STELLAR_NETWORK_PASSPHRASE names another network")
    contract, start = settings.AJO_CONTRACT_ID, first_ledger(client)
    # Before anything is kept: a start ahead of the chain would be waited for, and a wrong contract followed, for ever.
    if GroupReader(client, contract, start).read([], with_instance=True).instance_entry is None:
        raise NodeLagging(f"AJO_CONTRACT_ID: there is no contract {contract} on this network, as far as the node knows")
    checkpoint, _ = Checkpoint.objects.get_or_create(
        network_passphrase=network.passphrase, contract=contract, defaults={"start_ledger": start}
    )
    return checkpoint


def load_state(client: SorobanClient, checkpoint: Checkpoint, deadline: Deadline) -> bool:
    """Read every group that was last read before `start_ledger`, in batches that commit, so that it is resumable.

    Returns False if the deadline came first. Raises ChainError for a contract that this version cannot read.
    """
    contract, start_ledger = checkpoint.contract, checkpoint.start_ledger
    first = GroupReader(client, contract, start_ledger).read([], with_instance=True)
    total = first.instance.group_counter if first.instance else checkpoint.group_count
    if first.instance_entry is None:
        raise NodeLagging("the node does not have the contract")
    if not (first.instance or total):
        store_undecoded(first.undecoded)  # the group count is unknown until the contract's own entry can be read
        raise ChainError(f"AJO_CONTRACT_ID: {contract} is no contract that this version can read")
    for start in range(1, total + 1, LOAD_BATCH):
        batch = range(start, min(start + LOAD_BATCH, total + 1))
        read = Group.objects.filter(id__in=batch, synced_ledger__gte=start_ledger)
        missing = set(batch).difference(read.values_list("id", flat=True))
        if missing:
            if deadline.is_past():
                return False
            snapshots = read_groups(
                client, contract, start_ledger, sorted(missing), with_instance=True, deadline=deadline
            )
            settle_missing_groups(client, checkpoint, snapshots, start_ledger)
            write_snapshots(snapshots)
            if missing - snapshots.settled:
                return False
    ledger = max(start_ledger - 1, checkpoint.ledger, 1)
    advance_cursor(checkpoint, ledger=ledger, is_loaded=True)
    checkpoint.ledger = ledger
    return True
