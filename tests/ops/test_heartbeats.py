"""A worker or beat that stands still is named, by whoever asks: the chain is not blamed for it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from celery.contrib.testing.mocks import TaskMessage
from celery.worker import state
from celery.worker.request import Request
from django.conf import LazySettings
from django.db import connection
from django.db.models import F
from django.test import Client
from django.utils import timezone

from ajo.celery import app
from ajo.indexer.tasks import sync
from ajo.ops.activity import running_tasks
from ajo.ops.heartbeats import MISSED_SENDS, REPORT_SILENCE_FOR, SILENT_AFTER, HeartbeatThread
from ajo.ops.models import Heartbeat
from ajo.soroban.models import Checkpoint, Lease, SyncRun
from devtools.stack.process import ManagedProcess
from tests.support.factories import make_configured_checkpoint

CELERY = (sys.executable, "-m", "celery", "-q", "-A", "ajo.celery")


def heard(part: str, seconds: float, host: str = "a", **tasks: float) -> None:
    """Write a row, `seconds` ago. `tasks`: by name how long it had run, or when it had been sent."""
    Heartbeat.objects.create(
        name=f"{part}@{host}:1",
        part=part,
        seen_at=timezone.now() - timedelta(seconds=seconds),
        tasks=[{"name": name, "seconds": took} for name, took in tasks.items()],
    )


def problems(client: Client) -> list[str]:
    answer = client.get("/health/ready")
    assert answer.status_code == 200  # reads are answered
    return [about(text) for text in answer.json()["problems"]]


def about(text: str) -> str:
    """Blur the last digit of each number of seconds: a slow machine takes some to ask."""
    return re.sub(r"(\d)\d (s|seconds)\b", r"\1x \2", text)


@pytest.mark.django_db
@pytest.mark.parametrize(("silent", "alive"), [("worker", "beat"), ("beat", "worker")])
def test_who_stands_still_is_named_everywhere(admin_client: Client, silent: str, alive: str) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now() - timedelta(seconds=110))
    heard(silent, 101)
    heard(alive, 3)
    assert problems(admin_client) == [f"{silent}: silent for 10x s"]
    page = about(admin_client.get("/admin/").content.decode())
    assert f"{silent}: silent for 10x s" in page
    assert f"{silent}@a:1 silent for 10x s" in page
    assert "goes on" not in page
    metrics = admin_client.get("/metrics").content.decode()
    assert f'ajo_heartbeat_age_seconds{{name="{silent}@a:1",part="{silent}"}} 10' in metrics


@pytest.mark.django_db
@pytest.mark.parametrize(("number", "words"), [(21, "21 tasks wait"), (1, "1 task waits")])
def test_a_silent_worker_is_named_with_what_waits_for_it_and_what_it_did(
    client: Client, number: int, words: str
) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now() - timedelta(seconds=110))
    heard("worker", 101, sweep=12.0)
    heard("beat", 3, sync=4.0)
    for _ in range(number):
        app.send_task("contributions.tasks.sync")
    assert problems(client) == [f"worker: silent for 10x s, {words}; it ran sweep"]
    metrics = client.get("/metrics").content.decode()
    assert 'ajo_task_seconds{name="worker@a:1",part="worker",task="sweep"} 11' in metrics
    assert 'ajo_task_seconds{name="beat@a:1",part="beat",task="sync"} ' in metrics


@pytest.mark.django_db
def test_a_silent_worker_is_named_while_the_broker_is_away(client: Client, settings: LazySettings) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now())
    heard("worker", 101)
    heard("beat", 3)
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    assert problems(client) == ["broker: does not answer", "worker: silent for 10x s"]


@pytest.mark.django_db
def test_a_beat_that_runs_and_sends_nothing_is_named(client: Client, settings: LazySettings) -> None:
    """Its heartbeat is a thread of its own, and goes on while the scheduler hangs."""
    make_configured_checkpoint(chain_advanced_at=timezone.now())
    heard("worker", 3)
    heard("beat", 3, sync=MISSED_SENDS * settings.SYNC_INTERVAL + SILENT_AFTER - 25)
    assert problems(client) == []
    Heartbeat.objects.filter(part="beat").update(tasks=[{"name": "sync", "seconds": 300.0}])
    assert problems(client) == ["beat: runs, and has sent no task for 30x s"]


@pytest.mark.django_db
def test_while_both_run_the_chain_is_what_is_silent(client: Client) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now() - timedelta(seconds=500))
    SyncRun.objects.create(kind=SyncRun.Kind.SYNC)
    heard("worker", 3)
    heard("beat", 3)
    assert problems(client) == ["chain: not heard from for 50x seconds"]


@pytest.mark.django_db
def test_a_worker_that_runs_and_begins_nothing_is_named(client: Client) -> None:
    """Its children are frozen, or every task has expired by another host's clock."""
    make_configured_checkpoint(chain_advanced_at=timezone.now() - timedelta(seconds=500))
    SyncRun.objects.create(kind=SyncRun.Kind.SYNC, started_at=timezone.now() - timedelta(seconds=491))
    heard("worker", 3)
    heard("beat", 3)
    assert problems(client) == ["worker: runs, and has begun no pass for 49x s"]
    Heartbeat.objects.filter(part="worker").update(tasks=[{"name": "sweep", "seconds": 480.0}])
    app.send_task("contributions.tasks.sync")
    assert problems(client) == ["worker: runs, and has begun no pass for 49x s, 1 task waits; it runs sweep for 48x s"]
    Lease.objects.create(name=SyncRun.Kind.SYNC, until=timezone.now() + timedelta(seconds=20))  # a long pass goes on
    assert problems(client) == ["chain: not heard from for 50x seconds"]


