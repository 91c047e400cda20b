"""Signatures against the account's signers on the chain: what the network would refuse is refused, and no more."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from pytest_django import Settings
from stellar_sdk import (
    Account,
    Keypair,
    Network,
    SignedPayloadSigner,
    SignerKey,
    TransactionBuilder,
    TransactionEnvelope,
)
from stellar_sdk.xdr import Signer, Uint32

from ajo.transactions.accounts import AccountState, Thresholds
from ajo.transactions.calls import make_call
from ajo.transactions.envelope import EnvelopeRefused, Submission
from ajo.transactions.signatures import check_signatures
from tests.support.sending import ALICE, BOB, CAROL

PREIMAGE = b"open sesame"
PAYLOAD = b"what was agreed"


def envelope(settings: Settings, *keys: Keypair) -> TransactionEnvelope:
    call = make_call("join_group", {"member": BOB.public_key, "group_id": 1})
    builder = TransactionBuilder(Account(BOB.public_key, 1), settings.STELLAR_NETWORK_PASSPHRASE, base_fee=100)
    built = builder.append_operation(call.operation()).add_time_bounds(0, 10).build()
    for key in keys:
        built.sign(key)
    return built


def account(key: Keypair = BOB, low: int = 0, medium: int = 0, **more: Any) -> AccountState:
    signers = more.pop("signers", {key.public_key: 1})
    return AccountState(key.public_key, 1, 10**9, Thresholds(low, medium), signers, **more)


def verdict(signed: TransactionEnvelope, source: AccountState, caller: AccountState | None = None) -> str:
    """Return "taken" or the name of the refusal."""
    caller = caller or source
    call = make_call("join_group", {"member": BOB.public_key, "group_id": 1})
    submission = Submission(signed.hash_hex(), signed, call, source.address, caller.address, 2, 10, 100)
    try:
        check_signatures(submission, {each.address: each for each in (source, caller)})
    except EnvelopeRefused as refused:
        return refused.fault.value
    return "taken"


def test_one_signature_of_the_master_key_is_enough_by_default(settings: Settings) -> None:
    assert verdict(envelope(settings, BOB), account()) == "taken"
    assert verdict(envelope(settings), account()) == "not_signed"
    assert verdict(envelope(settings, CAROL), account()) == "weight_short"


@pytest.mark.parametrize(
    ("low", "medium", "keys", "expected"),
    [
        (1, 2, [BOB], "weight_short"),
        (1, 2, [BOB, CAROL], "taken"),
        (1, 2, [CAROL, BOB], "taken"),
        (2, 1, [BOB], "weight_short"),
        (1, 1, [BOB, CAROL], "unused_signature"),
        (3, 3, [BOB, CAROL], "weight_short"),
        (3, 3, [BOB, CAROL, ALICE], "taken"),
        (0, 0, [BOB, CAROL], "unused_signature"),
    ],
)
def test_weights_count_for_low_and_medium(
    settings: Settings, low: int, medium: int, keys: list[Keypair], expected: str
) -> None:
    """Guards WRITING 31: one valid signature too many is refused by the network, too."""
    signers = {each.public_key: 1 for each in (BOB, CAROL, ALICE)}
    assert verdict(envelope(settings, *keys), account(low=low, medium=medium, signers=signers)) == expected


def test_a_signature_that_is_wrong_is_one_too_many(settings: Settings) -> None:
    signed = envelope(settings, BOB, CAROL)
    assert verdict(signed, account()) == "unused_signature"
    signed.signatures[1].signature = b"\1" * 64
    assert verdict(signed, account(signers={BOB.public_key: 1, CAROL.public_key: 1})) == "unused_signature"


def test_a_signature_of_another_length_counts_nothing(settings: Settings) -> None:
    signed = envelope(settings, BOB)
    signed.signatures[0].signature = b"\1" * 3
    assert verdict(signed, account()) == "weight_short"


def test_a_master_key_without_weight_does_not_sign(settings: Settings) -> None:
    assert verdict(envelope(settings, BOB), account(signers={CAROL.public_key: 1})) == "weight_short"
    assert verdict(envelope(settings, CAROL), account(signers={CAROL.public_key: 1})) == "taken"


def test_another_account_that_calls_signs_as_well(settings: Settings) -> None:
    source, caller = account(), account(CAROL, medium=1)
    assert verdict(envelope(settings, BOB, CAROL), source, caller) == "taken"
    assert verdict(envelope(settings, BOB), source, caller) == "weight_short"


def test_no_signer_counts_for_more_than_255(settings: Settings) -> None:
    """Core caps weights: a signer of 1,000 does not reach what two of 255 reach."""
    signers = {BOB.public_key: 1_000}
    assert verdict(envelope(settings, BOB), account(medium=256, signers=signers)) == "weight_short"


def signer(key: Any, weight: int = 1) -> Signer:
    return Signer(key.to_xdr_object(), Uint32(weight))


def test_a_hash_a_payload_and_a_preauthorized_transaction_sign(settings: Settings) -> None:
    nobody: dict[str, int] = {}
    by_hash = envelope(settings)
    by_hash.sign_hashx(PREIMAGE)
    hashed = signer(SignerKey.sha256_hash(sha256(PREIMAGE).digest()))
    assert verdict(by_hash, account(signers=nobody, other_signers=(hashed,))) == "taken"
    wrong = envelope(settings)
    wrong.sign_hashx(b"another")
    assert verdict(wrong, account(signers=nobody, other_signers=(hashed,))) == "weight_short"

    by_payload = envelope(settings)
    by_payload.signatures.append(CAROL.sign_payload_decorated(PAYLOAD))
    agreed = signer(SignerKey.ed25519_signed_payload(SignedPayloadSigner(CAROL.public_key, PAYLOAD)))
    assert verdict(by_payload, account(signers=nobody, other_signers=(agreed,))) == "taken"

    allowed = envelope(settings, BOB)
    beforehand = signer(SignerKey.pre_auth_tx(allowed.hash()))
    assert verdict(allowed, account(medium=2, other_signers=(beforehand,))) == "taken"
    assert verdict(envelope(settings), account(medium=1, signers=nobody, other_signers=(beforehand,))) == "taken"
    assert verdict(allowed, account(medium=1, other_signers=(beforehand,))) == "unused_signature"


@pytest.mark.parametrize(
    "passphrase",
    [Network.PUBLIC_NETWORK_PASSPHRASE, Network.TESTNET_NETWORK_PASSPHRASE, Network.FUTURENET_NETWORK_PASSPHRASE],
)
def test_the_network_that_it_was_signed_for_is_named(settings: Settings, passphrase: str) -> None:
    """Guards WRITING 30."""
    there = TransactionEnvelope(envelope(settings).transaction, passphrase)
    there.sign(BOB)
    here = envelope(settings)
    here.signatures = there.signatures
    assert verdict(here, account()) == "wrong_network"
    submission = Submission("", here, make_call("pause", {}), BOB.public_key, BOB.public_key, 2, 10, 100)
    with pytest.raises(EnvelopeRefused, match=passphrase):
        check_signatures(submission, {BOB.public_key: account()})
