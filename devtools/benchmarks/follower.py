"""The measure of the follower: `python -m devtools.benchmarks.follower COUNT`, beside the reads of web processes.

So many transactions are pending, and ten ledgers carry them. It says READY and waits for a line on stdin, prints how
many seconds it will take about, and at the end one line of JSON: calls by their method and seconds in the database.
"""

import base64
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import devtools.benchmarks.ready  # noqa: F401  # before everything that needs settings

# isort: split
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from ajo.indexer.follow import sync_pass
from ajo.soroban.contract import events
from ajo.soroban.models import ChainTransaction, Checkpoint
from ajo.soroban.rpc.pool import nodes
from ajo.soroban.rpc.transport import Reply
from ajo.transactions.accounts import account_key
from ajo.transactions.follow import follow
from devtools.benchmarks.chain import CannedTransport, closing, history
from devtools.benchmarks.rows import LEDGER, event_id, wallet
from devtools.sandbox.ledger.accounts import encode_account, new_account
from groups.cached import refresh_cache
from groups.models import Group
from groups.snapshots import Snapshots
from groups.sync import write_snapshots

LEDGERS = 10
LEDGER_SECONDS = 2.0  # between two of them: more load than a network's five make
FIRST_SOURCE = 5_000_000  # number of the first wallet that submits
FUNCTIONS = {
    events.Created: "create_group", events.Joined: "join_group", events.Contribution: "contribute",
    events.Payout: "execute_payout",
}  # fmt: skip


class FollowedTransport(CannedTransport):
    """A node whose ledgers each carry `a_ledger` of the transactions, and the accounts of their sources."""

    def __init__(self, canned: CannedTransport, a_ledger: int, accounts: dict[str, tuple[int, str, str]]) -> None:
        super().__init__()
        self.entries, self.events = canned.entries, canned.events
        self.a_ledger = a_ledger
        self.accounts = accounts  # by key: the ledger that uses the number, the entry before it and since
        self.calls: Counter[str] = Counter()

    def carried(self) -> Iterator[str]:
        """Yield the hashes that the newest ledger carries."""
        until = (self.ledger - LEDGER) * self.a_ledger
        for text in self.events[until - self.a_ledger : until]:
            yield json.loads(text)["txHash"]

    def post(self, url: str, request: Mapping[str, Any], deadline: float | None = None) -> Reply:
        self.calls[request["method"]] += 1
        return super().post(url, request, deadline)

    def getNetwork(self, params: Any) -> str:
        return json.dumps({"passphrase": settings.STELLAR_NETWORK_PASSPHRASE, "protocolVersion": 23})

    def getLedgerEntries(self, params: dict[str, Any]) -> str:
        for key in params["keys"]:
            if key in self.accounts:
                used, before, since = self.accounts[key]
                self.add(key, since if self.ledger >= used else before)
        return super().getLedgerEntries(params)

    def getEvents(self, params: dict[str, Any]) -> str:
        cursor = params["pagination"]["cursor"]
        closed = self.events[: (self.ledger - LEDGER) * self.a_ledger]
        found = [each for each in closed if json.loads(each)["id"] > cursor]
        newest, oldest = (int(closing(each).timestamp()) for each in (self.ledger, 1))
        return (
            f'{{"latestLedger":{self.ledger},"oldestLedger":1,"latestLedgerCloseTime":"{newest}",'
            f'"oldestLedgerCloseTime":"{oldest}","cursor":"{event_id(self.ledger, 9_999_999)}",'
            f'"events":[{",".join(found)}]}}'
        )

    def getTransaction(self, params: dict[str, Any]) -> str:
        newest = int(closing(self.ledger).timestamp())
        return (
            f'{{"status":"NOT_FOUND","latestLedger":{self.ledger},"latestLedgerCloseTime":"{newest}","oldestLedger":1}}'
        )

    def sendTransaction(self, params: dict[str, Any]) -> str:
        newest = int(closing(self.ledger).timestamp())
        return json.dumps({
            "status": "PENDING", "hash": params["transaction"], "latestLedger": self.ledger,
            "latestLedgerCloseTime": str(newest),
        })  # fmt: skip


