"""The measures of the sync: `python -m devtools.benchmarks.chain events|sweep|warm COUNT`.

It prints one line of JSON: our rate and the yardstick's. With --wait it begins when a line comes on stdin.
"""

import json
import sys
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from statistics import median
from typing import Any

import devtools.benchmarks.ready  # noqa: F401  # before everything that needs settings

# isort: split
from django.conf import settings
from django.db import connection
from stellar_sdk import scval
from stellar_sdk.soroban_rpc import GetLedgerEntriesResponse

from ajo.indexer.follow import sync_pass
from ajo.indexer.verify import sweep_groups
from ajo.soroban.contract import entries, events
from ajo.soroban.contract.keys import GroupKey, InstanceKey, MetadataKey
from ajo.soroban.models import Checkpoint
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.transport import Http, Reply
from devtools.benchmarks.rows import LEDGER, LIVE_UNTIL, MEMBERS, START, TOKENS, XDR, event_id, wallet
from groups.cached import refresh_cache, refresh_groups
from groups.models import Group
from groups.snapshots import GroupSnapshot, Snapshots
from groups.sync import write_snapshots

EVENTS_A_GROUP = 2 * MEMBERS + 1
EVENTS_A_LEDGER = 50


def closing(ledger: int) -> datetime:
    """Return when this ledger closed."""
    return START + timedelta(seconds=5 * ledger)


class CannedTransport(Http):
    """A transport whose answers are prepared before the measure starts."""

    def __init__(self) -> None:
        super().__init__({}, timeout=1)
        self.entries: dict[str, str] = {}
        self.events: list[str] = []
        self.ids: list[str] = []  # of the events
        self.ledger = LEDGER

    def post(self, url: str, request: Mapping[str, Any], deadline: float | None = None) -> Reply:
        answer = getattr(self, request["method"])(request.get("params"))
        return Reply(200, {}, f'{{"jsonrpc":"2.0","id":{json.dumps(request["id"])},"result":{answer}}}'.encode())

    def add(self, key: str, xdr: str) -> None:
        entry = f'{{"key":"{key}","xdr":"{xdr}","lastModifiedLedgerSeq":1,"liveUntilLedgerSeq":{LIVE_UNTIL}}}'
        self.entries[key] = entry

    def getLedgerEntries(self, params: dict[str, Any]) -> str:
        found = ",".join(self.entries[key] for key in params["keys"] if key in self.entries)
        return f'{{"latestLedger":{self.ledger},"entries":[{found}]}}'

    def getEvents(self, params: dict[str, Any]) -> str:
        page = params["pagination"]
        start = bisect_right(self.ids, page.get("cursor", ""))
        found = self.events[start : start + page["limit"]]
        end = start + len(found)
        cursor = event_id(self.ledger, end) if end == len(self.ids) else self.ids[end - 1]
        newest, oldest = (int(closing(each).timestamp()) for each in (self.ledger, 1))
        return (
            f'{{"latestLedger":{self.ledger},"oldestLedger":1,"latestLedgerCloseTime":"{newest}",'
            f'"oldestLedgerCloseTime":"{oldest}","cursor":"{cursor}","events":[{",".join(found)}]}}'
        )


def client_of(canned: CannedTransport) -> SorobanClient:
    client = SorobanClient("http://127.0.0.1:1")
    client._transport.http = canned
    return client


def announced(group: int, members: Sequence[str]) -> list[events.Event]:
    """Return the events of a group of ten until its first round is paid out."""
    return [
        events.Created(group, members[0], 1000, MEMBERS),
        *(events.Joined(group, member) for member in members[1:]),
        *(events.Contribution(group, 1, member, 1000) for member in members),
        events.Payout(group, 1, members[0], 1000 * MEMBERS),
    ]


