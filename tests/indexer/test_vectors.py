"""Recorded calls of the real contract, synced over HTTP: the tables equal its entries early, midway and at the end."""

import base64
import hashlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from ajo.indexer.follow import sync_pass
from ajo.indexer.verify import sweep_groups
from ajo.indexer.verify_history import sweep_deep
from ajo.soroban.contract.codec import b64
from ajo.soroban.contract.entries import Instance, decode_entry
from ajo.soroban.contract.events import decode_event
from ajo.soroban.contract.keys import GroupKey, InstanceKey, decode_key
from ajo.soroban.models import Checkpoint, HistoryGap, SyncRun, UndecodedEntry
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.pool import nodes
from contributions.models import Contribution, HistoryRow, Payout, Refund
from devtools.replay.document import load
from devtools.replay.exchanges import ingest
from devtools.sandbox import token
from devtools.sandbox.chain import Chain
from devtools.sandbox.env import encode
from devtools.sandbox.host import Contracts
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from tests.support.comparison import differences

pytestmark = pytest.mark.django_db(transaction=True)

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
CHAINS = sorted(path.stem for path in VECTORS.glob("*.json") if "steps" in load(path))
SIGHTS = 3  # how often in a chain's life the tables are looked at


class Recorded:
    """One file's chain, its ledgers played as a node would have taken them in. `entries`: the real contract's."""

    def __init__(self, document: dict[str, Any]) -> None:
        steps = document["steps"]
        self.calls = [step for step in steps if not step.get("view")]
        self.chain = Chain("vectors", deploy=False)
        self.chain.contracts = Contracts(document["contract"], document["token"], document["router"])
        self.entries: dict[str, str] = {}
        first = self.calls[0]
        with self.chain.store.ledger():
            self.last, self.close = first["ledger"] - 1, first["timestamp"] - 5
            self.chain.store.add_ledgers([(self.last, self.close)])
            deploy(self.chain, self.last)

    def play(self) -> Iterator[None]:
        """Ledger by ledger. The empty ones in between, months of them, are left out: numbers move up."""
        for _, numbered in itertools.groupby(enumerate(self.calls), key=lambda each: each[1]["ledger"]):
            numbers = [number for number, _ in numbered]
            self.last, self.close = self.last + 1, self.calls[numbers[0]]["timestamp"]
            transactions = [{"step": n, "hash": hashlib.sha256(str(n).encode()).hexdigest()} for n in numbers]
            ingest(self.chain, {"ledger": self.last, "close": self.close, "transactions": transactions}, self.calls)
            for number in numbers:
                for change in self.calls[number].get("changes", ()):
                    self.entries[change["key"]] = change["xdr"]
            yield

    def forget_events(self) -> None:
        """As a node does that retains ten ledgers, some time after the last call."""
        self.chain.retention = 10
        latest = self.last + 20
        with self.chain.store.ledger():
            self.chain.store.add_ledgers([(n, self.close + n - self.last) for n in range(self.last + 1, latest + 1)])
            self.chain.prune(latest)
        self.last = latest

    def announced(self, name: str) -> list[tuple[int, int, str, int]]:
        """What events of this kind said: group, round, wallet, amount."""
        found = []
        for call in self.calls:
            for each in () if "error" in call else call.get("events", ()):
                event: Any = decode_event(each["topics"], each["value"])
                if each["contract"] == self.chain.contract and event.name == name:
                    wallet, amount = event.data().values()
                    found.append((event.group_id, event.cycle, wallet, int(amount)))
        return sorted(found)


def deploy(chain: Chain, ledger: int, **stored: Any) -> None:
    for owner, instance in ((chain.contract, Instance("ab" * 32, **stored)), (chain.token, token.instance())):
        raw, entry = encode(owner, InstanceKey(), instance)
        chain.put_entry(ledger, raw, b64(entry))


@contextmanager
def served(chain: Chain, settings: Settings) -> Iterator[SorobanClient]:
    with Sandbox(chain) as sandbox:
        settings.STELLAR_NETWORK_PASSPHRASE = chain.passphrase
        settings.AJO_CONTRACT_ID = chain.contract
        settings.SOROBAN_RPC_URL = [sandbox.url]
        nodes.cache_clear()
        client = SorobanClient(sandbox.url, retries=0)
        yield client
        client.close()
        nodes.cache_clear()


def catch_up(client: SorobanClient) -> None:
    while not sync_pass(client).caught_up:
        pass


