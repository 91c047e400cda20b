"""stellar-sdk's own server, contract client and transactions against the sandbox, unchanged: whole lives of groups."""

from collections.abc import Iterator
from typing import Any

import pytest
from stellar_sdk import Asset, Keypair, SorobanServer, scval, xdr
from stellar_sdk.auth import authorization_payload_hash
from stellar_sdk.contract import AssembledTransaction, ContractClient
from stellar_sdk.contract.exceptions import SimulationFailedError, TransactionFailedError

from devtools.sandbox.sandbox import Sandbox
from tests.support.closing import closing, order

ALICE, BOB, CAROL, ISSUER = (Keypair.from_raw_ed25519_seed(bytes([n]) * 32) for n in (11, 12, 13, 14))
AMOUNT = 50_000_000  # 5 XLM
HOUR = 3600


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with closing() as running:
        for each in (ALICE, BOB, CAROL, ISSUER):
            running.chain.fund(each.public_key)
        running.chain.close_ledger()
        yield running


class People:
    """Calls with stellar-sdk as wallets make them."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.passphrase = sandbox.chain.passphrase
        self.client = ContractClient(sandbox.contract, sandbox.url, self.passphrase)

    def built(self, source: Keypair, fn: str, *args: xdr.SCVal, **options: Any) -> AssembledTransaction[Any]:
        return self.client.invoke(
            fn, list(args), source=source.public_key, signer=source, parse_result_xdr_fn=scval.to_native, **options
        )

    def call(self, source: Keypair, fn: str, *args: xdr.SCVal) -> Any:
        return self.built(source, fn, *args).sign_and_submit()

    def by_wallet(self, source: Keypair, wallet: str, key: Keypair, fn: str, *args: xdr.SCVal, **options: Any) -> Any:
        """A contract account's call: signed with its own kind of signature, and simulated again with that."""

        def sign(preimage: xdr.HashIDPreimage) -> xdr.SCVal:
            return scval.to_bytes(key.sign(authorization_payload_hash(preimage)))

        transaction = self.built(source, fn, *args, **options)
        transaction.sign_auth_entries(sign, wallet)
        transaction.prepare()
        return transaction.sign_and_submit()


def address(of: Keypair | str) -> xdr.SCVal:
    return scval.to_address(of if isinstance(of, str) else of.public_key)


def created(people: People, token: str, members: int) -> int:
    terms = scval.to_int128(AMOUNT), scval.to_uint64(HOUR), scval.to_uint32(members), scval.to_uint64(0)
    rest = scval.to_uint32(0), scval.to_uint32(0)
    found = people.call(ALICE, "create_group", address(ALICE), address(token), *terms, *rest)
    return int(found)


@pytest.mark.parametrize("upgraded", [False, True])
def test_a_group_lives_to_its_end_with_a_contract_account_among_its_members(sandbox: Sandbox, upgraded: bool) -> None:
    people = People(sandbox)
    wallet = order(sandbox, "wallet", public_key=CAROL.public_key)["contract"]
    order(sandbox, "close")
    group = created(people, sandbox.chain.token, 3)
    number = scval.to_uint64(group)
    people.call(BOB, "join_group", address(BOB), number)
    people.by_wallet(CAROL, wallet, CAROL, "join_group", address(wallet), number, use_upgraded_auth=upgraded)
    assert sandbox.chain.view("list_members", group) == (ALICE.public_key, BOB.public_key, wallet)
    for recipient in (ALICE.public_key, BOB.public_key, wallet):
        people.call(ALICE, "contribute", address(ALICE), number)
        people.call(BOB, "contribute", address(BOB), number)
        people.by_wallet(CAROL, wallet, CAROL, "contribute", address(wallet), number, use_upgraded_auth=upgraded)
        order(sandbox, "advance", seconds=HOUR)
        order(sandbox, "close")
        before = sandbox.chain.balance(recipient)
        people.call(CAROL, "execute_payout", number)
        gained = sandbox.chain.balance(recipient) - before
        assert gained == 3 * AMOUNT
    assert sandbox.chain.view("get_group", group).status == "completed"


def test_a_group_in_an_issued_asset_is_cancelled_and_its_members_get_their_money_back(sandbox: Sandbox) -> None:
    people = People(sandbox)
    usdc = {"code": "USDC", "issuer": ISSUER.public_key}
    token = order(sandbox, "asset", **usdc)["contract"]
    assert token == Asset("USDC", ISSUER.public_key).contract_id(people.passphrase)
    for each in (ALICE, BOB):
        order(sandbox, "trustline", account=each.public_key, amount=10 * AMOUNT, **usdc)
    order(sandbox, "close")
    group = created(people, token, 3)
    number = scval.to_uint64(group)
    people.call(BOB, "join_group", address(BOB), number)
    people.call(ISSUER, "join_group", address(ISSUER), number)
    people.call(BOB, "contribute", address(BOB), number)
    people.call(ISSUER, "contribute", address(ISSUER), number)
    asset = ContractClient(token, sandbox.url, people.passphrase)

    def held(holder: str) -> int:
        found: Any = asset.invoke("balance", [address(holder)], parse_result_xdr_fn=scval.from_int128).result()
        return int(found)

    assert (held(BOB.public_key), held(sandbox.contract)) == (9 * AMOUNT, 2 * AMOUNT)
    people.call(ALICE, "cancel_group", address(ALICE), number)
    assert (held(BOB.public_key), held(sandbox.contract)) == (10 * AMOUNT, 0)
    events = SorobanServer(sandbox.url).get_events(start_ledger=2, limit=1000).events
    names = [scval.to_native(each.topic[0]) for each in events if each.contract_id == token]
    assert names == ["transfer", "mint", "transfer", "burn"]


def test_a_member_signs_its_entry_while_another_account_pays(sandbox: Sandbox) -> None:
    people = People(sandbox)
    group = created(people, sandbox.chain.token, 2)
    transaction = people.built(CAROL, "join_group", address(BOB), scval.to_uint64(group))
    assert transaction.needs_non_invoker_signing_by() == {BOB.public_key}
    transaction.sign_auth_entries(BOB)
    transaction.sign_and_submit()
    assert sandbox.chain.view("list_members", group) == (ALICE.public_key, BOB.public_key)


def test_an_entry_signed_by_nobody_fails_in_the_ledger_and_costs_the_fee(sandbox: Sandbox) -> None:
    people = People(sandbox)
    group = created(people, sandbox.chain.token, 2)
    transaction = people.built(CAROL, "join_group", address(BOB), scval.to_uint64(group))
    before = sandbox.chain.balance(CAROL.public_key)
    server = SorobanServer(sandbox.url)
    built = transaction.built_transaction
    assert built is not None
    built.sign(CAROL)
    sent = server.send_transaction(built)
    found = server.poll_transaction(sent.hash)
    assert found.status.value == "FAILED"
    assert found.result_xdr is not None
    assert "trapped" in str(xdr.TransactionResult.from_xdr(found.result_xdr).to_json())
    assert sandbox.chain.balance(CAROL.public_key) < before


def test_a_refusal_and_a_race_are_the_errors_that_the_sdk_knows(sandbox: Sandbox) -> None:
    people = People(sandbox)
    group = created(people, sandbox.chain.token, 2)
    with pytest.raises(SimulationFailedError, match="Contract, #3"):
        people.built(ALICE, "join_group", address(ALICE), scval.to_uint64(group))
    late = people.built(CAROL, "join_group", address(CAROL), scval.to_uint64(group))
    people.call(BOB, "join_group", address(BOB), scval.to_uint64(group))
    with pytest.raises(TransactionFailedError):
        late.sign_and_submit()
