"""Log lines: JSON with what they belong to, and never a secret."""

import io
import json
import logging
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from requests import RequestException, get
from structlog.contextvars import clear_contextvars

from ajo.celery import app
from ajo.indexer.runs import record_run
from ajo.indexer.tasks import sync
from ajo.ops.logs import formatter
from ajo.settings import BASE_DIR
from ajo.soroban.models import RpcNode, SyncRun
from ajo.soroban.rpc.errors import ChainError, RpcUnavailable
from ajo.soroban.rpc.pool import Node, Nodes

# every part that may hold a provider's key
ADDRESS = "http://user77:hunter%402@127.0.0.1:1/v2/0123456789abcdef?apikey=letmein&n=1"
SECRETS = (
    "user77", "hunter%402", "hunter@2", "0123456789abcdef", "letmein", "redispass", "brokerpass", "Bearer headerkey",
    "headerkey", "dbpass", "a-metrics-token", "the-secret-key",
)  # fmt: skip


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the root logger writes, through the formatter that settings.LOGGING names."""
    clear_contextvars()  # an earlier test's request
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter())
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def secrets(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before `lines`: a formatter reads the settings when it is made."""
    settings.SOROBAN_RPC_URL = [ADDRESS]
    settings.SOROBAN_RPC_HEADERS = {"Authorization": "Bearer headerkey"}
    settings.REDIS_URL = "redis://:redispass@127.0.0.1:1/0"
    settings.CELERY_BROKER_URL = "redis://:brokerpass@127.0.0.1:1/1"
    monkeypatch.setitem(settings.DATABASES["default"], "PASSWORD", "dbpass")
    settings.METRICS_TOKEN, settings.SECRET_KEY = "a-metrics-token", "the-secret-key"


def parsed(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_however_many_lines_the_message_has(lines: io.StringIO) -> None:
    logging.getLogger("some.name").warning("first\nsecond %s", '"', extra={"ledger": 7, "request": object()})
    [line] = parsed(lines)
    assert line.pop("time").endswith("Z")
    assert line == {"event": 'first\nsecond "', "level": "warning", "logger": "some.name", "ledger": 7}


def test_an_address_that_a_client_made_long_is_cut(client: Client, lines: io.StringIO) -> None:
    client.get(f"/{'a' * 60_000}")
    [line] = parsed(lines)
    assert line["event"] == f"Not Found: /{'a' * 988}… (60012 characters)"


@pytest.mark.parametrize("given", ["from-the-proxy.1", "x" * 65, "two words", 'a"b', ""])
def test_a_request_has_an_id_in_its_answer_and_its_lines(client: Client, lines: io.StringIO, given: str) -> None:
    answer = client.get("/nowhere", headers={"X-Request-ID": given})
    request_id = answer["X-Request-ID"]
    assert (request_id == given) == (given == "from-the-proxy.1")
    assert len(request_id) in (16, 32)
    [line] = parsed(lines)
    assert (line["request_id"], line["status_code"]) == (request_id, 404)
    # whoever chooses an id may choose another's: the line says that it was chosen
    assert line.get("request_id_from") == ("client" if request_id == given else None)


def test_two_requests_have_two_ids(client: Client) -> None:
    assert client.get("/health/live")["X-Request-ID"] != client.get("/health/live")["X-Request-ID"]


@pytest.mark.django_db
def test_the_lines_of_a_task_carry_its_name_and_id(lines: io.StringIO) -> None:
    app.set_current()
    sync.apply(task_id="the-id")
    logging.getLogger("after").warning("done")
    *of_task, after = parsed(lines)
    assert {(line["task"], line["task_id"]) for line in of_task if line["logger"] == "ajo.indexer.tasks"} == {
        ("contributions.tasks.sync", "the-id")
    }
    assert "task_id" not in after


@pytest.mark.django_db
@pytest.mark.usefixtures("secrets")
def test_no_line_about_an_address_that_fails_holds_its_secrets(request: pytest.FixtureRequest) -> None:
    lines: io.StringIO = request.getfixturevalue("lines")
    log = logging.getLogger("test")
    with pytest.raises(ChainError):
        Nodes([ADDRESS]).run(lambda client: client.get_health())
    try:
        get(ADDRESS, timeout=1)  # its message has path and query, without the host
    except RequestException:
        log.exception("asking %s failed", ADDRESS, extra={"counts": {"calls": ADDRESS}})
    log.warning("%s", " ".join(SECRETS))
    text = lines.getvalue()
    assert "127.0.0.1" in text
    assert "Traceback" in text
    assert [secret for secret in SECRETS if secret in text] == []


@pytest.mark.django_db
@pytest.mark.usefixtures("secrets")
def test_what_staff_see_of_a_failure_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breaks if a node's own words were stored as they are: a provider may repeat the key that it was given."""

    def refuse(client: object) -> None:
        raise RpcUnavailable(f"no such key: {ADDRESS}")

    nodes = Nodes([ADDRESS])
    monkeypatch.setattr(Node, "check_network", lambda self, client: None)
    with pytest.raises(ChainError), record_run(SyncRun.Kind.SYNC):
        nodes.run(refuse)
    for text in (RpcNode.objects.get().last_error, SyncRun.objects.get().reason):
        assert "no such key: http://[hidden]" in text
        assert [secret for secret in SECRETS if secret in text] == []


@pytest.mark.parametrize(
    "message",
    ["at postgres://u:hunter2@h/n", "redis://:hunter2@h", "host=h password=hunter2 x", "/k?token=hunter2&a=b"],
)
def test_secrets_that_no_setting_names_are_known_by_their_place(lines: io.StringIO, message: str) -> None:
    logging.getLogger("test").warning(message)
    assert "[hidden]" in lines.getvalue()
    assert "hunter2" not in lines.getvalue()


def test_the_databases_own_words_pass(lines: io.StringIO) -> None:
    logging.getLogger("test").warning("groups at /api/v1/groups/7/ in %s", connection.vendor)
    assert parsed(lines)[0]["event"] == "groups at /api/v1/groups/7/ in postgresql"


def test_on_a_terminal_lines_are_for_people() -> None:
    ours, theirs = pty.openpty()
    script = "import django, logging; django.setup(); logging.getLogger('x').warning('words')"
    subprocess.run([sys.executable, "-c", script], cwd=BASE_DIR, stderr=theirs, check=True, timeout=60)
    os.close(theirs)
    text = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "words" in text
    assert not text.startswith("{")


@pytest.mark.parametrize("host", ["other.example", "evil\nline", "x" * 5000, "ä.example"])
def test_a_host_that_is_not_served_is_one_line_a_minute_that_says_what_to_set(
    client: Client, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    for each in logging.getLogger("django.security.DisallowedHost").filters:
        monkeypatch.setattr(each, "_next_at", 0.0)
    for path in ("/api/v1/status/", "/admin/"):
        assert client.get(path, headers={"host": host}).status_code == 400
    [line] = [each for each in parsed(lines) if each["logger"] == "django.security.DisallowedHost"]
    assert line["event"].startswith(f"the Host header {host[:100]!a} is not in ALLOWED_HOSTS")
    assert "PUBLIC_URL" in line["event"]
    assert line["level"] == "warning"
    assert "exception" not in line
