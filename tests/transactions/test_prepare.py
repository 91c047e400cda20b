"""Signed authorization entries over HTTP: of accounts and of contract accounts, as entries and as bare signatures."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from stellar_sdk import Keypair, scval, xdr
from stellar_sdk.auth import authorization_payload_hash, authorize_entry

from devtools.sandbox.sandbox import Sandbox
from tests.support.building import PREPARE, building, built, opened, post, signed
from tests.support.closing import order
from tests.support.sending import ALICE, BOB, CAROL, host_code, looked_up, send

__all__ = ["building"]
pytestmark = pytest.mark.django_db(transaction=True)
KINDS = ["address", "address_v2"]


@pytest.fixture
def wallet(building: Sandbox) -> str:
    """Deploy a contract account that signs with Carol's key."""
    found: str = order(building, "wallet", public_key=CAROL.public_key)["contract"]
    building.chain.close_ledger()
    return found


def joined(member: str, kind: str = "address", **more: Any) -> Any:
    """Build a member's joining of group 1 that Alice pays for."""
    return built("join_group", ALICE, member=member, group_id="1", more={"credentials": kind, **more})


def wallet_signer(preimage: xdr.HashIDPreimage) -> xdr.SCVal:
    return scval.to_bytes(CAROL.sign(authorization_payload_hash(preimage)))


def entry_of(answer: Any, signer: Any, expires: int | None = None) -> str:
    """Sign the one entry of a build, as a wallet that takes entries does."""
    (entry,) = answer["auth_entries"]
    network = answer["network_passphrase"]
    return authorize_entry(entry["xdr"], signer, expires or entry["expires_ledger"], network).to_xdr()


def bare(answer: Any, key: Keypair) -> dict[str, str]:
    """Sign the preimage, as a wallet that takes preimages does (SEP-43)."""
    (entry,) = answer["auth_entries"]
    payload = authorization_payload_hash(xdr.HashIDPreimage.from_xdr(entry["preimage"]))
    signature = base64.b64encode(key.sign(payload)).decode()
    return {"address": entry["address"], "public_key": key.public_key, "signature": signature}


def prepared(answer: Any, *, status: int = 200, **body: Any) -> Any:
    found = post(PREPARE, {"xdr": answer["xdr"], **body})
    assert found.status_code == status, found.content
    return found.json()


def apply(sandbox: Sandbox, answer: Any) -> str:
    """Sign by the source, send, close a ledger; return the host's code."""
    envelope = signed(answer, ALICE)
    assert send(sandbox, envelope)["status"] == "PENDING"
    sandbox.chain.close_ledger()
    return host_code(looked_up(sandbox, envelope))


@pytest.mark.parametrize("kind", KINDS)
def test_an_account_signs_the_preimage_while_another_pays(building: Sandbox, kind: str) -> None:
    answer = joined(BOB.public_key, kind)
    (entry,) = answer["auth_entries"]
    assert (entry["address"], entry["credentials"]) == (BOB.public_key, kind)
    ready = prepared(answer, signatures=[bare(answer, BOB)])
    assert apply(building, ready) == "SUCCESS"
    assert building.chain.view("list_members", 1) == (ALICE.public_key, BOB.public_key)


@pytest.mark.parametrize("kind", KINDS)
def test_a_contract_account_signs_its_entry(building: Sandbox, wallet: str, kind: str) -> None:
    answer = joined(wallet, kind)
    ready = prepared(answer, auth=[entry_of(answer, wallet_signer)])
    assert apply(building, ready) == "SUCCESS"
    assert building.chain.view("list_members", 1) == (ALICE.public_key, wallet)


def test_a_contract_account_gives_the_bare_signature(building: Sandbox, wallet: str) -> None:
    answer = joined(wallet)
    assert apply(building, prepared(answer, signatures=[bare(answer, CAROL)])) == "SUCCESS"


def test_without_prepare_a_contract_account_s_call_fails(building: Sandbox, wallet: str) -> None:
    answer = joined(wallet)
    envelope = opened(answer)
    operation: Any = envelope.transaction.operations[0]
    operation.auth = [xdr.SorobanAuthorizationEntry.from_xdr(entry_of(answer, wallet_signer))]
    envelope.sign(ALICE)
    assert send(building, envelope)["status"] == "PENDING"
    building.chain.close_ledger()
    assert host_code(looked_up(building, envelope)) != "SUCCESS"


def test_signed_entries_are_kept_byte_for_byte(building: Sandbox) -> None:
    answer = joined(BOB.public_key)
    (entry,) = answer["auth_entries"]
    signed_entry = entry_of(answer, BOB, entry["expires_ledger"] - 7)
    ready = prepared(answer, auth=[signed_entry])
    operation: Any = opened(ready).transaction.operations[0]
    assert [each.to_xdr() for each in operation.auth] == [signed_entry]
    assert ready["auth_entries"][0]["xdr"] == signed_entry
    assert (ready["sequence"], ready["valid_until"]) == (answer["sequence"], answer["valid_until"])
    assert ready["fee"]["inclusion"] == answer["fee"]["inclusion"]
