"""Defines what the states and the guards of one pass share."""

from __future__ import annotations

from dataclasses import dataclass, field

from ajo.indexer.lease import LeaseHandle
from ajo.indexer.runs import Counts
from ajo.soroban.deadline import Deadline
from ajo.soroban.models import Checkpoint, SyncRun
from ajo.soroban.rpc.answers import EventPage
from ajo.soroban.rpc.client import SorobanClient
from contributions.event_rows import LoggedEvent
from groups.snapshots import Snapshots


@dataclass(slots=True)
class PassContext:
    """Holds one pass with one node: what it began with, and what each state has read so far.

    `client` renews the lease and counts its calls. `gap_to`: see `follow.sync_pass`. `log`: the page's events.
    `at_least`: the ledger that a node has to have reached for its groups. `missing`: see `missing.missing_groups`.
    `newest_possible`: the newest ledger that the network can have reached; what names a later one is wrong.
    """

    client: SorobanClient
    run: SyncRun
    lease: LeaseHandle
    gap_to: int
    deadline: Deadline = field(default_factory=Deadline)
    checkpoint: Checkpoint = field(init=False)
    page: EventPage = field(init=False)
    log: list[LoggedEvent] = field(init=False)
    at_least: int = field(init=False)
    missing: list[int] = field(init=False)
    snapshots: Snapshots = field(init=False)
    newest_possible: int = field(init=False)

    @property
    def counts(self) -> Counts:
        counts: Counts = self.run.counts
        return counts
