"""Fills empty tables: makes the checkpoint and reads every group once, before events are followed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.conf import settings

from ajo.indexer.gaps import first_ledger
from ajo.indexer.lease import Superseded
from ajo.indexer.missing import settle_missing_groups
from ajo.indexer.runs import Counts, add_counts
from ajo.soroban.deadline import NEVER, Deadline
from ajo.soroban.models import Checkpoint
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError, NodeLagging, WrongChain
from groups.creation import read_groups
from groups.models import Group
from groups.snapshots import GroupReader, Snapshots
from groups.sync import store_undecoded, write_snapshots

LOAD_BATCH = 500  # groups that are read and committed together


def begin(client: SorobanClient) -> Checkpoint:
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


def load_state(client: SorobanClient, checkpoint: Checkpoint, counts: Counts, deadline: Deadline) -> bool:
    """Read every group that was last read before `start_ledger`, in batches that commit, so that it is resumable.

    Returns False if the deadline came first. Raises ChainError for a contract that this version cannot read.
    """
    first = read_state(client, checkpoint, [], counts, at_least=checkpoint.start_ledger)
    total = first.instance.group_counter if first.instance else checkpoint.group_count
    if first.instance_entry is None:
        raise NodeLagging("the node does not have the contract")
    if not (first.instance or total):
        store_undecoded(first.undecoded)  # the group count is unknown until the contract's own entry can be read
        raise ChainError(f"AJO_CONTRACT_ID: {checkpoint.contract} is no contract that this version can read")
    for start in range(1, total + 1, LOAD_BATCH):
        batch = range(start, min(start + LOAD_BATCH, total + 1))
        read = Group.objects.filter(id__in=batch, synced_ledger__gte=checkpoint.start_ledger)
        missing = set(batch).difference(read.values_list("id", flat=True))
        if missing:
            if deadline.is_past():
                return False
            snapshots = read_state(
                client, checkpoint, sorted(missing), counts, at_least=checkpoint.start_ledger, deadline=deadline
            )
            settle_missing_groups(client, checkpoint, snapshots, int(checkpoint.start_ledger), counts)
            write_snapshots(snapshots)
            if missing - snapshots.settled:
                return False
    ledger = max(checkpoint.start_ledger - 1, checkpoint.ledger, 1)
    if not Checkpoint.objects.advance(checkpoint, ledger=ledger, is_loaded=True):
        raise Superseded("another pass was first")
    checkpoint.ledger = ledger
    return True


def read_state(
    client: SorobanClient,
    checkpoint: Checkpoint,
    ids: Iterable[int],
    counts: Counts,
    *,
    at_least: int,
    deadline: Deadline = NEVER,
    texts: Mapping[int, str] | None = None,
) -> Snapshots:
    """Read these groups and the instance entry, and count the calls."""
    contract = checkpoint.contract
    snapshots = read_groups(client, contract, at_least, ids, with_instance=True, deadline=deadline, texts=texts)
    add_counts(counts, calls=snapshots.calls)
    return snapshots
