"""A WSGI application that answers with its environment: `python -m tests.support.echo` serves it like ours."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ajo.web import serve

LONG_PARTS, LONG_PART = 1_000, 65_536  # parts, and bytes of each
going_on = threading.Event()
made: list[int] = []


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Any:
    """Answer with the environment and the body as JSON, as a list of two parts. Six paths are answered otherwise.

    /failure: fail. /parts: a part, and another one after /go was asked for. /broken: a part, and a failure. /long: many
    parts. /made: how many of those were made.
    """
    path = environ["PATH_INFO"]
    if path == "/failure":
        raise ValueError("asked to fail")
    if path in ANSWERS:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return ANSWERS[path]()
    if path == "/go":
        going_on.set()
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    known = {name: value for name, value in environ.items() if isinstance(value, str)}
    start_response("200 OK", [("Content-Type", "application/json"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [json.dumps(known | {"body": body}).encode(), b"\n"]


def parts() -> Iterator[bytes]:
    yield b"first"
    going_on.wait(30)
    yield b"second"


def broken() -> Iterator[bytes]:
    yield b"first"
    raise ValueError("asked to break off")


def long() -> Iterator[bytes]:
    for _ in range(LONG_PARTS):
        made.append(1)
        yield b"x" * LONG_PART


def count() -> Iterator[bytes]:
    yield str(len(made)).encode()


ANSWERS = {"/parts": parts, "/broken": broken, "/long": long, "/made": count}


if __name__ == "__main__":
    serve("tests.support.echo.application")
