"""Whether a transaction's signatures are enough: an account's signers of every kind but one.

Hashes of transactions as signers (which the network takes away once they are used) are not known here.
"""

import hashlib
from typing import Final

from stellar_sdk import Keypair
from stellar_sdk.exceptions import BadSignatureError
from stellar_sdk.xdr import AccountEntry, DecoratedSignature, SignerKey, SignerKeyType

from devtools.sandbox.ledger.accounts import MASTER

MOST: Final = 255  # what one signer weighs at most
_HASH: Final = SignerKeyType.SIGNER_KEY_TYPE_HASH_X
_ED25519: Final = SignerKeyType.SIGNER_KEY_TYPE_ED25519
_PAYLOAD: Final = SignerKeyType.SIGNER_KEY_TYPE_ED25519_SIGNED_PAYLOAD


def signed(
    account: AccountEntry, threshold: int, signatures: list[DecoratedSignature], payload: bytes, used: set[int]
) -> bool:
    """Whether the signers' weight is enough; the places of the signatures that were needed are added to `used`."""
    thresholds = account.thresholds.thresholds
    signers = [(SignerKey(_ED25519, ed25519=account.account_id.account_id.ed25519), thresholds[MASTER])]
    signers += [(each.key, each.weight.uint32) for each in account.signers]
    return signed_by(signers, thresholds[threshold], signatures, payload, used)


def signed_by(
    signers: list[tuple[SignerKey, int]],
    needed: int,
    signatures: list[DecoratedSignature],
    payload: bytes,
    used: set[int],
) -> bool:
    """The same of any signers: hashed secrets count first, then keys, then keys that sign something of their own."""
    weight = 0
    for kind, fits in ((_HASH, _opens), (_ED25519, _signs), (_PAYLOAD, _signs_payload)):
        waiting = [each for each in signers if each[0].type == kind and each[1] > 0]
        for place, signature in enumerate(signatures):
            found = next((each for each in waiting if fits(each[0], signature, payload)), None)
            if found is not None:
                used.add(place)
                waiting.remove(found)
                weight += min(found[1], MOST)
                if weight >= needed:
                    return True
    return False


def _opens(signer: SignerKey, signature: DecoratedSignature, payload: bytes) -> bool:
    """A secret whose hash the signer is."""
    digest = b"" if signer.hash_x is None else signer.hash_x.uint256
    hint = signature.hint.signature_hint
    return hint == digest[-4:] and hashlib.sha256(signature.signature.signature).digest() == digest


def _signs(signer: SignerKey, signature: DecoratedSignature, payload: bytes) -> bool:
    key = b"" if signer.ed25519 is None else signer.ed25519.uint256
    return signature.hint.signature_hint == key[-4:] and _verifies(key, payload, signature)


def _signs_payload(signer: SignerKey, signature: DecoratedSignature, payload: bytes) -> bool:
    """The hint is the key's, with the end of what is signed over it."""
    own = signer.ed25519_signed_payload
    if own is None:
        return False
    key, end = own.ed25519.uint256, own.payload[-4:].ljust(4, b"\0")
    hint = bytes(one ^ two for one, two in zip(key[-4:], end, strict=True))
    return signature.hint.signature_hint == hint and _verifies(key, own.payload, signature)


def _verifies(key: bytes, payload: bytes, signature: DecoratedSignature) -> bool:
    try:
        Keypair.from_raw_ed25519_public_key(key).verify(payload, signature.signature.signature)
    except (BadSignatureError, ValueError):
        return False
    return True
