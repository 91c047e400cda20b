"""Checks of who signed an authorization: an account's signers, or a contract's own check."""

from typing import TYPE_CHECKING, Final

from stellar_sdk import Keypair
from stellar_sdk.exceptions import BadSignatureError
from stellar_sdk.xdr import AccountEntry, SCVal, SorobanAddressCredentials

from ajo.soroban.contract.codec import BYTES, U32
from devtools.sandbox.ledger.accounts import signer_weight
from devtools.sandbox.machine.errors import HostError
from devtools.sandbox.machine.invocations import contexts

if TYPE_CHECKING:
    from devtools.sandbox.machine.authorization import Tracker
    from devtools.sandbox.machine.machine import Machine

MAX_SIGNATURES: Final = 20
CHECK_AUTH: Final = "__check_auth"
_FAILED: Final = HostError("Contract", 5).code  # the account contract's AuthenticationError
_MEDIUM: Final = 2  # the threshold's place
_TYPE_ERROR: Final = ("Value", "UnexpectedType")


def authenticate(
    machine: "Machine", address: str, payload: bytes, credentials: SorobanAddressCredentials, tracker: "Tracker"
) -> None:
    """Raises HostError unless the signature is the address's own over the payload."""
    signature = credentials.signature
    if address.startswith("C"):
        args = [BYTES.encode(payload), signature.to_xdr_bytes(), contexts(tracker.root)]
        machine.check_contract(address, CHECK_AUTH, args)
        return
    found = _signatures(signature)
    if len(found) > MAX_SIGNATURES:
        raise _error(machine, "too many account signers", U32.encode(len(found)))
    if not found:
        raise _error(machine, "no account signatures found")
    account = machine.load_account(address)
    weight, previous = 0, b""
    for key, signed in found:
        if previous and key <= previous:
            raise _error(machine, "public keys are not ordered", BYTES.encode(previous), BYTES.encode(key))
        verify(machine, key, payload, signed)
        weight += _weight(machine, address, account, key)
        previous = key
    threshold = account.thresholds.thresholds[_MEDIUM]
    if weight < threshold:
        words = "signature weight is lower than threshold"
        raise _error(machine, words, U32.encode(weight), U32.encode(threshold))


def _weight(machine: "Machine", address: str, account: AccountEntry, key: bytes) -> int:
    weight = signer_weight(account, Keypair.from_raw_ed25519_public_key(key).public_key)
    if weight == 0:
        raise _error(machine, "signer does not belong to account", BYTES.encode(key))
    return weight


def _error(machine: "Machine", words: str, *data: bytes) -> HostError:
    return machine.error(HostError("Contract", 5), words, *data)


def _signatures(value: SCVal) -> list[tuple[bytes, bytes]]:
    """Public keys and signatures in the SCVal that accounts sign with: a vector of maps."""
    if value.vec is None:
        raise HostError(*_TYPE_ERROR)
    found = []
    for each in value.vec.sc_vec:
        fields = {} if each.map is None else {one.key.sym: one.val for one in each.map.sc_map if one.key.sym}
        named = {name.sc_symbol: one.bytes.sc_bytes for name, one in fields.items() if one.bytes is not None}
        key, signature = named.get(b"public_key", b""), named.get(b"signature", b"")
        if len(key) != 32 or len(signature) != 64:
            raise HostError(*_TYPE_ERROR)
        found.append((key, signature))
    return found


def verify(machine: "Machine", key: bytes, payload: bytes, signature: bytes) -> None:
    """Raises HostError unless the ed25519 signature is right."""
    machine.budget.charge("signature")
    try:
        Keypair.from_raw_ed25519_public_key(key).verify(payload, signature)
    except (BadSignatureError, ValueError):
        raise machine.error(HostError("Crypto", "InvalidInput"), "failed ED25519 verification") from None
