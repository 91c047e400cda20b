"""What the follower does next with a transaction, by its source's account and the chain's clock."""

from datetime import UTC, datetime

import pytest

from ajo.celery import app
from ajo.soroban.models import ChainTransaction, Checkpoint
from ajo.transactions.plan import Clock, Seen, Step, next_step
from ajo.transactions.tasks import follow_transactions

MAX_TIME = 1_800_000_000
EARLY, LATE = MAX_TIME - 100, MAX_TIME - 10


def row(**values: object) -> ChainTransaction:
    return ChainTransaction(**({"sequence": 8, "max_time": MAX_TIME, "next_send_ledger": 0} | values))


def clock(closed_at: int = EARLY, *, ledger: int = 100, tables: int = 100) -> Clock:
    return Clock(ledger, closed_at, tables)


@pytest.mark.parametrize(
    ("values", "seen", "at", "step"),
    [
        ({}, Seen(100, 7), clock(), Step.SEND),
        ({}, Seen(100, 6), clock(), Step.WAIT),  # for a predecessor
        ({}, Seen(100, 6), clock(MAX_TIME + 1), Step.PROVE_OVER),
        ({"next_send_ledger": 101}, Seen(100, 7), clock(), Step.WAIT),
        ({"next_send_ledger": 101}, Seen(101, 7), clock(), Step.SEND),  # the account's reading is newer than the sync
        ({"status": "rejected"}, Seen(100, 7), clock(), Step.WAIT),
        ({}, Seen(100, 7), clock(LATE - 1), Step.SEND),
        ({}, Seen(100, 7), clock(LATE), Step.WAIT),  # cores refuse what has less than ten seconds left
        ({}, Seen(100, 7), clock(MAX_TIME), Step.WAIT),  # a ledger that closes then can carry it
        ({}, Seen(100, 7), clock(MAX_TIME + 1), Step.PROVE_OVER),
        ({"status": "rejected"}, Seen(100, 7), clock(MAX_TIME + 1), Step.PROVE_OVER),
        ({}, Seen(100, 8), clock(), Step.LOOK_UP),
        ({}, Seen(101, 8), clock(), Step.WAIT),  # the sync may bring its event
        ({"sequence_used_ledger": 100}, Seen(105, 9), clock(ledger=105), Step.LOOK_UP),
        ({}, Seen(100, 9), clock(MAX_TIME + 1), Step.LOOK_UP),
        ({}, Seen(100, None), clock(), Step.LOOK_UP),
    ],
)
def test_the_next_step(values: dict[str, object], seen: Seen, at: Clock, step: Step) -> None:
    assert next_step(row(**values), seen, at, is_replaced=False) == step


def test_what_a_later_one_replaces_is_sent_no_more_and_followed() -> None:
    assert next_step(row(), Seen(100, 7), clock(), is_replaced=True) == Step.WAIT
    assert next_step(row(), Seen(100, 8), clock(), is_replaced=True) == Step.LOOK_UP
    assert next_step(row(), Seen(100, 7), clock(MAX_TIME + 1), is_replaced=True) == Step.PROVE_OVER


def test_the_clock_is_the_chains() -> None:
    closed_at = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
    checkpoint = Checkpoint(ledger=90, chain_ledger=100, chain_closed_at=closed_at)
    assert Clock.of(checkpoint) == Clock(100, int(closed_at.timestamp()), 90)
    assert Clock.of(Checkpoint(ledger=0, chain_ledger=0)) == Clock(0, 0, 0)


def test_beat_sends_the_task_by_its_name() -> None:
    assert follow_transactions.name == "transactions.follow"
    assert app.conf.beat_schedule["transactions"]["task"] == follow_transactions.name
