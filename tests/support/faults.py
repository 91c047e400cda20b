"""Faults of an RPC, or of what stands between it and the service. Each decides the answer to one request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from tests.support.proxy import HANGS_FOR, Exchange, Fault, NoAnswer, Reply


def answers(status: int, body: bytes = b"", *headers: tuple[str, str]) -> Fault:
    """Answer every request alike."""
    return lambda exchange: Reply(body, status, headers)


def hangs(exchange: Exchange) -> Reply:
    """Take the request and answer nothing until the fault ends."""
    exchange.ended.wait(HANGS_FOR)
    raise NoAnswer


def cut_off(exchange: Exchange) -> Reply:
    """Break the connection in the middle of the body."""
    reply = exchange.forward()
    return Reply(reply.body, sent=len(reply.body) // 2)


def half(exchange: Exchange) -> Reply:
    """Answer half of the body with a length that fits, as a proxy with a small buffer does."""
    reply = exchange.forward()
    return Reply(reply.body[: len(reply.body) // 2])


def of_another(exchange: Exchange) -> Reply:
    """Answer with the id of another request."""
    return exchange.changed(lambda answer: answer.update(id="somebody else's"))


def without_result(exchange: Exchange) -> Reply:
    """Answer with a result of null."""
    return exchange.changed(lambda answer: answer.update(result=None))


def error(code: int, message: str) -> Fault:
    """Answer a JSON-RPC error with HTTP 200."""

    def fault(exchange: Exchange) -> Reply:
        said = {"jsonrpc": "2.0", "id": exchange.call["id"], "error": {"code": code, "message": message}}
        return Reply(json.dumps(said).encode())

    return fault


def result(value: object) -> Fault:
    """Answer every request with this result."""
    return lambda exchange: Reply(json.dumps({"jsonrpc": "2.0", "id": exchange.call["id"], "result": value}).encode())


class Twice:
    """Delivers each event of a page twice, and the events of the page before once more."""

    def __init__(self) -> None:
        self._before: list[Any] = []
        self.repeated = 0

    def __call__(self, exchange: Exchange) -> Reply:
        return exchange.changed(self._double) if exchange.method == "getEvents" else exchange.forward()

    def _double(self, answer: dict[str, Any]) -> None:
        if "result" not in answer:
            return
        events = answer["result"]["events"]
        answer["result"]["events"] = [*self._before, *events, *events]
        self.repeated += len(events)
        self._before = events or self._before


class Gate:
    """Holds one request, the one after `let_through` others, until the fault ends. It sets `reached`."""

    def __init__(self, let_through: int) -> None:
        self._left = let_through
        self._lock = threading.Lock()
        self.reached = threading.Event()

    def __call__(self, exchange: Exchange) -> Reply:
        with self._lock:
            self._left -= 1
            held = self._left == -1
        if held:
            self.reached.set()
            exchange.ended.wait(HANGS_FOR)
            raise NoAnswer
        return exchange.forward()


def when(method: str, fault: Fault, *, times: int = 1_000_000) -> Fault:
    """Apply the fault to the first `times` requests of a method, and forward all others."""
    left = [times]

    def some(exchange: Exchange) -> Reply:
        if exchange.method != method or left[0] <= 0:
            return exchange.forward()
        left[0] -= 1
        return fault(exchange)

    return some


def and_then(action: Callable[[], object]) -> Fault:
    """Forward the request, and run `action` after its answer."""

    def fault(exchange: Exchange) -> Reply:
        reply = exchange.forward()
        action()
        return reply

    return fault


HTML = b"<!doctype html><html><head><title>Just a moment...</title></head></html>"
# name: (fault, what RpcNode.last_error says of it)
TRANSPORT: dict[str, tuple[Fault, str]] = {
    "429": (answers(429, b"slow down", ("Retry-After", "1")), "HTTP 429"),
    "429 for an hour": (answers(429, b'{"error":"quota"}', ("Retry-After", "3600")), "HTTP 429"),
    "429 without a time": (answers(429), "HTTP 429"),
    "500": (answers(500, b"oh no"), "HTTP 500"),
    "504": (answers(504, b"upstream request timeout"), "HTTP 504"),
    "hang": (hangs, "cannot be reached"),
    "empty": (answers(200), "is not JSON"),
    "HTML": (answers(200, HTML, ("Content-Type", "text/html")), "is not JSON"),
    "cut off": (cut_off, "cannot be reached"),
    "truncated": (half, "is not JSON"),
    "wrong id": (of_another, "belongs to another request"),
    "no result": (without_result, "has another form"),
    "-32001": (error(-32001, "request exceeded processing limit threshold"), "processing limit"),
    "-32603": (error(-32603, "database is locked"), "database is locked"),
}