def assert_equal(recorded: Recorded) -> None:
    groups = {key: xdr for key, xdr in recorded.entries.items() if not is_instance(xdr)}
    assert differences(groups) == []
    checkpoint = Checkpoint.objects.get()
    assert checkpoint.ledger == recorded.last
    instances = [decode_entry(xdr).value for xdr in recorded.entries.values() if is_instance(xdr)]
    for answer in instances:
        assert isinstance(answer, Instance)
        assert (checkpoint.admin, checkpoint.paused) == (answer.admin, answer.paused)
        assert int(checkpoint.group_count) == answer.group_counter


def is_instance(xdr: str) -> bool:
    return isinstance(decode_entry(xdr).key, InstanceKey)


def bodies_are_served() -> None:
    client = Client()
    for group_id in Group.objects.values_list("id", flat=True):
        for path in ("", "members/", "contributions/", "payouts/", "refunds/", "events/"):
            assert client.get(f"/api/v1/groups/{group_id}/{path}").status_code == 200
    for path in ("groups/", "users/", "contributions/", "payouts/", "refunds/", "events/", "status/"):
        assert client.get(f"/api/v1/{path}").status_code == 200


@pytest.mark.parametrize("name", CHAINS)
def test_tables_equal_what_the_real_contract_kept(name: str, settings: Settings) -> None:
    recorded = Recorded(load(VECTORS / f"{name}.json"))
    count = len({step["ledger"] for step in recorded.calls})
    sights = {count * n // SIGHTS for n in range(1, SIGHTS + 1)}
    with served(recorded.chain, settings) as client:
        for number, _ in enumerate(recorded.play(), start=1):
            if number not in sights:
                continue
            catch_up(client)
            list(sweep_groups(lambda read: read(client)))  # names change without an event
            assert_equal(recorded)
        list(sweep_deep(lambda read: read(client)))
        counts = SyncRun.objects.latest("id").counts
        assert (counts["drift_state"], counts["drift_history"], counts["unproven"]) == (0, 0, 0)
        bodies_are_served()
    assert not UndecodedEntry.objects.exists()
    assert not HistoryGap.objects.exists()
    for model in (Contribution, Payout, Refund):
        assert not model.objects.filter(event_id=None).exists()


@pytest.mark.parametrize("name", CHAINS)
def test_the_same_is_had_from_entries_alone_when_the_events_are_gone(name: str, settings: Settings) -> None:
    recorded = Recorded(load(VECTORS / f"{name}.json"))
    for _ in recorded.play():
        pass
    recorded.forget_events()
    with served(recorded.chain, settings) as client:
        catch_up(client)
        assert_equal(recorded)
        list(sweep_deep(lambda read: read(client)))
        counts = SyncRun.objects.latest("id").counts
        assert (counts["drift_state"], counts["drift_history"], counts["unproven"]) == (0, 0, 0)
        bodies_are_served()
    assert recovered(Contribution) == recorded.announced("contrib")
    assert recovered(Payout) == recorded.announced("payout")
    assert not UndecodedEntry.objects.exists()


def recovered(model: type[HistoryRow]) -> list[tuple[int, int, str, int]]:
    assert not model.objects.exclude(event_id=None).exists()
    return sorted(model.objects.values_list("group_id", "round", "user__wallet_address", "amount"))


OLDER = load(VECTORS / "older-groups.json")["entries"]


@pytest.mark.parametrize("fields", sorted({each["fields"] for each in OLDER}))
def test_groups_of_older_contracts_become_rows_and_bodies(fields: int, settings: Settings) -> None:
    entries = {each["key"]: each["xdr"] for each in OLDER if each["fields"] == fields}
    groups = {key.group_id for key in (decode_key(each)[1] for each in entries) if isinstance(key, GroupKey)}
    chain = Chain("older", deploy=False)
    chain.contracts = Contracts(OLDER[0]["contract"], chain.token, chain.contracts.router)
    with chain.store.ledger():
        chain.store.add_ledgers([(n, 1_760_000_000 + n) for n in range(1, 10)])
        deploy(chain, 5, group_counter=max(groups))
        for key, xdr in entries.items():
            chain.put_entry(7, base64.b64decode(key), xdr)
    with served(chain, settings) as client:
        catch_up(client)
        assert differences(entries) == []
        list(sweep_deep(lambda read: read(client)))
        assert differences(entries) == []
        bodies_are_served()
        for group_id in groups:
            body = Client().get(f"/api/v1/groups/{group_id}/").json()
            assert body["token"] is body["token_address"] is body["insurance_rate_bps"] is None
            assert (body["grace_period"] is None) == (body["penalty_rate"] is None) == (fields < 14)
            assert body["members"][0]["address"] == body["creator"]
            if fields < 14:
                assert body["grace_ends_at"] == body["round_ends_at"]
    assert not UndecodedEntry.objects.exists()
