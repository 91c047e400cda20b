"""Signed authorization entries over HTTP: of accounts and of contract accounts, as entries and as bare signatures."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from stellar_sdk import Address, Keypair, scval, xdr
from stellar_sdk.auth import authorization_payload_hash, authorize_entry

from devtools.sandbox.sandbox import Sandbox
from tests.support.building import PREPARE, building, built, opened, post, requests_seen, signed
from tests.support.closing import order
from tests.support.sending import ALICE, BOB, CAROL, host_code, looked_up, send

__all__ = ["building"]
pytestmark = pytest.mark.django_db
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


# --- what is refused


def wrong(answer: Any, field: str, words: str, **body: Any) -> None:
    errors = prepared(answer, status=400, **body)["errors"]
    assert errors.keys() == {field}
    assert words in errors[field][0]


def changed(text: str, change: Any) -> str:
    entry = xdr.SorobanAuthorizationEntry.from_xdr(text)
    change(entry)
    return entry.to_xdr()


def other_nonce(entry: Any) -> None:
    entry.credentials.address.nonce = xdr.Int64(7)


def other_call(entry: Any) -> None:
    entry.root_invocation.function.contract_fn.args[1] = scval.to_uint64(2)


def other_address(entry: Any) -> None:
    entry.credentials.address.address = Address(CAROL.public_key).to_xdr_sc_address()


@pytest.mark.parametrize(
    ("change", "words"),
    [(other_nonce, "another nonce"), (other_call, "another call"), (other_address, f"no entry of {CAROL.public_key}")],
)
def test_an_entry_that_was_not_built_is_refused(building: Sandbox, change: Any, words: str) -> None:
    answer = joined(BOB.public_key)
    requests_seen(building)
    wrong(answer, "auth", words, auth=[changed(entry_of(answer, BOB), change)])
    assert requests_seen(building) == {}


def test_an_unsigned_entry_and_what_is_no_entry_are_refused(building: Sandbox) -> None:
    answer = joined(BOB.public_key)
    wrong(answer, "auth", "is not signed", auth=[answer["auth_entries"][0]["xdr"]])
    wrong(answer, "auth", "in base64", auth=["nonsense"])
    wrong(answer, "auth", "in base64", auth=[entry_of(answer, BOB)[:-8]])


@pytest.mark.parametrize(("left", "status"), [(1, 400), (2, 200), (3_110_399, 200), (3_110_400, 400)])
def test_an_entry_that_expires_at_once_or_too_late_is_refused(building: Sandbox, left: int, status: int) -> None:
    answer = joined(BOB.public_key)
    signed_entry = entry_of(answer, BOB, building.chain.latest + left)
    found = prepared(answer, status=status, auth=[signed_entry])
    assert status == 200 or "expires with ledger" in found["errors"]["auth"][0]


def test_a_wrong_signature_is_refused_before_the_chain_is_asked(building: Sandbox) -> None:
    answer = joined(BOB.public_key)
    right = bare(answer, BOB)
    requests_seen(building)
    wrong(answer, "signatures", "no signature of", signatures=[right | {"public_key": CAROL.public_key}])
    wrong(answer, "signatures", "64 bytes", signatures=[right | {"signature": "AAAA"}])
    foreign = right | {"address": CAROL.public_key}
    wrong(answer, "signatures", f"no entry of {CAROL.public_key}", signatures=[foreign])
    assert requests_seen(building) == {}


def test_a_signature_over_the_other_kind_of_preimage_is_refused(building: Sandbox) -> None:
    """Breaks if V2 entries were signed over V1's preimage: the call would fail in its ledger."""
    first, second = joined(BOB.public_key, "address"), joined(BOB.public_key, "address_v2")
    wrong(second, "signatures", "no signature of", signatures=[bare(first, BOB)])


def test_a_signature_of_a_key_that_is_no_signer_is_the_host_s_refusal(building: Sandbox) -> None:
    answer = joined(BOB.public_key)
    found = prepared(answer, status=409, signatures=[bare(answer, CAROL)])
    assert (found["code"], found["host_error"]) == ("bad_auth", {"type": "Auth", "code": "InvalidAction"})


def test_a_used_entry_is_refused(building: Sandbox) -> None:
    answer = joined(BOB.public_key)
    ready = prepared(answer, signatures=[bare(answer, BOB)])
    assert apply(building, ready) == "SUCCESS"
    assert prepared(answer, status=409, signatures=[bare(answer, BOB)])["code"] == "sequence_used"


def test_two_keys_of_an_account_sign_together(building: Sandbox) -> None:
    signers = {"account": BOB.public_key, "thresholds": [1, 0, 2, 2], "signers": {CAROL.public_key: 1}}
    order(building, "signers", **signers)
    building.chain.close_ledger()
    answer = joined(BOB.public_key)
    assert prepared(answer, status=409, signatures=[bare(answer, BOB)])["code"] == "bad_auth"
    both = [bare(answer, BOB), bare(answer, CAROL)]
    assert apply(building, prepared(answer, signatures=both)) == "SUCCESS"


def test_what_needs_no_signed_entry_needs_no_prepare(building: Sandbox) -> None:
    own = built("contribute", ALICE, member=ALICE.public_key, group_id="1")
    wrong(own, "xdr", "no authorization entry", signatures=[bare(joined(BOB.public_key), BOB)])


def test_the_body_is_checked_by_field(building: Sandbox) -> None:
    answer = joined(BOB.public_key)
    assert "auth" in post(PREPARE, {"xdr": answer["xdr"], "auth": []}).json()["errors"]
    both = {"auth": [entry_of(answer, BOB)], "signatures": [bare(answer, BOB)]}
    assert "non_field_errors" in prepared(answer, status=400, **both)["errors"]
    assert "xdr" in post(PREPARE, {"xdr": "AAAA", "auth": both["auth"]}).json()["errors"]
    assert "bump" in post(PREPARE, {"xdr": answer["xdr"], "bump": 1}).json()["errors"]
