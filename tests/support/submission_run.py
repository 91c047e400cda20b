"""One run of many submissions in trouble, with its report. `python -m devtools.submissions` runs it by hand."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.db import connection
from django.db.utils import DatabaseError, InterfaceError

from ajo.soroban.models import ChainTransaction
from tests.support.running import Running
from tests.support.submissions import FINAL, People, ledgers_close, tally
from tests.support.trouble import Trouble
from tests.support.waiting import wait_for

# A page that ends anywhere, as the other tests have it, costs more than all transactions of its ledger.
EVENTS_LIMIT = "200"
LEDGER_PAUSE = 0.5  # seconds between two ledgers, ten times as fast as a public network's
LIMIT = 900.0  # seconds for 500 submissions on a busy machine: two minutes on a quiet one
TROUBLE_PAUSE = 2.0  # seconds between two troubles


@dataclass(frozen=True)
class Report:
    """What a run found: `ends` by status, `wrong` in words, `troubles` by kind, `seconds` in all.

    `built`: transactions that the API built. stellar-sdk built the others.
    """

    ends: dict[str, int]
    wrong: list[str]
    troubles: dict[str, int]
    wishes: int
    sent: int
    built: int
    seconds: float

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {status}" for status, count in sorted(self.ends.items()))
        troubles = ", ".join(f"{count} × {name}" for name, count in sorted(self.troubles.items()))
        lines = [
            f"{sum(self.ends.values())} submissions of {self.wishes} wishes in {self.seconds:.0f} s: {ends}",
            f"{self.built} built by the API; sent {self.sent} times; troubles: {troubles}",
            f"{len(self.wrong)} wrong",
            *self.wrong[:20],
        ]
        return "\n".join(lines)


def run_submissions(
    up: Running, count: int, seed: int, watch: Callable[[People], None] = lambda people: None
) -> Report:
    """Submit `count` transactions while there is trouble, wait for their ends, and compare them with the chain.

    `watch` is called in a thread of its own. After LIMIT seconds for each 500 people give up, which is wrong.
    """
    began = time.monotonic()
    people = People(up, count, seed)
    threading.Thread(target=watch, args=(people,), daemon=True).start()
    newest = up.sandbox.chain.latest
    trouble, ended = Trouble(up, seed, TROUBLE_PAUSE), threading.Event()
    closing = threading.Thread(target=ledgers_close, args=(up, ended, LEDGER_PAUSE), daemon=True)
    closing.start()
    try:
        wait_for(lambda: _tables_at(up, newest), 60, "the tables")
        with ThreadPoolExecutor(1) as pool:
            living = pool.submit(people.run)
            living.add_done_callback(lambda _: trouble.ended.set())
            limit = threading.Timer(LIMIT * max(1, count / 500), people.give_up)
            limit.start()
            try:
                trouble.make()
            except BaseException:
                people.ended.set()
                raise
        limit.cancel()
        living.result()
        wait_for(lambda: not _open(), 120, "an end for every transaction")
    finally:
        people.ended.set()
        ended.set()
        closing.join()
    rows = {each.hash: (each.status, each.ledger) for each in ChainTransaction.objects.all()}
    sent = sum(ChainTransaction.objects.values_list("attempts", flat=True))
    seconds, wishes = time.monotonic() - began, len(people.wishes)
    return Report(tally(rows), people.verdict(rows), trouble.made, wishes, sent, people.built_here, seconds)


def _tables_at(up: Running, ledger: int) -> bool:
    connection.close()
    return up.checkpoint().ledger >= ledger


def _open() -> bool:
    """Return whether a transaction waits for its end; the database may be away."""
    connection.close()
    try:
        return ChainTransaction.objects.exclude(status__in=FINAL).exists()
    except (DatabaseError, InterfaceError):
        return True


def progress(people: People, ended: threading.Event) -> None:
    """Print every ten seconds how far it is."""
    while not ended.wait(10):
        said = Counter(answer["status"] for answer in list(people.said.values()))
        print(f"{people.taken} taken; said: {dict(said)}; wrong so far: {people.faults[:3]}", flush=True)
