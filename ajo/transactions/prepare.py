"""Take what wallets signed of a built transaction's authorizations, and simulate it again with them, enforced.

A recorded simulation never runs a contract account's own check of a signature: what that reads and costs is known only
now. Signed entries stay as they are, byte for byte: a wallet signed them and nothing else.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from stellar_sdk import Address, Keypair, scval
from stellar_sdk.auth import authorization_payload_hash, build_authorization_preimage
from stellar_sdk.exceptions import BadSignatureError
from stellar_sdk.xdr import SCVal, SorobanAuthorizationEntry

from ajo.api.problems import invalid
from ajo.soroban.contract import XDR_FAULTS
from ajo.soroban.rpc.client import SorobanClient
from ajo.soroban.rpc.errors import RpcInvalidAnswer
from ajo.transactions.authorization import check_entries, credentials_of, is_signed
from ajo.transactions.build import Built, finished
from ajo.transactions.codes import Code
from ajo.transactions.conflicts import Conflict
from ajo.transactions.envelope import EnvelopeRefused, Submission, check_envelope, check_time, read_envelope
from ajo.transactions.fees import bid_of, expected_growth, with_margins
from ajo.transactions.simulation import allowed, ask_both, ask_chain, unsigned_envelope
from ajo.transactions.state import State
from ajo.transactions.warnings import token_of
from groups.models import Token

MIN_LEDGERS_LEFT: Final = 2  # of an entry: with less it has expired before a ledger carries it

Entries = list[SorobanAuthorizationEntry]


@dataclass(frozen=True, slots=True)
class Signature:
    """An ed25519 signature over the SHA-256 of the preimage of `address`'s entry; `public_key` is a G… strkey."""

    address: str
    public_key: str
    signature: bytes


def prepare(xdr: str, auth: Sequence[str] = (), signatures: Sequence[Signature] = (), client: str = "") -> Built:
    """Return the transaction with signed entries: those in `auth` (base64), or its own with `signatures`.

    `client` is the client's address.

    Raises a 400 by field for entries that are not the built ones, Conflict, and Unavailable.
    """
    submission = _read(xdr)
    (operation,) = submission.envelope.transaction.operations
    entries: Entries = list(operation.auth)  # type: ignore[attr-defined]  # read_call lets nothing else through
    try:
        needs_signing = not all(_is_source(entry) for entry in entries)
    except ValueError as error:
        raise invalid(xdr=f"It has {error}: build makes none of those.") from error
    if not needs_signing:
        raise invalid(xdr="It has no authorization entry to sign: the source's signature is enough.")
    signed = _put_in(entries, auth) if auth else _sign(entries, signatures)
    return ask_chain(lambda node: _prepare(node, submission, signed), client)


def _prepare(client: SorobanClient, submission: Submission, auth: Entries) -> Built:
    call, source = submission.call, submission.source

    def meanwhile(state: State) -> Token | None:
        if submission.sequence <= state.account.sequence:
            raise Conflict(Code.SEQUENCE_USED, "The sequence number of this transaction has been used. Build it again.")
        _check_times(submission, auth, state)
        try:
            check_entries(auth, call, state, source)
        except RpcInvalidAnswer as error:  # they are the client's, and no node's
            raise invalid(xdr="Its authorization entries are not those that this call needs.") from error
        return token_of(call, state)

    state, token, answer = ask_both(client, call, source, meanwhile, auth=auth)
    simulation = allowed(answer, call, state)
    growth = expected_growth(call, state)
    data = with_margins(simulation.transaction_data, simulation.min_resource_fee, growth, state.limits)
    envelope = unsigned_envelope(
        call,
        source,
        submission.sequence,
        submission.max_time,
        inclusion_fee=bid_of(submission.envelope),
        auth=auth,
        data=data,
    )
    return finished(envelope, call, state, simulation, data, auth, token)


def _read(xdr: str) -> Submission:
    try:
        submission = check_envelope(read_envelope(xdr))
    except EnvelopeRefused as refused:
        raise invalid(xdr=str(refused)) from refused
    if submission.caller != submission.source:
        raise invalid(xdr="Its operation has a source of its own: build leaves that out.")
    return submission


def _check_times(submission: Submission, auth: Entries, state: State) -> None:
    """Raise a 400 for a transaction whose time is over, or an entry that expires at once, or after what is allowed."""
    try:
        check_time(submission.max_time, state.closed_at, state.closed_at)
    except EnvelopeRefused as refused:
        raise invalid(xdr=str(refused)) from refused
    first, last = state.ledger + MIN_LEDGERS_LEFT, state.ledger + state.limits.lifetime - 1
    for entry in auth:
        credentials = credentials_of(entry)
        if credentials is None:
            continue
        expires = credentials.signature_expiration_ledger.uint32
        if not first <= expires <= last:
            raise invalid(
                auth=f"The entry of {_address(entry)} expires with ledger {expires}; the network takes {first} to "
                f"{last} now."
            )


