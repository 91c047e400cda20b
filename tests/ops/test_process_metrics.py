"""Each process's memory, time, files and database sessions, in one answer of /metrics."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from ajo.ops.process_metrics import FORGET_AFTER, Sampler
from ajo.settings import BASE_DIR

WRITE_AND_WAIT = """
import django
django.setup()
from django.db import connection
connection.ensure_connection()
from ajo.ops import process_metrics
process_metrics.start("worker")
process_metrics.start("worker")
import sys
print("started", flush=True)
sys.stdin.read()
"""


def values(client: Client, name: str) -> dict[tuple[str, str], float]:
    """Values by part and process."""
    found = client.get("/metrics").content.decode()
    return {
        (each.labels["part"], each.labels["process"]): each.value
        for family in text_string_to_metric_families(found)
        for each in family.samples
        if each.name == name
    }


@pytest.mark.django_db
def test_without_a_shared_folder_the_process_that_answers_shows_itself(client: Client) -> None:
    [(whose, memory)] = values(client, "ajo_process_resident_memory_bytes").items()
    assert whose[0] == "web"
    assert whose[1].endswith(f":{os.getpid()}")
    assert 2**24 < memory < 2**33
    [used] = values(client, "ajo_process_cpu_seconds_total").values()
    assert 0 < used <= time.process_time() + 5
    assert (
        3 < min(values(client, "ajo_process_open_fds").values()) < min(values(client, "ajo_process_max_fds").values())
    )


@pytest.mark.django_db
def test_processes_that_share_a_folder_show_each_other_until_they_have_gone(
    client: Client, settings: LazySettings, tmp_path: Path
) -> None:
    settings.METRICS_DIR = str(tmp_path)
    Sampler("web", tmp_path).write()
    env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    argv = [sys.executable, "-c", WRITE_AND_WAIT]
    with subprocess.Popen(
        argv, cwd=BASE_DIR, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "started\n"
        found = values(client, "ajo_process_threads")
        assert sorted(part for part, _ in found) == ["web", "worker"]
        sizes = values(client, "ajo_database_pool_connections")
        [size] = [size for (part, _), size in sizes.items() if part == "worker"]
        assert 1 <= size <= 4  # DATABASE_POOL_SIZE
        assert len(list(tmp_path.glob("process_*.json"))) == 2
        other.communicate("")
    for path in tmp_path.glob(f"process_*-{other.pid}.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"at": time.time() - FORGET_AFTER - 1}))
    assert [part for part, _ in values(client, "ajo_process_threads")] == ["web"]
    assert len(list(tmp_path.glob("process_*.json"))) == 1


@pytest.mark.parametrize(
    "text",
    ["", '{"part": "web"', "[]", "{}", "\xff", '{"part": "web", "process": "a:1"}',
     '{"part": "web", "process": "a:1", "at": "now"}', '{"part": "web", "process": "a:1", "at": %f, "memory": null}'],
)  # fmt: skip
@pytest.mark.django_db
def test_a_file_that_holds_no_sample_is_told_removed_and_costs_nobody_elses(
    client: Client, settings: LazySettings, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    settings.METRICS_DIR = str(tmp_path)
    Sampler("web", tmp_path).write()
    bad = tmp_path / "process_a-1.json"
    bad.write_text(text.replace("%f", str(time.time())), encoding="latin-1")
    assert [part for part, _ in values(client, "ajo_process_threads")] == ["web"]
    assert "process_a-1.json holds no sample of a process: " in caplog.text
    assert not bad.exists()


def test_a_disk_that_is_full_costs_the_sample_and_not_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sampler = Sampler("web", tmp_path)
    sampler.write()
    written = sampler.path.read_text()
    sampler.path.with_suffix(".draft").symlink_to("/dev/full")  # takes no byte, as a disk without room
    sampler.write()
    assert "the process's own metrics cannot be written: No space left on device" in caplog.text
    assert sampler.path.read_text() == written
    sampler.path.with_suffix(".draft").unlink()
    sampler.write()
    assert sampler.path.read_text() != written


def test_a_folder_that_is_gone_costs_the_sample_and_not_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Sampler("web", tmp_path / "nowhere").write()
    assert "the process's own metrics cannot be written: No such file or directory" in caplog.text
