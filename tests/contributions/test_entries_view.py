"""`groups/{id}/entries/` and `entry_key`: what they show is what the chain holds, entry by entry."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.test import Client

from ajo.soroban.rpc.client import SorobanClient
from devtools.sandbox.sandbox import Sandbox
from groups.models import Group
from tests.support.factories import API, make_checkpoint, make_group
from tests.support.following import CANCELLED, RUNNING, catch_up, make_full_groups
from tests.support.histories import History

pytestmark = pytest.mark.django_db(transaction=True)


def shown(client: Client, group: int) -> dict[str, Any]:
    answer = client.get(f"{API}groups/{group}/entries/")
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def assert_as_on_chain(client: Client, sandbox: Sandbox, group: int) -> int:
    """Assert that each entry is the chain's, and return how many there are."""
    said = shown(client, group)
    for entry in said["entries"]:
        real = sandbox.chain.current(base64.b64decode(entry["key"]))
        assert real is not None
        assert entry["xdr"] == base64.b64encode(real.data).decode()
        assert entry["last_modified_ledger"] in (None, real.modified)
        assert entry["live_until_ledger"] is None or entry["live_until_ledger"] <= (real.live_until or 0)
    return len(said["entries"])


def test_each_entry_of_every_group_is_the_chains(
    client: Client, sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_full_groups(sandbox, client_of_chain)
    history = History(sandbox.chain, 5)
    history.walk(60)
    catch_up(client_of_chain)
    counts = [assert_as_on_chain(client, sandbox, number) for number in Group.objects.values_list("pk", flat=True)]
    assert min(counts) >= 1
    assert max(counts) >= 6


def test_a_group_shows_all_kinds_with_the_ledgers_that_events_tell(
    client: Client, sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_full_groups(sandbox, client_of_chain)
    said = shown(client, RUNNING)
    assert (said["contract"], said["network_passphrase"]) == (sandbox.contract, sandbox.chain.passphrase)
    assert said["read_ledger"] == sandbox.chain.latest
    ledgers = [entry["last_modified_ledger"] for entry in said["entries"]]
    assert len(ledgers) == 5  # GROUP, METADATA, REFREQ, one CONTRIB, one PAYOUT
    assert [ledger is None for ledger in ledgers] == [False, True, False, False, False]
    assert assert_as_on_chain(client, sandbox, CANCELLED) == 7  # GROUP, three CONTRIB, three REFUND


def test_the_key_of_a_contribution_and_of_a_payout_finds_its_entry(
    client: Client, sandbox: Sandbox, client_of_chain: SorobanClient
) -> None:
    make_full_groups(sandbox, client_of_chain)
    found = 0
    for plural in ("contributions", "payouts"):
        for row in client.get(f"{API}{plural}/").json()["results"]:
            real = sandbox.chain.current(base64.b64decode(row["entry_key"]))
            assert real is not None
            assert real.modified == row["ledger"]
            found += 1
    assert found == 8


def test_what_is_not_there_is_404_and_what_cannot_be_read_503(client: Client) -> None:
    make_checkpoint()
    assert client.get(f"{API}groups/1/entries/").status_code == 404
    assert client.get(f"{API}groups/x/entries/").status_code == 400
    make_group(1)
    assert [entry["live_until_ledger"] for entry in shown(client, 1)["entries"]] == [None]
