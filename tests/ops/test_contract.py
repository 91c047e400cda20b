"""`contract/`: the contract's own entry, and its solvency token by token."""

from __future__ import annotations

import pytest
from django.test import Client

from ajo.soroban.models import RpcNode
from tests.support.factories import API, account, contract, make_checkpoint, make_token

pytestmark = pytest.mark.django_db


def test_before_the_first_sync_there_is_no_contract(client: Client) -> None:
    assert client.get(f"{API}contract/").status_code == 404


def test_it_says_what_its_entry_says(client: Client) -> None:
    make_checkpoint(
        admin=account(9), paused=True, wasm_hash="ab" * 32, group_count=12, instance_ledger=990, live_until_ledger=5000,
        code_live_until_ledger=6000,
    )  # fmt: skip
    RpcNode.objects.create(name="one", protocol_version=22)
    RpcNode.objects.create(name="two", protocol_version=23)
    make_token(1, balance=5, owed=9, booked_premiums=1, checked_ledger=980)
    assert client.get(f"{API}contract/").json() == {
        "contract": contract(1), "network_passphrase": "Test", "protocol": 23, "admin": account(9), "paused": True,
        "wasm_hash": "ab" * 32, "group_count": "12", "read_ledger": 990, "live_until_ledger": 5000,
        "code_live_until_ledger": 6000, "short_tokens": 1,
        "tokens": [{
            "token_address": contract(1), "token": {"symbol": "T1", "decimals": 7, "verified": False}, "state": "short",
            "balance": "5", "owed": "9", "booked_premiums": "1", "unexplained": "3", "checked_ledger": 980,
        }],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("balance", "state", "unexplained"),
    [(10, "solvent", "0"), (9, "short_of_premiums", "0"), (8, "short_of_premiums", "0"), (7, "short", "1"),
     (None, "unknown", None)],
)  # fmt: skip
def test_a_shortfall_is_explained_by_booked_premiums_or_not(
    client: Client, balance: int | None, state: str, unexplained: str | None
) -> None:
    make_checkpoint()
    make_token(1, balance=balance, owed=10, booked_premiums=2, checked_ledger=1)
    for found in (
        client.get(f"{API}contract/").json()["tokens"],
        client.get(f"{API}contract/tokens/").json()["results"],
    ):
        assert [(each["state"], each["unexplained"]) for each in found] == [(state, unexplained)]


def test_those_that_fall_short_come_first_and_all_are_listed_elsewhere(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ajo.ops.contract.MAX_TOKENS", 2)
    make_checkpoint()
    for number, balance in ((1, 5), (2, 5), (3, 1)):
        make_token(number, balance=balance, owed=5, checked_ledger=7)
    make_token(4)
    shown = client.get(f"{API}contract/").json()
    assert [each["token_address"] for each in shown["tokens"]] == [contract(3), contract(1)]
    page = client.get(f"{API}contract/tokens/?limit=3").json()
    assert [each["token_address"] for each in page["results"]] == [contract(number) for number in (4, 3, 2)]
    assert page["results"][0]["state"] == "unknown"
    assert [each["token_address"] for each in client.get(page["next"]).json()["results"]] == [contract(1)]
