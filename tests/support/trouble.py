"""Troubles of nodes, servers and processes, one after the other, in an order drawn by a seed."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import requests
from redis import Redis

from devtools.stack.postgres_server import answers as postgres_answers
from tests.support.faults import answers, error, when
from tests.support.proxy import Exchange, Fault, Proxy, Reply
from tests.support.running import Running, kill_children
from tests.support.waiting import wait_for

LASTS = 2.5  # seconds of a trouble that is no single event


class Trouble:
    """Makes trouble until it is ended. `made` counts each kind.

    It runs in the main thread: what it starts dies with the thread that started it (devtools/stack/process.py).
    """

    def __init__(self, up: Running, seed: int, pause: float) -> None:
        self.up, self.pause = up, pause
        self.rng = random.Random(seed)
        self.ended = threading.Event()
        self.made: dict[str, int] = {}

    def make(self) -> None:
        """Make one trouble after the other until `ended` is set."""
        kinds = self._kinds()
        while not self.ended.is_set():
            for name in self.rng.sample(sorted(kinds), len(kinds)):
                if self.ended.wait(self.pause):
                    return
                kinds[name]()
                self.made[name] = self.made.get(name, 0) + 1

    def _kinds(self) -> dict[str, Callable[[], object]]:
        first, second = self.up.first, self.up.second
        order = self._order
        return {
            "lost answers": lambda: order("lose", times=4),
            "dropped connections": lambda: order("drop", times=4),
            "TRY_AGAIN_LATER": lambda: order("refuse", status="TRY_AGAIN_LATER", times=12),
            "FILTERED": lambda: order("refuse", status="FILTERED", times=3),
            "DUPLICATE": lambda: order("refuse", status="DUPLICATE", times=3),
            "core's exception": lambda: order("core", body='{"exception": "no"}', times=3),
            "core is away": lambda: order("core", status=500, body="", times=3),
            "races": lambda: order("race", times=3),  # of one ledger no node says more
            "a surge": self._surge,
            "-32603": lambda: self._fails(first, error(-32603, "database is locked")),
            "sendTransaction times out": lambda: self._fails(first, when("sendTransaction", answers(504))),
            "a node is away": self._away,
            "a node lags": self._lags,
            "a node reset to nothing": lambda: self._fails(second, _reset),
            "both nodes are away": lambda: self._fails(first, answers(503), lambda: self._fails(second, answers(503))),
            "workers killed": self._kill_workers,
            "the worker killed": self._kill_worker,
            "Redis flushed": self._flush,
            "PostgreSQL restarted": self._restart_postgres,
        }

    def _order(self, name: str, **fields: Any) -> None:
        answer = requests.post(f"{self.up.sandbox.url}/sandbox/{name}", json=fields, timeout=30)
        assert answer.status_code == 200, answer.text

    def _fails(self, node: Proxy, fault: Fault, meanwhile: Callable[[], object] | None = None) -> None:
        with node.failing(fault):
            if meanwhile:
                meanwhile()
            self.ended.wait(LASTS)

    def _surge(self) -> None:
        self._order("surge", fee=2000)
        self.ended.wait(LASTS)
        self._order("surge", fee=100)

    def _away(self) -> None:
        with self.up.first.refusing():
            self.ended.wait(LASTS)

    def _lags(self) -> None:
        self._order("second")
        upstream, self.up.second.upstream = self.up.second.upstream, f"{self.up.sandbox.url}/second"
        try:
            with self.up.first.failing(answers(429)):
                self.ended.wait(LASTS)
            self.ended.wait(LASTS)
        finally:
            self.up.second.upstream = upstream

    def _kill_workers(self) -> None:
        kill_children(self.up.worker)
        self._expire_leases()

    def _expire_leases(self) -> None:
        """End every lease, as half a minute does after a runner died."""
        with psycopg.connect(self.up.database_url) as own:
            own.execute("UPDATE soroban_lease SET until = now() - interval '1 second'")

    def _kill_worker(self) -> None:
        process = self.up.worker.process
        assert process is not None
        self._kill_workers()
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.up.worker = self.up.start_worker(f"worker-{len(self.made)}-{self.rng.randrange(1000)}")

    def _flush(self) -> None:
        with Redis.from_url(self.up.redis_url) as redis:
            redis.flushall()

    def _restart_postgres(self) -> None:
        self.up.postgres.stop()
        self.up.postgres.start()
        wait_for(lambda: postgres_answers(self.up.database_url), what="PostgreSQL")


def _reset(exchange: Exchange) -> Reply:
    """Answer as a node that has just been set up: it knows the present and nothing of the past."""
    if exchange.method != "getTransaction":
        return exchange.forward()

    def forget(answer: dict[str, Any]) -> None:
        if result := answer.get("result"):
            nothing = {"status": "NOT_FOUND", "ledger": 0, "createdAt": "0", "oldestLedger": result["latestLedger"]}
            kept = {name: result[name] for name in ("latestLedger", "latestLedgerCloseTime", "txHash")}
            answer["result"] = {**kept, **nothing}

    return exchange.changed(forget)
