"""Check the signatures of an envelope against the signers that its accounts have on the chain, as core does.

A transaction needs signatures of weight LOW of its source and MEDIUM of the account that calls, and none that is not
needed (stellar-core, SignatureChecker).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

from django.conf import settings
from stellar_sdk import DecoratedSignature, Keypair, Network, TransactionEnvelope
from stellar_sdk.exceptions import BadSignatureError
from stellar_sdk.xdr import Signer, SignerKeyType

from ajo.conf.checks import SANDBOX_PASSPHRASE
from ajo.transactions.accounts import AccountState
from ajo.transactions.envelope import EnvelopeRefused, Fault, Submission

MAX_WEIGHT: Final = 255  # core counts no signer for more
# what a wallet may be set to by mistake
NETWORKS: Final = (
    Network.PUBLIC_NETWORK_PASSPHRASE,
    Network.TESTNET_NETWORK_PASSPHRASE,
    Network.FUTURENET_NETWORK_PASSPHRASE,
    Network.STANDALONE_NETWORK_PASSPHRASE,
    SANDBOX_PASSPHRASE,
)

Verify = Callable[[DecoratedSignature], bool]


class _Checker:
    """Counts weights, and remembers which signatures were needed."""

    def __init__(self, tx_hash: bytes, signatures: Sequence[DecoratedSignature]) -> None:
        self._hash = tx_hash
        self._signatures = signatures
        self.used = [False] * len(signatures)

    def weigh(self, account: AccountState, needed: int) -> tuple[bool, int]:
        """Return whether the signatures suffice, and the weight that was counted until they did.

        One signature at least is needed where `needed` is 0.
        """
        total = 0
        for signer in account.other_signers:
            if signer.key.pre_auth_tx is not None and signer.key.pre_auth_tx.uint256 == self._hash:
                total += min(signer.weight.uint32, MAX_WEIGHT)
                if total >= needed:
                    return True, total
        for signers in _by_kind(account, self._hash):
            for place, signature in enumerate(self._signatures):
                found = next((each for each in signers if each[0](signature)), None)
                if found is None:
                    continue
                signers.remove(found)
                self.used[place] = True
                total += min(found[1], MAX_WEIGHT)
                if total >= needed:
                    return True, total
        return False, total


def check_signatures(submission: Submission, accounts: Mapping[str, AccountState]) -> None:
    """Raise EnvelopeRefused where the network would refuse the signatures. `accounts` has source and caller."""
    envelope = submission.envelope
    checker = _Checker(envelope.hash(), envelope.signatures)
    source, caller = accounts[submission.source], accounts[submission.caller]
    for account, needed, what in (
        (source, source.thresholds.low, "its transactions"),
        (caller, caller.thresholds.medium, "its calls"),
    ):
        is_enough, weight = checker.weigh(account, needed)
        if not (is_enough or envelope.signatures):
            raise EnvelopeRefused(Fault.NOT_SIGNED, "It is not signed.")
        if not is_enough:
            _refuse_other_network(envelope, accounts.values())
            detail = (
                f"The signatures of {account.address} weigh {weight}; {what} need {max(needed, 1)}. Only keys that the "
                "account has as signers now count."
            )
            raise EnvelopeRefused(Fault.WEIGHT_SHORT, detail)
    unused = [
        each.signature_hint.hex() for each, used in zip(envelope.signatures, checker.used, strict=True) if not used
    ]
    if unused:
        _refuse_other_network(envelope, accounts.values())
        detail = (
            "The network refuses a transaction with a signature that it does not need, or that is wrong. Leave out the "
            f"one with the hint {unused[0]}."
        )
        raise EnvelopeRefused(Fault.UNUSED_SIGNATURE, detail)


def _by_kind(account: AccountState, tx_hash: bytes) -> Iterator[list[tuple[Verify, int]]]:
    """Yield the account's signers, as checks with weights, in the order in which core tries their kinds."""
    yield [
        (_preimage_of(signer), signer.weight.uint32)
        for signer in account.other_signers
        if signer.key.type == SignerKeyType.SIGNER_KEY_TYPE_HASH_X
    ]
    yield [(_signed_by(address, tx_hash), weight) for address, weight in account.signers.items()]
    yield [
        (_payload_signed_by(signer), signer.weight.uint32)
        for signer in account.other_signers
        if signer.key.type == SignerKeyType.SIGNER_KEY_TYPE_ED25519_SIGNED_PAYLOAD
    ]


def _preimage_of(signer: Signer) -> Verify:
    assert signer.key.hash_x is not None  # noqa: S101  # its kind says so
    digest = signer.key.hash_x.uint256
    return lambda signature: signature.signature_hint == digest[-4:] and sha256(signature.signature).digest() == digest


def _signed_by(address: str, tx_hash: bytes) -> Verify:
    key = Keypair.from_public_key(address)
    return lambda signature: signature.signature_hint == key.signature_hint() and _verifies(key, tx_hash, signature)


def _payload_signed_by(signer: Signer) -> Verify:
    payload = signer.key.ed25519_signed_payload
    assert payload is not None  # noqa: S101  # its kind says so
    key = Keypair.from_raw_ed25519_public_key(payload.ed25519.uint256)
    last = payload.payload[-4:].ljust(4, b"\0")
    hint = bytes(one ^ other for one, other in zip(key.signature_hint(), last, strict=True))  # CAP-40
    return lambda signature: signature.signature_hint == hint and _verifies(key, payload.payload, signature)


def _verifies(key: Keypair, data: bytes, signature: DecoratedSignature) -> bool:
    try:
        key.verify(data, signature.signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def _refuse_other_network(envelope: TransactionEnvelope, accounts: Iterable[AccountState]) -> None:
    """Raise EnvelopeRefused, with the network's name, where a signer has signed for another one that is known."""
    signers = [address for account in accounts for address in account.signers]
    for passphrase in NETWORKS:
        if passphrase == settings.STELLAR_NETWORK_PASSPHRASE:
            continue
        tx_hash = TransactionEnvelope(envelope.transaction, passphrase).hash()
        if any(_signed_by(address, tx_hash)(each) for address in signers for each in envelope.signatures):
            detail = (
                f"It is signed for the network '{passphrase}', and this is '{settings.STELLAR_NETWORK_PASSPHRASE}'. "
                "Set the wallet to this one, and sign again."
            )
            raise EnvelopeRefused(Fault.WRONG_NETWORK, detail)
