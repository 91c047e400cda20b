"""The examples of writing are one real transaction: they decode, and belong together."""

import base64
import hashlib
from typing import Any

from stellar_sdk import Keypair, StrKey, TransactionEnvelope
from stellar_sdk.sep.stellar_uri import TransactionStellarUri

from ajo.api import writing_examples
from ajo.api.examples import EXAMPLES, NETWORK
from ajo.api.writing_examples import JOINER, PAYER, WRITING


def envelope(name: str) -> Any:
    return TransactionEnvelope.from_xdr(WRITING[name], NETWORK)


def entries(of: Any) -> list[str]:
    (operation,) = of.transaction.operations
    return [entry.to_xdr() for entry in operation.auth]


def test_hashes_are_those_of_the_envelopes() -> None:
    assert envelope("Built.xdr").hash_hex() == WRITING["Built.hash"] == WRITING["Build.replaces"]
    assert envelope("Submission.xdr").hash_hex() == WRITING["Transaction.hash"]
    assert WRITING["Prepare.xdr"] == WRITING["Built.xdr"]


def test_what_was_built_is_what_was_asked_for() -> None:
    built = envelope("Built.xdr")
    assert built.transaction.source.account_id == WRITING["Build.source"] == PAYER
    assert str(built.transaction.sequence) == WRITING["Build.sequence"] == WRITING["Built.sequence"]
    assert str(built.transaction.fee) == WRITING["Offer.max"]
    assert int(WRITING["Offer.inclusion"]) + int(WRITING["Offer.resource"]) == int(WRITING["Offer.max"])
    assert str(envelope("Submission.xdr").transaction.fee) == WRITING["Fee.max"]
    (operation,) = built.transaction.operations
    call = operation.host_function.invoke_contract
    assert call.function_name.sc_symbol.decode() == WRITING["Build.function"]
    assert StrKey.encode_contract(call.contract_address.contract_id.contract_id.hash) == EXAMPLES["contract"]


def test_the_entry_is_signed_by_who_joins_and_the_transaction_by_who_pays() -> None:
    payload = hashlib.sha256(base64.b64decode(WRITING["AuthEntry.preimage"])).digest()
    (signature,) = WRITING["Prepare.signatures"]
    Keypair.from_public_key(JOINER).verify(payload, base64.b64decode(signature["signature"]))
    assert entries(envelope("Built.xdr")) == [WRITING["AuthEntry.xdr"]]
    signed = envelope("Submission.xdr")
    assert entries(signed) == WRITING["Prepare.auth"]
    (by_payer,) = signed.signatures
    Keypair.from_public_key(PAYER).verify(signed.hash(), by_payer.signature)


def test_the_link_opens_what_was_built() -> None:
    link = TransactionStellarUri.from_uri(WRITING["Built.uri"], NETWORK)
    assert link.transaction_envelope.hash_hex() == WRITING["Built.hash"]
    assert (link.pubkey, link.network_passphrase) == (PAYER, NETWORK)
    assert link.callback == "http://127.0.0.1:8000/api/v1/transactions/"


def test_addresses_are_addresses() -> None:
    accounts = [value for value in vars(writing_examples).values() if isinstance(value, str) and len(value) == 56]
    assert len(accounts) == 3
    assert all(StrKey.is_valid_ed25519_public_key(each) or StrKey.is_valid_contract(each) for each in accounts)