@pytest.mark.django_db
def test_one_of_several_that_is_silent_is_told_for_an_hour(client: Client) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now())
    heard("beat", 1)
    heard("worker", 2)
    heard("worker", 90, host="b")
    assert problems(client) == ["worker: 1 of 2 silent for 9x s"]
    Heartbeat.objects.filter(name="worker@b:1").update(
        seen_at=timezone.now() - timedelta(seconds=REPORT_SILENCE_FOR + 9)
    )
    assert problems(client) == []


@pytest.mark.django_db
def test_a_part_that_nobody_runs_is_told_where_the_other_one_runs(client: Client) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now())
    assert problems(client) == []  # `manage.py sync` by hand or by cron needs neither
    heard("worker", 1)
    assert problems(client) == ["beat: none runs"]


@pytest.mark.django_db(transaction=True)
def test_the_rows_of_hosts_that_are_gone_are_deleted_and_the_last_of_a_part_is_not() -> None:
    for host in ("b", "c"):
        heard("worker", REPORT_SILENCE_FOR + 60, host=host)
    heard("beat", 100 * REPORT_SILENCE_FOR)
    pulse = HeartbeatThread(Heartbeat.ManagedProcess.WORKER)
    pulse.write()
    names = set(Heartbeat.objects.values_list("name", flat=True))
    assert names == {"beat@a:1", pulse.row_name}
    assert Heartbeat.objects.get(name=pulse.row_name).seen_at > timezone.now() - timedelta(seconds=30)


