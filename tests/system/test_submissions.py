"""Hundreds of transactions through the API, in real processes, while everything that can go wrong does."""

import faulthandler
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from tests.support.running import running
from tests.support.submission_run import EVENTS_LIMIT, run_submissions

pytestmark = [
    pytest.mark.system_long,
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]
COUNT, SEED = 500, 1


def test_every_end_that_is_said_of_500_submissions_is_the_chains(
    tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    """Breaks without the proofs of docs/writing.md: one answer that were believed would end some of them wrongly."""
    faulthandler.cancel_dump_traceback_later()  # the run has a limit of its own
    with django_db_blocker.unblock(), running(tmp_path, RPC_EVENTS_LIMIT=EVENTS_LIMIT) as up:
        up.start_all()
        report = run_submissions(up, COUNT, SEED)
    assert report.wrong == []
    assert sum(report.ends.values()) >= COUNT
    assert report.ends.get("success", 0) > COUNT / 4
    assert report.ends.get("failed", 0) > 0
    assert report.built > COUNT / 10
    assert len(report.troubles) == 19