def _put_in(entries: Entries, texts: Sequence[str]) -> Entries:
    """Return the entries with the signed ones in their places. Raises a 400 for one that is none of them."""
    found = list(entries)
    for text in texts:
        signed = _decoded(text)
        place = next((n for n, entry in enumerate(entries) if _promise(entry) == _promise(signed)), None)
        if place is None:
            raise invalid(auth=_difference(entries, signed))
        if not is_signed(signed):
            raise invalid(auth=f"The entry of {_address(signed)} is not signed.")
        found[place] = signed
    _check_all_signed("auth", found)
    return found


def _decoded(text: str) -> SorobanAuthorizationEntry:
    try:
        raw = base64.b64decode(text, validate=True)
        entry = SorobanAuthorizationEntry.from_xdr_bytes(raw)
        credentials_of(entry)
        is_same = entry.to_xdr_bytes() == raw
    except XDR_FAULTS as error:
        raise invalid(auth="A SorobanAuthorizationEntry of an address is expected, in base64.") from error
    if not is_same:
        raise invalid(auth="An entry is not written as XDR writes it: it could not be kept as it was signed.")
    return entry


def _promise(entry: SorobanAuthorizationEntry) -> tuple[object, ...]:
    """Return what has to stay as it was built: kind, address, nonce and tree. The signer chooses the expiry."""
    credentials = credentials_of(entry)
    kept = (credentials.address.to_xdr_bytes(), credentials.nonce.int64) if credentials else ()
    return entry.credentials.type, *kept, entry.root_invocation.to_xdr_bytes()


def _difference(entries: Entries, signed: SorobanAuthorizationEntry) -> str:
    """Say in what an entry is not one of those that were built."""
    own = [entry for entry in entries if not _is_source(entry) and _address(entry) == _address(signed)]
    if not own:
        return f"The transaction has no entry of {_address(signed)}."
    if own[0].root_invocation.to_xdr_bytes() != signed.root_invocation.to_xdr_bytes():
        return f"The entry of {_address(signed)} authorizes another call than the one that was built."
    return f"The entry of {_address(signed)} has another nonce, or other credentials, than the one that was built."


def _check_all_signed(field: str, entries: Iterable[SorobanAuthorizationEntry]) -> None:
    for entry in entries:
        if not is_signed(entry):
            raise invalid(**{field: f"The entry of {_address(entry)} is not signed."})


def _sign(entries: Entries, signatures: Sequence[Signature]) -> Entries:
    """Return copies of the entries with the signatures in the form of their accounts. Raises a 400 for a wrong one.

    An account's signatures are its keys' with their public keys, in the keys' order. A contract account defines a form
    of its own: the bare 64 bytes are what its wallet is given here, and one that wants more signs the entry itself.
    """
    copies = [SorobanAuthorizationEntry.from_xdr(entry.to_xdr()) for entry in entries]
    for address in dict.fromkeys(each.address for each in signatures):
        entry = next((each for each in copies if not _is_source(each) and _address(each) == address), None)
        credentials = credentials_of(entry) if entry else None
        if entry is None or credentials is None:
            raise invalid(signatures=f"The transaction has no entry of {address}.")
        given = [each for each in signatures if each.address == address]
        expires = credentials.signature_expiration_ledger.uint32
        preimage = build_authorization_preimage(entry, expires, settings.STELLAR_NETWORK_PASSPHRASE)
        for each in given:
            _verify(each, authorization_payload_hash(preimage))
        credentials.signature = _signature_value(address, given)
    _check_all_signed("signatures", copies)
    return copies


def _verify(given: Signature, payload: bytes) -> None:
    try:
        Keypair.from_public_key(given.public_key).verify(payload, given.signature)
    except BadSignatureError as error:
        raise invalid(
            signatures=f"What {given.public_key} gives for {given.address} is no signature of the preimage's SHA-256."
        ) from error


def _signature_value(address: str, given: Sequence[Signature]) -> SCVal:
    if address.startswith("C"):
        if len(given) > 1:
            raise invalid(signatures=f"{address} is a contract: sign its entry in the form that it wants.")
        return scval.to_bytes(given[0].signature)
    keys = {Keypair.from_public_key(each.public_key).raw_public_key(): each.signature for each in given}
    return scval.to_vec([_key_and_signature(key, keys[key]) for key in sorted(keys)])


def _key_and_signature(key: bytes, signature: bytes) -> SCVal:
    fields: Any = {
        scval.to_symbol("public_key"): scval.to_bytes(key),
        scval.to_symbol("signature"): scval.to_bytes(signature),
    }
    return scval.to_map(fields)


def _is_source(entry: SorobanAuthorizationEntry) -> bool:
    return credentials_of(entry) is None


def _address(entry: SorobanAuthorizationEntry) -> str:
    credentials = credentials_of(entry)
    return Address.from_xdr_sc_address(credentials.address).address if credentials else "the source account"
