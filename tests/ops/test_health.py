"""Probes: /health/live and /health/ready."""

import threading
import time
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ajo.ops import health
from ajo.soroban.models import RpcNode, SyncRun
from tests.support.factories import make_configured_checkpoint


def test_live_answers_without_asking_the_database(client: Client) -> None:
    answer = client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "live"})


@pytest.mark.django_db
def test_ready_says_nothing_when_all_is_well(client: Client) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now())
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "problems": []})


@pytest.mark.django_db
def test_a_silent_chain_degrades_and_stays_ready(client: Client) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now() - timedelta(seconds=500))
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["problems"][0].startswith("chain: not heard from for 50")


@pytest.mark.django_db
def test_tables_that_are_far_behind_the_chain_are_told(client: Client) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now(), ledger=100, chain_ledger=350)
    answer = client.get("/health/ready").json()
    assert (answer["status"], answer["problems"]) == ("degraded", ["sync: 250 ledgers behind the chain"])


@pytest.mark.django_db
def test_before_the_first_pass_the_chain_was_not_heard_from(client: Client) -> None:
    assert client.get("/health/ready").json()["problems"] == ["chain: not heard from yet"]


@pytest.mark.django_db
def test_a_sync_that_refuses_to_go_on_is_unavailable_with_its_reason(client: Client) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now(), halted="another network")
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["problems"]) == (
        503, ["sync: stopped: another network; `manage.py reset_chain --yes` starts afresh"],
    )  # fmt: skip


@pytest.mark.django_db
def test_without_redis_the_service_is_degraded_and_names_no_host(client: Client, settings: LazySettings) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now())
    settings.REDIS_URL = "redis://:secret@127.0.0.1:1/0"
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["problems"]) == (200, ["redis: does not answer"])


@pytest.mark.django_db
def test_a_pending_migration_is_unavailable(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["problems"]) == (503, ["database: 1 migrations have not been applied"])


@pytest.mark.django_db
def test_a_service_whose_nodes_all_fail_says_so_and_names_none(client: Client, settings: LazySettings) -> None:
    settings.SOROBAN_RPC_URL = ["https://user:secret@one.example/key", "https://two.example"]
    make_configured_checkpoint(chain_advanced_at=timezone.now())
    soon = timezone.now() + timedelta(seconds=60)
    RpcNode.objects.create(name="1: one.example", left_until=soon)
    RpcNode.objects.create(name="3: not.configured.any.more", left_until=soon)
    assert client.get("/health/ready").json()["problems"] == []
    RpcNode.objects.create(name="2: two.example", left_until=soon)
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["problems"]) == (200, ["chain: every RPC node fails"])


@pytest.mark.django_db
def test_a_broker_of_its_own_that_is_away_is_told(client: Client, settings: LazySettings) -> None:
    """Breaks if the cache's Redis alone were asked: nothing new would be synced, and all be said to be well."""
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    said = client.get("/health/ready").json()
    assert said["status"] == "degraded"
    assert "broker: does not answer" in said["problems"]


@pytest.mark.django_db
def test_a_pass_that_fails_is_told_while_the_chain_is_not_heard_from(client: Client, settings: LazySettings) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now() - timedelta(seconds=settings.STALE_AFTER + 5))
    SyncRun.objects.create(kind=SyncRun.Kind.SYNC, outcome=SyncRun.Outcome.FAILED)
    SyncRun.objects.create(kind=SyncRun.Kind.SYNC)
    assert "sync: the last pass failed; the admin's sync runs say why" in client.get("/health/ready").json()["problems"]
    SyncRun.objects.update(outcome=SyncRun.Outcome.OK)
    assert "the last pass failed" not in client.get("/health/ready").content.decode()


@pytest.mark.django_db
def test_many_who_ask_cost_what_one_costs(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks without `ReadinessCache`: each would have the migrations, two Redis and the tables asked."""
    monkeypatch.setattr(health, "MAX_AGE", 60.0)
    client.get("/health/ready")
    with CaptureQueriesContext(connection) as asked:
        assert [client.get("/health/ready").status_code for _ in range(20)] == [200] * 20
    assert len(asked) == 0


def test_while_one_finds_out_the_others_get_what_was_known(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if all waited: a database that hangs would take a thread for each who asks."""
    entered, release = threading.Event(), threading.Event()
    answers = [health.Readiness("ready", [], time.monotonic())]

    def check() -> health.Readiness:
        if answers:
            return answers.pop()
        entered.set()
        release.wait(10)
        return health.Readiness("unavailable", [], time.monotonic())

    probe = health.ReadinessCache(check)
    assert probe.get().status == "ready"
    slow = threading.Thread(target=probe.get)
    slow.start()
    assert entered.wait(10)
    assert probe.get().status == "ready"
    release.set()
    slow.join()
    monkeypatch.setattr(health, "MAX_AGE", 60.0)
    assert probe.get().status == "unavailable"


@pytest.mark.django_db
def test_strangers_are_told_the_status_alone(client: Client, settings: LazySettings) -> None:
    token = "0123456789abcdef"
    asked = {"REMOTE_ADDR": "192.0.2.1"}
    assert client.get("/health/ready", **asked).json() == {"status": "degraded"}  # type: ignore[arg-type]
    assert client.get("/health/ready", headers={"X-Forwarded-For": "192.0.2.1"}).json() == {"status": "degraded"}
    settings.METRICS_TOKEN = token
    for given, is_told in ((f"Bearer {token}", True), ("Bearer x", False), ("", False)):
        said = client.get("/health/ready", headers={"Authorization": given}, **asked).json()  # type: ignore[arg-type]
        assert ("problems" in said) is is_told
    assert "problems" in client.get("/health/ready").json()


@pytest.mark.django_db
@pytest.mark.parametrize("host", ["10.1.2.3:8000", "web-7f9.cluster.local", "[fd00::1]", "no host name"])
def test_probes_are_answered_whatever_address_they_ask_by(client: Client, settings: LazySettings, host: str) -> None:
    for path in ("/health/live", "/health/ready"):
        assert client.get(path, headers={"Host": host}).status_code == 200
    assert client.get("/metrics", headers={"Host": host}).status_code == 400
    settings.METRICS_TOKEN = "0123456789abcdef"
    assert client.get("/metrics", headers={"Host": host}).status_code == 401
    assert client.get("/api/v1/groups/", headers={"Host": host}).status_code == 400
