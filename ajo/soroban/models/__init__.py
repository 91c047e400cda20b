"""The chain's own tables: the checkpoint, the event log, gaps, runs, leases, nodes and transactions.

No table here refers to a savings group's tables: `group_id` is the contract's number, not a foreign key.
"""

from ajo.soroban.models.checkpoint import LEDGER_SLACK, MIN_CLOSE_SECONDS, Checkpoint, CheckpointQuerySet
from ajo.soroban.models.events import EVENT_ID_LENGTH, ContractEvent, UndecodedEntry
from ajo.soroban.models.gaps import HistoryGap, HistoryGapQuerySet
from ajo.soroban.models.nodes import MAX_BACKOFF, RpcNode, RpcNodeQuerySet
from ajo.soroban.models.runs import Lease, SyncRun, SyncRunQuerySet
from ajo.soroban.models.transactions import MOVES, ChainTransaction, ChainTransactionQuerySet

__all__ = [
    "EVENT_ID_LENGTH",
    "LEDGER_SLACK",
    "MAX_BACKOFF",
    "MIN_CLOSE_SECONDS",
    "MOVES",
    "ChainTransaction",
    "ChainTransactionQuerySet",
    "Checkpoint",
    "CheckpointQuerySet",
    "ContractEvent",
    "HistoryGap",
    "HistoryGapQuerySet",
    "Lease",
    "RpcNode",
    "RpcNodeQuerySet",
    "SyncRun",
    "SyncRunQuerySet",
    "UndecodedEntry",
]
