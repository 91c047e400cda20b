"""/metrics: who may ask, what it says, and what it still says when something is down."""

import os
import struct
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from ajo import __version__
from ajo.cache import Document, Found, Freshness, fetch, start_epoch
from ajo.celery import app
from ajo.conf.checks import SANDBOX_PASSPHRASE
from ajo.counts import INITIAL_SIZE, CountFile
from ajo.metrics import REQUESTS, buffered_metrics, status_class
from ajo.settings import BASE_DIR
from ajo.soroban.models import Checkpoint, HistoryGap, RpcNode, UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import RpcUnavailable
from tests.support.services import CONTRACT

TOKEN = "a-token-of-some-length"
ASK = """
import django
django.setup()
from django.test import Client
from ajo.metrics import RPC_CALLS
RPC_CALLS.labels("getHealth", "ok").inc()
answer = Client(SERVER_NAME="localhost").get("/metrics")
assert answer.status_code == 200, answer.status_code
print(answer.content.decode())
"""
FORK = "import os, ajo.metrics as m; m.RUNS.labels('sync', 'ok').inc(); os.fork(); m.RUNS.labels('sync', 'ok').inc(2)"

Samples = dict[tuple[str, ...], float]


def samples(text: str) -> Samples:
    """Values by name and label values."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(client: Client) -> Samples:
    return samples(client.get("/metrics").content.decode())


def in_another_process(script: str, **env: str) -> str:
    argv = [sys.executable, "-c", script]
    done = subprocess.run(argv, cwd=BASE_DIR, env=os.environ | env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.django_db
def test_with_a_token_only_its_bearer_is_answered(client: Client, settings: LazySettings) -> None:
    settings.METRICS_TOKEN = TOKEN
    wrong = [
        client.get("/metrics"),
        *(client.get("/metrics", headers={"Authorization": a}) for a in ("Bearer é", TOKEN)),
    ]
    assert [(answer.status_code, answer["WWW-Authenticate"]) for answer in wrong] == [(401, "Bearer")] * 3
    right = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, REMOTE_ADDR="192.0.2.7")
    assert right.status_code == 200
    assert right["Content-Type"].startswith("text/plain; version=")


@pytest.mark.django_db
@pytest.mark.parametrize(("address", "status"), [("127.0.0.1", 200), ("::1", 200), ("192.0.2.7", 403), ("", 403)])
def test_without_a_token_only_this_machine_is_answered(client: Client, address: str, status: int) -> None:
    assert client.get("/metrics", REMOTE_ADDR=address).status_code == status


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Proto"])
def test_without_a_token_a_proxy_on_this_machine_is_not_answered(client: Client, header: str) -> None:
    assert client.get("/metrics", headers={header: "127.0.0.1"}).status_code == 403


@pytest.mark.django_db
def test_it_says_what_the_tables_know(client: Client, settings: LazySettings) -> None:
    settings.SOROBAN_RPC_URL = ["https://user:pass@one.example/key", "https://two.example"]
    now = timezone.now()
    Checkpoint.objects.create(
        network_passphrase=SANDBOX_PASSPHRASE, contract=CONTRACT, start_ledger=1, ledger=90, chain_ledger=100,
        chain_advanced_at=now - timedelta(seconds=40), chain_closed_at=now - timedelta(seconds=50), drift_metadata=3,
        live_until_ledger=200,
    )  # fmt: skip
    HistoryGap.objects.create(network_passphrase="n", contract=CONTRACT, from_ledger=0, to_ledger=4, why="w")
    UndecodedEntry.objects.create(key="k", xdr="x", error="e", ledger=1)
    RpcNode.objects.create(name="1: one.example", failures=2, left_until=now + timedelta(seconds=60))
    found = scrape(client)
    expected = {
        ("ajo_ledger",): 90, ("ajo_chain_ledger",): 100, ("ajo_lag_ledgers",): 10, ("ajo_drift_total", "metadata"): 3,
        ("ajo_drift_total", "state"): 0, ("ajo_drift_total", "history"): 0,
        ("ajo_gaps",): 1, ("ajo_undecoded_entries",): 1, ("ajo_halted",): 0,
        ("ajo_near_end", "contract"): 1, ("ajo_near_end", "groups"): 0,
        ("ajo_archived", "contract"): 0, ("ajo_archived", "groups"): 0, ("ajo_rpc_node_up", "1: one.example"): 0,
        ("ajo_rpc_node_up", "2: two.example"): 1,
        ("ajo_rpc_node_failures", "1: one.example"): 2, ("ajo_up", "postgresql"): 1, ("ajo_up", "cache"): 1,
    }  # fmt: skip
    assert {key: found.get(key) for key in expected} == expected
    assert found["ajo_lag_seconds",] == pytest.approx(50, abs=5)
    assert found["ajo_chain_silence_seconds",] == pytest.approx(40, abs=5)


@pytest.mark.django_db
def test_it_counts_the_tasks_that_wait(client: Client) -> None:
    for _ in range(3):
        app.send_task("contributions.tasks.sync")
    assert scrape(client)["ajo_queue_length",] == 3


def test_without_postgresql_and_redis_it_says_what_it_has() -> None:
    nowhere = {"DATABASE_URL": "postgres://u:p@127.0.0.1:1/n", "REDIS_URL": "redis://127.0.0.1:1/0"}
    found = samples(in_another_process(ASK, **nowhere))
    assert {key[1]: value for key, value in found.items() if key[0] == "ajo_up"} == {
        "postgresql": 0, "broker": 0, "cache": 0,
    }  # fmt: skip
    assert found["ajo_rpc_calls_total", "getHealth", "ok"] == 1


def test_processes_are_added_up_forked_and_ended_ones_too(tmp_path: Path) -> None:
    folder = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "counts")}
    (tmp_path / "counts").mkdir()
    in_another_process(ASK, **folder)
    in_another_process(FORK, **folder)
    found = samples(in_another_process(ASK, **folder))
    assert found["ajo_rpc_calls_total", "getHealth", "ok"] == 2
    assert found["ajo_runs_total", "sync", "ok"] == 1 + 2 + 2


KEY = b'["ajo_runs", "ajo_runs_total", {"kind": "sync", "outcome": "ok"}, ""]'
HALF = {
    "nothing": b"",
    "a byte": b"\x08",
    "zeros": bytes(2**16),
    "a used part that is longer than the file": struct.pack("<ii", 4096, 0) + bytes(64),
    "a key that is no key": struct.pack("<iii", 64, 0, 28) + bytes(52),
    "a key that is cut off": struct.pack("<iii", 40, 0, 12) + KEY[:12] + bytes(16),
}


@pytest.mark.parametrize("what", HALF)
def test_a_file_that_is_half_written_costs_its_own_counts_and_not_the_others(tmp_path: Path, what: str) -> None:
    (tmp_path / "counter_other-1.db").write_bytes(HALF[what])
    found = samples(in_another_process(ASK, PROMETHEUS_MULTIPROC_DIR=str(tmp_path)))
    assert found["ajo_up", "cache"] == 1
    assert found["ajo_rpc_calls_total", "getHealth", "ok"] == 1


@pytest.mark.parametrize("what", HALF)
def test_a_process_begins_anew_what_one_of_its_name_left_half_written(tmp_path: Path, what: str) -> None:
    path = tmp_path / "counter_1.db"
    path.write_bytes(HALF[what])
    counts = CountFile(str(path))
    counts.write_value(KEY.decode(), 3.0, 0.0)
    counts.close()  # type: ignore[no-untyped-call]
    assert [value[1] for value in CountFile.read_all_values_from_file(path)] == [3.0]  # type: ignore[no-untyped-call]


def test_counts_have_their_room_on_the_disk_before_they_are_mapped(tmp_path: Path) -> None:
    """Breaks if the file had holes: on a full disk the first write into one is SIGBUS, the end of the process."""
    counts = CountFile(str(tmp_path / "counter_1.db"))
    for number in range(1000):
        counts.write_value(f"{number:0100}", 1.0, 0.0)
        found = (tmp_path / "counter_1.db").stat()
        assert found.st_blocks * 512 >= found.st_size
    counts.close()  # type: ignore[no-untyped-call]
    assert found.st_size > INITIAL_SIZE


# A limit of the process's file sizes, in pages, stands for a disk that is full.
ON_A_FULL_DISK = """
import resource, sys
from ajo import counts
path, pages = sys.argv[1], int(sys.argv[2])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (pages * 65536, hard))
counts.RETRY_INTERVAL = 0.0
file = counts.CountFile(path)
for number in range(1000):
    file.write_value(f"{number:0100}", number, 0.0)
