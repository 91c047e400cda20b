"""No reader waits long for a statement or a lock of PostgreSQL: what web processes, workers and commands allow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery.signals import worker_init
from django.contrib.auth.models import User as Account
from django.db import OperationalError, connection
from django.test import Client
from pytest_django import Settings

from ajo.cache import DEADLINE
from ajo.celery import limit_sessions
from ajo.database.limits import COMMANDS, WEB, WORKERS, Limits, sessions
from ajo.indexer.follow import sync_pass
from ajo.soroban.rpc.pool import Nodes
from devtools.sandbox.sandbox import Sandbox
from tests.support.databases import hold_transaction
from tests.support.factories import API
from tests.support.histories import History
from tests.support.web import Served, served

pytestmark = pytest.mark.django_db(transaction=True)
NAMES = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[Sandbox]:
    with Sandbox() as running:
        settings.STELLAR_NETWORK_PASSPHRASE = running.chain.passphrase
        settings.AJO_CONTRACT_ID = running.contract
        settings.SOROBAN_RPC_URL = [running.url]
        History(running.chain, 3).walk(6)
        Nodes(settings.SOROBAN_RPC_URL).run(sync_pass)
        running.chain.close_ledger(2)
        yield running


@pytest.fixture
def site(tmp_path: Path, sandbox: Sandbox) -> Iterator[Served]:
    env = {
        "SOROBAN_RPC_URL": sandbox.url,
        "AJO_CONTRACT_ID": sandbox.contract,
        "STELLAR_NETWORK_PASSPHRASE": sandbox.chain.passphrase,
    }
    with served(tmp_path, **env) as running:
        yield running


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    sessions.limit(COMMANDS)
    _new_sessions()


def _new_sessions() -> None:
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # the stubs know of no pools


def limits_of(limits: Limits) -> list[str]:
    sessions.limit(limits)
    _new_sessions()
    with connection.cursor() as cursor:
        cursor.execute("SELECT setting::int / 1000 FROM pg_settings WHERE name = ANY(%s)", [list(NAMES)])
        return sorted(str(row[0]) for row in cursor.fetchall())


@pytest.mark.parametrize("limits", [WEB, WORKERS, COMMANDS])
def test_a_session_that_begins_has_its_process_limits(limits: Limits) -> None:
    wanted = (limits.statement, limits.lock, limits.idle_in_transaction)
    assert limits_of(limits) == sorted(str(number) for number in wanted)


def test_a_worker_has_the_limits_of_its_tasks() -> None:
    assert limit_sessions in [receiver() for _, receiver in worker_init.receivers]
    limit_sessions()
    assert sessions.limits == WORKERS


def test_a_rows_lock_holds_no_reader_for_long(site: Served, sandbox: Sandbox) -> None:
    """A rebuild holds such a lock. Breaks without lock_timeout: the reader waits as long as that transaction."""
    path = f"{API}groups/1/?min_ledger={sandbox.chain.latest}"
    with hold_transaction("SELECT * FROM groups_group FOR UPDATE"):
        began = time.monotonic()
        response = site.get(path)
        took = time.monotonic() - began
        assert (response.status_code, int(response.headers["Retry-After"]) >= 1) == (503, True)
    assert took < DEADLINE + 2
    assert site.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/groups/", "/api/v1/groups/1/members/", "/api/v1/groups/1/", "/admin/"])
def test_a_tables_lock_holds_no_reader_for_long(site: Served, path: str) -> None:
    """A migration holds such a lock. The edge's own sessions have the limits, too; a page of the admin says 503 as
    well.
    """
    session = Client()
    session.force_login(Account.objects.create_superuser("chief"))
    cookies = {name: morsel.value for name, morsel in session.cookies.items()}
    with hold_transaction("LOCK TABLE groups_group, soroban_checkpoint IN ACCESS EXCLUSIVE MODE"):
        began = time.monotonic()
        response = site.get(path, cookies=cookies if path == "/admin/" else None)
        took = time.monotonic() - began
        assert (response.status_code, int(response.headers["Retry-After"]) >= 1) == (503, True)
    assert took < DEADLINE + 2
    assert site.get(path).status_code == 200


def test_a_statement_that_takes_too_long_is_ended() -> None:
    sessions.limit(Limits(1, 1, 1))
    _new_sessions()
    with pytest.raises(OperationalError, match="statement timeout"), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(20)")