def history(
    first: int, count: int, a_ledger: int = EVENTS_A_LEDGER
) -> tuple[CannedTransport, dict[int, GroupSnapshot]]:
    """Return `count` events of new groups from the id `first` on, and the groups' snapshots afterwards.

    Each event is of a transaction of its own, and a ledger has `a_ledger` of them.
    """
    canned, snapshots, log = CannedTransport(), {}, []
    newest = canned.ledger = LEDGER + count // a_ledger + 2
    for group in range(first, first + count // EVENTS_A_GROUP):
        members = tuple(wallet(group * MEMBERS + position) for position in range(MEMBERS))
        began = int(START.timestamp()) + 10
        state = entries.Group(
            group, members[0], 1000, 604_800, MEMBERS, members, 2, 1, began, began, False, 0, 5, 0, TOKENS[0]
        )
        xdr = entries.Entry(settings.AJO_CONTRACT_ID, GroupKey(group), state).to_xdr()
        canned.add(GroupKey(group).to_xdr(settings.AJO_CONTRACT_ID), xdr)
        snapshots[group] = GroupSnapshot(
            newest, state, xdr, None, "", None, "", frozenset(), modified_ledger=LEDGER, live_until=None
        )
        log += announced(group, members)
    for number, event in enumerate(log):
        topics, value = event.encode()
        ledger = LEDGER + 1 + number // a_ledger
        closed = f"{closing(ledger):%Y-%m-%dT%H:%M:%SZ}"
        canned.ids.append(event_id(ledger, number))
        canned.events.append(
            json.dumps({
                "type": "contract", "ledger": ledger, "ledgerClosedAt": closed,
                "contractId": settings.AJO_CONTRACT_ID, "id": canned.ids[-1], "txHash": f"{number:064x}",
                "operationIndex": 0, "transactionIndex": 1, "inSuccessfulContractCall": True, "topic": topics,
                "value": value,
            })
        )  # fmt: skip
    instance = entries.Instance(wasm_hash="00" * 32, admin=wallet(1), group_counter=max(snapshots), paused=False)
    canned.add(
        InstanceKey().to_xdr(settings.AJO_CONTRACT_ID),
        entries.Entry(settings.AJO_CONTRACT_ID, InstanceKey(), instance).to_xdr(),
    )
    return canned, snapshots


def measure_events(count: int) -> dict[str, float]:
    """Measure the sync of `count` events of known groups: rows, event log, cursor and cache, page by page.

    The yardstick is stellar-sdk's decoding of the same topics and data. Rates are events a second.
    """
    checkpoint = Checkpoint.objects.current() or Checkpoint.objects.create(
        network_passphrase=settings.STELLAR_NETWORK_PASSPHRASE, contract=settings.AJO_CONTRACT_ID,
        is_loaded=True, start_ledger=LEDGER, ledger=LEDGER, chain_ledger=LEDGER, chain_advanced_at=datetime.now(UTC),
    )  # fmt: skip
    newest = Group.objects.order_by("-id").values_list("id", flat=True).first() or 0
    canned, snapshots = history(newest + 1, count)
    for start in range(0, len(snapshots), 200):
        write_snapshots(Snapshots(dict(list(snapshots.items())[start : start + 200])))
    # a sync that has followed this chain up to here: nothing is missing before the first event
    Checkpoint.objects.filter(pk=checkpoint.pk).update(cursor=event_id(LEDGER), chain_closed_at=closing(LEDGER))
    refresh_cache(since=datetime.now(UTC))
    client = client_of(canned)
    raws = client.get_events(settings.AJO_CONTRACT_ID, start_ledger=LEDGER, limit=len(canned.events)).events
    began = time.perf_counter()
    for raw in raws:
        for each in (*raw.topics, raw.value):
            scval.to_native(each)
    decoded, count = time.perf_counter() - began, len(raws)
    del raws, snapshots  # what only the measure holds would have the collector of garbage look through it in every pass
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as autovacuum does within a minute: without it the plans are those of empty tables
    if "--wait" in sys.argv:
        print("READY", flush=True)
        sys.stdin.readline()
    began = time.perf_counter()
    while not sync_pass(client).caught_up:
        pass
    ours = time.perf_counter() - began
    return {"ours": count / ours, "yardstick": count / decoded}


def measure_sweep(count: int) -> dict[str, float]:
    """Measure the sweep of `count` unchanged groups, in groups a second, as the median of several runs.

    The yardstick is stellar-sdk's parsing of the same answers. The first run of each warms up and does not count.
    """
    canned, contract = CannedTransport(), settings.AJO_CONTRACT_ID
    newest = Group.objects.order_by("-id").values_list("id", flat=True)[0]
    ids = range(newest - count + 1, newest + 1)
    pairs = [(GroupKey(n).to_xdr(contract), MetadataKey(n).to_xdr(contract)) for n in ids]
    for number, (group, metadata) in zip(ids, pairs, strict=True):
        canned.add(group, f"{XDR}{number:012d}")
        canned.add(metadata, f"{number:012d}")
    # written before the clock starts, as what the node does: by the first key
    answers = {
        pairs[start][0]: canned.getLedgerEntries({"keys": list(chain(*zip(*pairs[start : start + 100], strict=True)))})
        for start in range(0, count, 100)
    }
    others = canned.getLedgerEntries  # the contract's own entry, once a sweep
    canned.getLedgerEntries = lambda params: answers.get(params["keys"][0]) or others(params)  # type: ignore[method-assign]
    client = client_of(canned)
    turns: list[tuple[float, float]] = []
    for _ in range(6):
        began = time.perf_counter()
        for answer in answers.values():
            GetLedgerEntriesResponse.model_validate(json.loads(answer))
        parsed = time.perf_counter() - began
        Checkpoint.objects.update(swept_to=ids[0] - 1)  # it goes on from here
        began = time.perf_counter()
        for _ in sweep_groups(lambda read: read(client)):
            pass
        turns.append((time.perf_counter() - began, parsed))
    if Checkpoint.objects.get().drift_total:
        raise SystemExit("the sweep found differences where there are none")
    ours, yardstick = (count / median(each) for each in zip(*turns[1:], strict=True))
    return {"ours": ours, "yardstick": yardstick}


def warm(count: int) -> dict[str, float]:
    """Write every group's body to Redis, as a pass after a rebuild does. Returns groups a second."""
    refresh_cache(since=datetime.now(UTC))
    began = time.perf_counter()
    refresh_groups(range(1, count + 1))
    return {"ours": count / (time.perf_counter() - began)}


if __name__ == "__main__":
    measure = {"events": measure_events, "sweep": measure_sweep, "warm": warm}[sys.argv[1]]
    print(json.dumps(measure(int(sys.argv[2]))))