on_disk = list(counts.CountFile.read_all_values_from_file(path)) if pages else []
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
file.write_value("last", 7.0, 0.0)
found = {key.strip(): value for key, value, *_ in counts.CountFile.read_all_values_from_file(path)}
assert found == {**{f"{number:0100}": number for number in range(1000)}, "last": 7.0}
print(len(on_disk))
"""


@pytest.mark.parametrize(("pages", "kept"), [(0, 0), (1, 511)])
def test_counts_go_on_in_memory_while_the_disk_is_full_and_come_back(tmp_path: Path, pages: int, kept: int) -> None:
    argv = [sys.executable, "-c", ON_A_FULL_DISK, str(tmp_path / "counter_1.db"), str(pages)]
    done = subprocess.run(argv, cwd=BASE_DIR, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"{kept}\n"), done.stderr


@pytest.mark.django_db
def test_requests_are_timed_by_the_pattern_of_their_path_and_not_by_the_path(client: Client) -> None:
    key = ("ajo_request_seconds_count", "health/live", "2xx")
    before = scrape(client).get(key, 0)
    client.get("/health/live")
    client.get("/not/a/path")
    after = scrape(client)
    assert after[key] == before + 1
    assert after["ajo_request_seconds_count", "none", "4xx"] >= 1


@pytest.mark.django_db
def test_too_many_requests_are_told_apart_from_other_refusals(client: Client, settings: LazySettings) -> None:
    settings.READ_RATE = "1/day"
    route = "api/v1/users/"
    before = scrape(client)
    assert [client.get("/api/v1/users/?limit=0").status_code for _ in range(2)] == [400, 429]
    after = scrape(client)
    counted = {
        status: after.get(("ajo_request_seconds_count", route, status), 0)
        - before.get(("ajo_request_seconds_count", route, status), 0)
        for status in ("4xx", "429")
    }
    assert counted == {"4xx": 1, "429": 1}


@pytest.mark.parametrize(("status", "label"), [("200 OK", "2xx"), ("429", "429"), ("404 No", "4xx"), ("503", "5xx")])
def test_statuses_are_counted_by_their_class(status: str, label: str) -> None:
    assert status_class(status) == label


@pytest.mark.django_db
def test_the_version_is_told(client: Client) -> None:
    assert scrape(client)["ajo_build_info", __version__] == 1


def test_every_attempt_of_an_rpc_call_is_counted_and_timed_with_its_outcome() -> None:
    def count(name: str = "ajo_rpc_calls_total") -> float:
        labels = {"method": "getHealth", "outcome": "unavailable"}
        return REGISTRY.get_sample_value(name, labels) or 0

    before, timed = count(), count("ajo_rpc_seconds_count")
    with pytest.raises(RpcUnavailable):
        SorobanClient("http://127.0.0.1:1", retries=2, sleep=lambda _: None).get_health()
    assert count() == before + 3
    assert count("ajo_rpc_seconds_count") == timed + 3


def test_reads_are_counted_by_the_layer_that_answered() -> None:
    def count(layer: str) -> float:
        return REGISTRY.get_sample_value("ajo_cache_reads_total", {"layer": layer}) or 0

    fresh = Freshness("dataset", 5, timezone.now().timestamp())
    rows: dict[str, Found] = {}
    row = Found(Document(b"{}", 1, 5), fresh, "postgresql")
    start_epoch(fresh)
    before = [count(layer) for layer in ("redis", "postgresql", "chain")]
    for key in ("a", "a", "b"):
        fetch(
            key,
            from_rows=lambda: rows.get("row"),
            from_chain=lambda: rows.setdefault("row", row).document.synced_ledger,
            exists=lambda: True,
        )
    after = [count(layer) for layer in ("redis", "postgresql", "chain")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1]


def test_what_is_noted_is_counted_as_if_observed_one_by_one() -> None:
    def counts(route: str) -> list[float | None]:
        labels = {"route": route, "status": "2xx"}
        sums = [REGISTRY.get_sample_value(f"ajo_request_seconds_{part}", labels) for part in ("count", "sum")]
        names = [str(bound) for bound in (0.001, 0.0025, 1.0, 10.0)]
        found = [REGISTRY.get_sample_value("ajo_request_seconds_bucket", labels | {"le": name}) for name in names]
        return [*sums, *found, REGISTRY.get_sample_value("ajo_request_seconds_bucket", labels | {"le": "+Inf"})]

    layer = {"layer": "process"}
    before = REGISTRY.get_sample_value("ajo_cache_reads_total", layer) or 0
    times = (0.0, 2**-10, 2**-9, 0.75, 10.0, 11.0)  # whose sum is exact
    for seconds in times:
        buffered_metrics.observe("process", "noted", "200 OK", seconds)
        REQUESTS.labels("observed", "2xx").observe(seconds)
    buffered_metrics.flush()
    assert counts("noted") == counts("observed")
    assert REGISTRY.get_sample_value("ajo_cache_reads_total", layer) == before + len(times)
