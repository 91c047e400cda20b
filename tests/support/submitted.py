"""Transactions that are stored as a post stores them, sent and followed on a sandbox, one step at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from django.db.models.functions import Now
from pytest_django import Settings
from stellar_sdk import Account, Keypair, SorobanServer, TransactionBuilder, TransactionEnvelope, scval

from ajo.indexer.follow import run_pass
from ajo.soroban.models import ChainTransaction, Checkpoint
from ajo.soroban.rpc.pool import nodes
from ajo.transactions import visibility
from ajo.transactions.calls import read_call
from ajo.transactions.follow import follow
from ajo.transactions.sending import send
from devtools.sandbox.network import BASE_RESERVE, admin_keypair
from devtools.sandbox.sandbox import Sandbox
from tests.support.proxy import Proxy
from tests.support.sending import ALICE, AMOUNT, BOB, CAROL, sequence

Status = ChainTransaction.Status


class Writing:
    """A chain with two groups of Alice's, followed over a proxy, and what is submitted to it."""

    def __init__(self, sandbox: Sandbox, proxy: Proxy) -> None:
        self.sandbox, self.proxy = sandbox, proxy
        self.chain = sandbox.chain
        self.admin = admin_keypair(sandbox.chain.passphrase)

    def call(
        self,
        function: str,
        *args: Any,
        by: Keypair = BOB,
        sequence_number: int | None = None,
        fee: int = 100,
        valid_for: int = 300,
    ) -> TransactionEnvelope:
        """Return a signed call, simulated on the newest ledger; `args` are SCVals."""
        number = sequence(self.sandbox, by) if sequence_number is None else sequence_number - 1
        builder = TransactionBuilder(Account(by.public_key, number), self.chain.passphrase, base_fee=fee)
        builder.append_invoke_contract_function_op(self.sandbox.contract, function, list(args))
        builder.add_time_bounds(0, self.chain.range().last_close + valid_for)
        envelope = SorobanServer(self.sandbox.url).prepare_transaction(builder.build())
        envelope.sign(by)
        return envelope

    def joining(self, by: Keypair = BOB, group: int = 1, **named: Any) -> TransactionEnvelope:
        return self.call("join_group", scval.to_address(by.public_key), scval.to_uint64(group), by=by, **named)

    def creating(self, by: Keypair) -> TransactionEnvelope:
        terms = [scval.to_int128(AMOUNT), scval.to_uint64(3600), scval.to_uint32(3), scval.to_uint64(0)]
        rest = [scval.to_uint32(0), scval.to_uint32(0)]
        addresses = [scval.to_address(by.public_key), scval.to_address(self.chain.token)]
        return self.call("create_group", *addresses, *terms, *rest, by=by)

    def contributing(self, by: Keypair, **named: Any) -> TransactionEnvelope:
        return self.call("contribute", scval.to_address(by.public_key), scval.to_uint64(1), by=by, **named)

    def naming(self, name: str, group: int = 1, **named: Any) -> TransactionEnvelope:
        texts = [scval.to_string(each) for each in (name, "", "")]
        return self.call("set_group_metadata", scval.to_uint64(group), *texts, by=ALICE, **named)

    def store(self, envelope: TransactionEnvelope, **values: Any) -> ChainTransaction:
        """Store it as a post does before it sends."""
        call, body = read_call(envelope), envelope.transaction
        bounds = body.preconditions and body.preconditions.time_bounds
        assert bounds
        row: dict[str, Any] = {
            "hash": envelope.hash_hex(),
            "xdr": envelope.to_xdr(),
            "function": call.function,
            "group_id": call.group,
            "source": body.source.account_id,
            "sequence": body.sequence,
            "max_time": bounds.max_time,
            "max_fee": body.fee,
            "submitted_ledger": self.chain.latest,
            "next_attempt_at": datetime.now(UTC),
        }
        return ChainTransaction.objects.create(**(row | values))

    def post(self, envelope: TransactionEnvelope, **values: Any) -> str:
        """Store and send it for the first time; return its hash."""
        row = self.store(envelope, **values)
        send(row, is_first_send=True)
        return row.hash

    def close(self, count: int = 1) -> None:
        """Close ledgers, and have the sync read them."""
        self.chain.close_ledger(count)
        self.sync()

    def sync(self) -> None:
        while not run_pass().caught_up:
            pass

    def follow(self) -> None:
        """Run the follower with every row due."""
        ChainTransaction.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=Now())
        follow()

    def step(self, count: int = 1) -> None:
        """Close so many ledgers; after each, sync and follow."""
        for _ in range(count):
            self.close()
            self.follow()

    def row(self, tx_hash: str) -> ChainTransaction:
        return ChainTransaction.objects.get(pk=tx_hash)

    def status(self, tx_hash: str) -> str:
        return self.row(tx_hash).status

    def over(self, tx_hash: str) -> None:
        """Have the chain pass the transaction's time."""
        self.chain.advance(max(0, self.row(tx_hash).max_time - self.chain.range().last_close) + 1)
        self.close()

    def order(self, name: str, **fields: Any) -> dict[str, Any]:
        """Order something of the sandbox over HTTP."""
        answer = requests.post(f"{self.sandbox.url}/sandbox/{name}", json=fields, timeout=30)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def writing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writing]:
    """Make the chain and follow it; readers' caches are not waited for."""
    monkeypatch.setattr(visibility, "READ_DELAY", 0.0)
    with Sandbox(base_reserve=BASE_RESERVE) as sandbox, Proxy(sandbox.url) as proxy:
        chain = sandbox.chain
        for each in (ALICE, BOB, CAROL, admin_keypair(chain.passphrase)):
            chain.fund(each.public_key)
        for _ in range(2):
            chain.call(ALICE.public_key, "create_group", ALICE.public_key, chain.token, AMOUNT, 3600, 3, 0, 0, 0)
        chain.close_ledger()
        settings.STELLAR_NETWORK_PASSPHRASE, settings.AJO_CONTRACT_ID = chain.passphrase, sandbox.contract
        settings.SOROBAN_RPC_URL, settings.RPC_RETRIES = [proxy.url], 0
        nodes.cache_clear()
        found = Writing(sandbox, proxy)
        found.sync()
        assert Checkpoint.objects.get().ledger == chain.latest
        yield found
        nodes.cache_clear()
