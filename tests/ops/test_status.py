"""`GET status/` says how far the tables follow the chain, and nothing of servers."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from ajo.soroban.models import HistoryGap, SyncRun, UndecodedEntry
from tests.support.factories import API, START, contract, make_checkpoint

pytestmark = pytest.mark.django_db


def test_the_status_before_the_first_sync_is_an_answer_too(client: Client) -> None:
    shown = client.get(f"{API}status/").json()
    assert (shown["contract"], shown["last_sync"], shown["lag_seconds"]) == (None, None, None)
    assert (shown["latest_ledger"], shown["stale"], shown["gaps"]) == (0, True, [])


def test_the_status_says_what_the_sync_knows(client: Client) -> None:
    closed_at = datetime.now(UTC) - timedelta(seconds=30)
    make_checkpoint(1000, chain_ledger=1004, chain_closed_at=closed_at, paused=True, drift_state=1, drift_metadata=2)
    HistoryGap.objects.create(
        network_passphrase="Test", contract=contract(1), from_ledger=0, to_ledger=9, why="the sync was away"
    )
    UndecodedEntry.objects.create(key="k", xdr="", error="", ledger=1)
    SyncRun.objects.create(kind="sync", started_at=START, finished_at=START, outcome="failed", reason="http://rpc")
    SyncRun.objects.create(kind="sync", started_at=START)
    SyncRun.objects.create(
        kind="sweep", started_at=START, finished_at=START, outcome="ok", counts={"drift": 1}, ledger=7
    )
    response = client.get(f"{API}status/")
    shown = response.json()
    assert shown["network_passphrase"] == "Test"
    assert (shown["latest_ledger"], shown["chain_ledger"], shown["stale"]) == (1000, 1004, False)
    assert 30 <= shown["lag_seconds"] <= 60
    assert (shown["paused"], shown["drift_total"], shown["undecoded"]) == (True, 3, 1)
    assert shown["last_sync"]["outcome"] == "failed"
    assert shown["last_sweep"] == {
        "started_at": "2026-01-01T00:00:00Z",
        "finished_at": "2026-01-01T00:00:00Z",
        "outcome": "ok",
        "ledger": 7,
        "counts": {"drift": 1},
    }
    assert [(gap["from_ledger"], gap["to_ledger"], gap["why"]) for gap in shown["gaps"]] == [
        (0, 9, "the sync was away")
    ]
    assert b"http" not in response.content