def pend(count: int) -> FollowedTransport:
    """Store `count` transactions as submitted and queued, and return the node whose next ledgers carry them."""
    a_ledger = -(-count // LEDGERS)
    newest = Group.objects.order_by("-id").values_list("id", flat=True)[0]
    canned, snapshots = history(newest + 1, count + 21, a_ledger)
    write_snapshots(Snapshots(snapshots))
    Checkpoint.objects.update(cursor=event_id(LEDGER), chain_closed_at=closing(LEDGER), chain_advanced_at=Now())
    refresh_cache(since=datetime.now(UTC))
    accounts, rows = {}, []
    for number, text in enumerate(canned.events[:count]):
        raw = json.loads(text)
        source, event = wallet(FIRST_SOURCE + number), events.decode_event(raw["topic"], raw["value"])
        accounts[account_key(source)] = (raw["ledger"], _account(source, 1), _account(source, 2))
        rows.append(
            ChainTransaction(
                hash=raw["txHash"], xdr=raw["txHash"], function=FUNCTIONS[type(event)],
                group_id=None if isinstance(event, events.Created) else event.group_id, source=source, sequence=2,
                max_time=int(closing(LEDGER).timestamp()) + 3600, max_fee=100, submitted_ledger=LEDGER,
                queued_ledger=LEDGER, next_send_ledger=LEDGER + 5, attempts=1, last_answer="PENDING",
                next_attempt_at=datetime.now(UTC),
            )
        )  # fmt: skip
    ChainTransaction.objects.bulk_create(rows)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return FollowedTransport(canned, a_ledger, accounts)


def _account(address: str, sequence: int) -> str:
    return base64.b64encode(encode_account(new_account(address, 10**9, sequence))).decode()


@contextmanager
def database_seconds() -> Iterator[Callable[[], float]]:
    """Count the seconds of the statements of this thread while the block runs."""
    total = 0.0

    def count(execute: Callable[..., Any], *args: Any) -> Any:
        nonlocal total
        began = time.perf_counter()
        try:
            return execute(*args)
        finally:
            total += time.perf_counter() - began

    with connection.execute_wrapper(count):
        yield lambda: total


def update_each(hashes: Iterable[str]) -> None:
    """Update rows one by one, changing nothing: the least that a follower could cost that wrote each row once."""
    with connection.cursor() as cursor:
        for tx_hash in hashes:
            cursor.execute("UPDATE soroban_chaintransaction SET attempts = attempts WHERE hash = %s", [tx_hash])


def measure(count: int) -> dict[str, float]:
    """Follow `count` transactions to their ends while the sync follows their ledgers.

    `look_ups` and `sendings` are calls, `follow` is seconds in the database, and `updates` those of one bare UPDATE of
    each row, in between. Raises SystemExit if not all of them are successes at the end.
    """
    canned = pend(count)
    (node,) = nodes()._nodes
    node.client._transport.http = canned
    print("READY", flush=True)
    sys.stdin.readline()
    print(LEDGERS * LEDGER_SECONDS, flush=True)
    seconds = dict.fromkeys(("follow", "updates"), 0.0)

    def timed(name: str, step: Callable[[], object]) -> None:
        with database_seconds() as spent:
            step()
        seconds[name] += spent()

    ends = time.monotonic()
    while canned.ledger < LEDGER + LEDGERS:
        canned.ledger += 1
        ends += LEDGER_SECONDS
        timed("follow", follow)  # the node is ahead of the tables: nothing is to be looked up for that
        nodes().run(sync_pass)
        timed("follow", follow)
        timed("updates", partial(update_each, canned.carried()))
        time.sleep(max(0.0, ends - time.monotonic()))
    timed("follow", follow)
    open_ones = ChainTransaction.objects.exclude(status=ChainTransaction.Status.SUCCESS).count()
    if open_ones:
        raise SystemExit(f"{open_ones} of {count} transactions are no successes")
    calls = {"look_ups": canned.calls["getTransaction"], "sendings": canned.calls["sendTransaction"]}
    return {**calls, **seconds}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