def own_row(part: str, pid: int, seconds: float) -> str:
    """Write the row of a process of this host."""
    name = f"{part}@{socket.gethostname()}:{pid}"
    Heartbeat.objects.create(name=name, part=part, seen_at=timezone.now() - timedelta(seconds=seconds))
    return name


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs until it is killed."""
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.django_db(transaction=True)
def test_a_successor_takes_the_place_of_one_that_was_killed_on_its_host(
    client: Client, child: subprocess.Popen[bytes]
) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now())
    heard("beat", 1)
    own_row("worker", child.pid, 73)
    heard("worker", 1)
    child.kill()  # it is a zombie until somebody waits for it
    HeartbeatThread(Heartbeat.ManagedProcess.BEAT).write()
    assert problems(client) == ["worker: 1 of 2 silent for 7x s"]  # a beat is no successor of a worker
    HeartbeatThread(Heartbeat.ManagedProcess.WORKER).write()
    assert problems(client) == []


@pytest.mark.django_db(transaction=True)
def test_a_frozen_process_has_no_successor(client: Client, child: subprocess.Popen[bytes]) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now())
    heard("beat", 1)
    own_row("worker", child.pid, 0)
    child.send_signal(signal.SIGSTOP)
    started = HeartbeatThread(Heartbeat.ManagedProcess.WORKER)
    started.write()
    age("worker")
    started.write()
    assert problems(client) == ["worker: 1 of 2 silent for 12x s"]


@pytest.mark.django_db(transaction=True)
def test_one_start_is_the_successor_of_one(child: subprocess.Popen[bytes]) -> None:
    """Of two that were killed the operator started one: the other is still missed."""
    other = own_row("worker", child.pid, 90)  # it began since then: the id is another process's now
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    own_row("worker", ended.pid, 80)
    heard("worker", 70, host="b")  # of which this host's processes say nothing
    started = HeartbeatThread(Heartbeat.ManagedProcess.WORKER)
    started.write()
    started.write()
    assert set(Heartbeat.objects.values_list("name", flat=True)) == {"worker@b:1", started.row_name, other}
    Heartbeat.objects.filter(name=started.row_name).delete()  # as if another process started
    HeartbeatThread(Heartbeat.ManagedProcess.WORKER).write()
    assert set(Heartbeat.objects.values_list("name", flat=True)) == {"worker@b:1", started.row_name}


@pytest.mark.django_db(transaction=True)
def test_one_that_has_the_id_of_the_killed_one_is_its_successor(child: subprocess.Popen[bytes]) -> None:
    """As in a container, where ids begin anew."""
    child.kill()
    child.wait()
    names = {own_row("worker", os.getpid(), 90), own_row("worker", child.pid, 80)}
    HeartbeatThread(Heartbeat.ManagedProcess.WORKER).write()
    assert set(Heartbeat.objects.values_list("name", flat=True)) == names


def test_a_worker_says_which_tasks_its_children_run_the_longest_first() -> None:
    """Celery's own requests: what a worker's parent process knows of its children."""
    made = []
    for name, since in (("short", 2.0), ("long", 50.0)):
        request = Request(TaskMessage(name), app=app, task=sync)
        request.on_accepted("1", time.monotonic() - since)
        made.append(request)
    try:
        tasks = running_tasks()
        assert [task.name for task in tasks] == ["long", "short"]
        assert [task.seconds for task in tasks] == pytest.approx([50, 2], abs=1)
    finally:
        for request in made:
            state.active_requests.discard(request)
    assert running_tasks() == []


@pytest.fixture
def running(tmp_path: Path) -> Iterator[dict[str, ManagedProcess]]:
    """A worker and beat in processes of their own, on the tests' servers."""
    database = connection.settings_dict
    env = os.environ | {
        "DATABASE_URL": f"postgres://{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
        f"/{database['NAME']}",
        "SYNC_INTERVAL": "3600",  # nobody serves a chain here
    }
    arguments = {"worker": ("worker", "-c", "1"), "beat": ("beat", "--pidfile=")}
    parts = {
        name: ManagedProcess(name, [*CELERY, *words], tmp_path / f"{name}.log", env=env)
        for name, words in arguments.items()
    }
    try:
        for part in parts.values():
            part.start()
        yield parts
    finally:
        for part in parts.values():
            part.stop()


def age(name: str) -> None:
    """As if the process had not written for two minutes: one that runs puts it right with its next write."""
    Heartbeat.objects.filter(part=name).update(seen_at=F("seen_at") - timedelta(seconds=120))


@pytest.mark.system
@pytest.mark.django_db(transaction=True)
def test_a_frozen_process_is_named_until_it_goes_on(client: Client, running: dict[str, ManagedProcess]) -> None:
    make_configured_checkpoint(chain_advanced_at=timezone.now())
    for part in running.values():
        part.wait_until(lambda: problems(client) == [] and Heartbeat.objects.count() == 2)
    for name, part in running.items():
        assert part.process is not None
        other = next(each for each in running if each != name)
        part.process.send_signal(signal.SIGSTOP)
        try:
            age(name)
            age(other)
            part.wait_until(lambda name=name: [each.split(":")[0] for each in problems(client)] == [name])  # type: ignore[misc]
        finally:
            part.process.send_signal(signal.SIGCONT)
        part.wait_until(lambda: problems(client) == [])
    [sent] = Heartbeat.objects.get(part="beat").tasks  # with its second heartbeat: every task is sent at the start
    assert sent["name"] in [each["task"] for each in app.conf.beat_schedule.values()]
    assert 0 < sent["seconds"] < 300
    Checkpoint.objects.update(chain_advanced_at=timezone.now())
    for part in running.values():
        part.stop()
    assert not Heartbeat.objects.exists()  # who ends in order is not missed
