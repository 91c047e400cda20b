"""The access log: a line for each request, whoever answers it, and none of the query's secrets."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ajo.ops.access_log import MAX_PATH, AccessLog
from ajo.ops.logs import formatter
from ajo.settings import BASE_DIR

IS_WRAPPED = "from ajo.wsgi import application; print(type(application).__name__)"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the log's own handler writes, through the formatter of settings.LOGGING."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter())
    logging.getLogger("ajo.access").addHandler(handler)
    yield stream
    logging.getLogger("ajo.access").removeHandler(handler)


def request(path: str, **more: str) -> dict[str, Any]:
    return {"REQUEST_METHOD": "GET", "PATH_INFO": path, "REMOTE_ADDR": "192.0.2.7", **more}


def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("X-Request-ID", "id-of-this-request")])
    return [b"body"]


def fail(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    raise RuntimeError("no answer")


def test_a_line_has_what_was_asked_and_answered_and_not_the_query(lines: io.StringIO) -> None:
    environ = request("/api/v1/groups/7/", QUERY_STRING="token=letmein")
    assert AccessLog(answer)(environ, lambda *_: None) == [b"body"]
    line = json.loads(lines.getvalue())
    assert 0 <= line.pop("seconds") < 5
    del line["time"]
    assert line == {
        "event": "GET /api/v1/groups/7/ 200", "logger": "ajo.access", "level": "info", "method": "GET",
        "path": "/api/v1/groups/7/", "route": "api/v1/groups/<str:group_id>/", "status_code": 200,
        "client": "192.0.2.7", "request_id": "id-of-this-request",
    }  # fmt: skip


def test_a_request_without_an_answer_has_a_line_too_and_no_other_requests_id(lines: io.StringIO) -> None:
    AccessLog(answer)(request("/"), lambda *_: None)
    with pytest.raises(RuntimeError):
        AccessLog(fail)(request("/x" * MAX_PATH), lambda *_: None)
    line = json.loads(lines.getvalue().splitlines()[1])
    assert (line["status_code"], line["path"], line["route"]) == (500, ("/x" * MAX_PATH)[:MAX_PATH], "none")
    assert "request_id" not in line


@pytest.mark.parametrize(("setting", "kind"), [("off", "Edge"), ("on", "AccessLog")])
def test_it_is_there_only_where_it_is_switched_on(setting: str, kind: str) -> None:
    env = os.environ | {"ACCESS_LOG": setting}
    done = subprocess.run(
        [sys.executable, "-c", IS_WRAPPED], cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.strip(), done.returncode) == (kind, 0), done.stderr
