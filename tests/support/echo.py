"""A WSGI application that answers with its environment: `python -m tests.support.echo` serves it like ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ajo.web import serve


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Any:
    """Answer with the environment and the body as JSON, in two parts; fail for the path /failure."""
    if environ["PATH_INFO"] == "/failure":
        raise ValueError("asked to fail")
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    known = {name: value for name, value in environ.items() if isinstance(value, str)}
    start_response("200 OK", [("Content-Type", "application/json"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return iter([json.dumps(known | {"body": body}).encode(), b"\n"])


if __name__ == "__main__":
    serve("tests.support.echo.application")
