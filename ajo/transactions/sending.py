"""Sends a stored transaction once, and writes down what the answer means: for the first sending and for all others.

A double sending is harmless by design: the envelope is the same, so is its hash, and a ledger applies it once.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import Case, F, Value, When
from django.db.models.functions import Greatest, Now

from ajo.soroban.models import LEDGER_SLACK, ChainTransaction, Checkpoint
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import ChainError, SendRejected
from ajo.soroban.rpc.pool import nodes
from ajo.soroban.rpc.transactions import Sent
from ajo.transactions.answers import INVALID_PARAMS, Effect, SendMeaning, send_meaning

log = logging.getLogger(__name__)

Status = ChainTransaction.Status
# Ledgers in which a core keeps a transaction in its queue; after them it bans the hash for ten. To send it about every
# five finds the end of the ban, whenever it aged out (docs/writing.md).
QUEUE_AGE: Final = 4
RESEND_LEDGERS: Final = QUEUE_AGE + 1
LEDGER_TIME: Final = timedelta(seconds=min(5, settings.SYNC_INTERVAL))  # in which a public network closes one
# What a node has queued applies within two ledgers as a rule, and its events settle it: nobody looks before.
FIRST_LOOK: Final = 2 * LEDGER_TIME


def send(
    row: ChainTransaction,
    *,
    is_first_send: bool,
    deadline: float | None = None,
    other_node: bool = False,
    heard: int = 0,
) -> SendMeaning:
    """Send the transaction, store what the answer means, and return it. Raises nothing of the chain's.

    A node that cannot be asked leads to the next one, before `deadline` (time.monotonic). `other_node`: not the first
    in order, where there is another. `heard`: the network's newest ledger, as the caller has read it. The row is stored
    before; `row` itself is not changed.
    """
    taken: list[bool] = []  # of each sending whether its node may have taken it

    def once(client: SorobanClient) -> Sent:
        taken.append(True)
        try:
            return client.send(row.xdr)
        except SendRejected as failure:
            taken[-1] = failure.code != INVALID_PARAMS
            raise

    def read(client: SorobanClient) -> Sent:
        return nodes().second_opinion(client, once) if other_node else once(client)

    answer: Sent | ChainError
    try:
        answer = nodes().run(read, deadline)
    except ChainError as failure:
        answer = failure
    meaning = send_meaning(answer, is_first_send=is_first_send and not any(taken[:-1]), row=row)
    if isinstance(answer, Sent) and answer.hash.lower() != row.hash:
        log.error("a node answers transaction %s with the hash %s", row.hash, answer.hash[:64])
    _record(row.hash, meaning, len(taken), heard)
    return meaning


def _record(tx_hash: str, meaning: SendMeaning, sent: int, heard: int) -> None:
    """Store what the answer of a sending means; nothing if its end is proven already."""
    # Without an answer the next sending waits for the next ledger, too. A node that names a ledger of the far future
    # must not keep it from being sent.
    ledger = meaning.ledger or heard
    if ledger > heard + LEDGER_SLACK:
        ledger = min(ledger, Checkpoint.objects.newest_possible())
    values: dict[str, Any] = {
        "attempts": F("attempts") + sent,
        "last_answer": meaning.said,
        "next_send_ledger": Greatest("next_send_ledger", ledger + 1),
        "next_attempt_at": Now() + LEDGER_TIME,
        "updated_at": Now(),
    }
    if meaning.effect == Effect.QUEUED:
        values["queued_ledger"] = Greatest("queued_ledger", Value(ledger))
        values["next_send_ledger"] = ledger + RESEND_LEDGERS
        values["next_attempt_at"] = Now() + FIRST_LOOK
    elif meaning.effect == Effect.REJECTED:
        values |= {"status": Status.REJECTED, "code": meaning.code or "", "detail": meaning.detail}
    else:
        # a queued one stays away for as long as a ban may last; any other goes again at the next ledger
        resend = When(queued_ledger__isnull=False, then=Greatest("next_send_ledger", ledger + RESEND_LEDGERS))
        values["next_send_ledger"] = Case(resend, default=values["next_send_ledger"])
    ChainTransaction.objects.pending().filter(hash=tx_hash).update(**values)
