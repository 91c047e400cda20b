"""The life of a group through the API alone: three wallets sign outside, one of them is a contract account."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from stellar_sdk import Keypair, scval, xdr
from stellar_sdk.auth import authorization_payload_hash, authorize_entry

from ajo.soroban.models import ChainTransaction, RpcNode
from ajo.soroban.rpc.client import SorobanClient
from ajo.transactions import visibility
from ajo.transactions.follow import follow
from devtools.sandbox.sandbox import Sandbox
from tests.support.building import BUILD, PREPARE, building, signed
from tests.support.closing import order
from tests.support.following import catch_up
from tests.support.sending import ALICE, AMOUNT, BOB, CAROL

__all__ = ["building"]
pytestmark = pytest.mark.django_db(transaction=True)
API = "/api/v1"
HOUR = 3600
LONG_AGO = "2025-01-01T00:00:00Z"
RUNS = 4  # a name's change is looked up, then read into the tables, then said


@dataclass(frozen=True)
class Wallet:
    """Who calls: an account that signs its own transactions, or a contract account for which another pays."""

    address: str
    key: Keypair
    payer: Keypair


class Player:
    """An app: it talks to the API, and to wallets that sign."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.http = Client()
        self.node = SorobanClient(sandbox.url, retries=0)

    def post(self, path: str, body: Any) -> Any:
        answer = self.http.post(path, json.dumps(body), content_type="application/json")
        assert answer.status_code in (200, 202), answer.content
        return answer.json()

    def get(self, path: str) -> Any:
        answer = self.http.get(f"{API}/{path}")
        assert answer.status_code == 200, answer.content
        return answer.json()

    def call(self, by: Wallet, function: str, kind: str = "address", **args: Any) -> Any:
        """Submit a call and wait for its end; return the transaction as the API shows it."""
        built = self.submit(by, function, kind, **args)
        self.close()
        return self.ended(built)

    def submit(self, by: Wallet, function: str, kind: str = "address", **args: Any) -> Any:
        """Build, let the wallets sign, submit; return what was built."""
        body = {"function": function, "source": by.payer.public_key, "credentials": kind, "args": args}
        built = self.post(BUILD, body)
        if built["auth_entries"]:
            entries = [self.sign(by, entry, built["network_passphrase"]) for entry in built["auth_entries"]]
            built = self.post(PREPARE, {"xdr": built["xdr"], "auth": entries})
        envelope = signed(built, by.payer)
        sent = self.post(f"{API}/transactions/", {"xdr": envelope.to_xdr()})
        assert sent["hash"] == envelope.hash_hex() == built["hash"]
        return built

    def ended(self, built: Any) -> Any:
        """Return a transaction as the API shows it, after it has ended well."""
        found = self.get(f"transactions/{built['hash']}/")
        assert (found["status"], found["retry"], found["result"]) == ("success", None, built["result"])
        return found

    def sign(self, by: Wallet, entry: Any, network: str) -> str:
        """Sign as the contract account's own wallet does."""
        assert entry["address"] == by.address

        def own(preimage: xdr.HashIDPreimage) -> xdr.SCVal:
            return scval.to_bytes(by.key.sign(authorization_payload_hash(preimage)))

        return authorize_entry(entry["xdr"], own, entry["expires_ledger"], network).to_xdr()

    def close(self) -> None:
        """Close a ledger, and do what sync and follower do every few seconds until all is settled."""
        self.sandbox.chain.close_ledger()
        for _ in range(RUNS):
            catch_up(self.node)
            ChainTransaction.objects.pending().update(next_attempt_at=LONG_AGO)
            follow()
            if not ChainTransaction.objects.pending().exists():
                break

    def pass_time(self, seconds: int) -> None:
        self.sandbox.chain.advance(seconds)
        self.close()


def test_a_group_lives_to_its_end(building: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visibility, "READ_DELAY", 0.0)  # nothing is cached between this app and the tables
    contract = order(building, "wallet", public_key=CAROL.public_key)["contract"]
    alice, bob, carol = (
        Wallet(ALICE.public_key, ALICE, ALICE),
        Wallet(BOB.public_key, BOB, BOB),
        Wallet(contract, CAROL, CAROL),  # Carol's account pays for her contract account
    )
    app = Player(building)
    app.close()
    terms: dict[str, Any] = {
        "contribution_amount": str(AMOUNT),
        "cycle_duration": str(HOUR),
        "max_members": 3,
        "grace_period": "0",
    }
    rates: dict[str, Any] = {"penalty_rate": 0, "insurance_rate_bps": 0}
    token = building.chain.token
    created = app.call(alice, "create_group", creator=alice.address, token_address=token, **terms, **rates)
    group = created["result"]
    assert (group, created["group"]) == ("2", "2")
    app.call(alice, "set_group_metadata", group_id=group, name="Ajo", description="ours", rules="")
    joining = [
        app.submit(bob, "join_group", member=bob.address, group_id=group),
        app.submit(carol, "join_group", "address_v2", member=carol.address, group_id=group),
    ]
    app.close()
    assert [app.ended(each)["group"] for each in joining] == [group, group]
    assert app.get(f"groups/{group}/")["name"] == "Ajo"
    for recipient in (alice, bob, carol):
        paying = [app.submit(each, "contribute", member=each.address, group_id=group) for each in (alice, bob, carol)]
        app.close()
        assert [len(app.ended(each)["contributions"]) for each in paying] == [1, 1, 1]
        app.pass_time(HOUR)
        before = building.chain.balance(recipient.address)
        paid = app.call(carol, "execute_payout", group_id=group)
        assert paid["payouts"][0]["user"] == recipient.address
        assert building.chain.balance(recipient.address) - before == 3 * AMOUNT
    shown = app.get(f"groups/{group}/")
    assert (shown["status"], shown["members"][2]["address"]) == ("completed", contract)
    assert not RpcNode.objects.filter(failures__gt=0).exists()
