"""Who authorized what: recorded while a call runs, or enforced from the entries that a transaction carries.

An authorization is a tree of invocations for one address. Its root is the first frame that asked for the address; a
frame below that asks again is a node under the nearest frame above it that asked.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stellar_sdk.xdr import (
    SorobanAddressCredentials,
    SorobanAuthorizationEntry,
    SorobanCredentials,
    SorobanCredentialsType,
)

from ajo.soroban.contract.codec import ADDRESS, U32, VOID, encode_address, read_address
from devtools.sandbox.ledger.keys import nonce_key
from devtools.sandbox.machine.errors import HostError
from devtools.sandbox.machine.invocations import Invocation, decode_invocation, encode_invocation
from devtools.sandbox.machine.signatures import authenticate
from devtools.sandbox.present import present

if TYPE_CHECKING:
    from devtools.sandbox.machine.machine import Machine

_PREIMAGE: Final = (9).to_bytes(4, "big")  # ENVELOPE_TYPE_SOROBAN_AUTHORIZATION
_PREIMAGE_WITH_ADDRESS: Final = (10).to_bytes(4, "big")
_NOT_ROOT: Final = (
    "[recording authorization only] encountered authorization not tied to the root contract invocation for an "
    "address. Use `require_auth()` in the top invocation or enable non-root authorization."
)


@dataclass(slots=True)
class Tracker:
    """The authorization of one address: its tree, and which frames of the stack are in it."""

    address: str
    root: Invocation
    is_source: bool
    nonce: int = 0
    frames: dict[int, Invocation] = field(default_factory=dict)

    def nearest(self, depth: int) -> Invocation | None:
        """The node of the nearest frame above, None where none of the stack's frames is in the tree."""
        above = [each for each in self.frames if each < depth]
        return self.frames[max(above)] if above else None

    def pop(self, depth: int) -> None:
        for each in [each for each in self.frames if each >= depth]:
            del self.frames[each]


class Authorization:
    """Grants everything and notes nothing: for calls that nobody signed."""

    def require(self, machine: "Machine", address: str) -> None:
        """The frame on top asks whether an address has authorized it. Raises HostError if not."""

    def pop(self, depth: int) -> None:
        """A frame has ended."""


class Recorder(Authorization):
    """Notes what would have to be authorized, as a simulation does."""

    def __init__(self, source: str, *, allow_nonroot: bool = False, upgraded: bool = False) -> None:
        self.source = source
        self.allow_nonroot = allow_nonroot
        self.upgraded = upgraded
        self.trackers: list[Tracker] = []

    def require(self, machine: "Machine", address: str) -> None:
        depth = len(machine.frames)
        asked = machine.frames[-1].invocation()
        for tracker in self.trackers:
            above = tracker.nearest(depth)
            if tracker.address == address and above is not None and depth not in tracker.frames:
                above.children.append(asked)
                tracker.frames[depth] = asked
                return
        if depth != 1 and not self.allow_nonroot:
            raise machine.error(HostError("Auth", "InvalidAction"), _NOT_ROOT, ADDRESS.encode(address))
        tracker = Tracker(address, asked, address == self.source, secrets.randbits(63), {depth: asked})
        if not tracker.is_source:
            consume_nonce(machine, address, tracker.nonce, None)
        self.trackers.append(tracker)

    def pop(self, depth: int) -> None:
        for tracker in self.trackers:
            tracker.pop(depth)

    def emulate(self, machine: "Machine") -> None:
        """Touch what a check of the signatures would touch; a contract's own check does not run."""
        for tracker in self.trackers:
            if not tracker.is_source:
                machine.touch_authorizer(tracker.address)

    def entries(self) -> list[bytes]:
        """SorobanAuthorizationEntry of each tree, to be signed."""
        return [self._credentials(each) + encode_invocation(each.root) for each in self.trackers]

    def _credentials(self, tracker: Tracker) -> bytes:
        if tracker.is_source:
            return bytes(4)
        kind = 2 if self.upgraded else 1
        unsigned = tracker.nonce.to_bytes(8, "big") + bytes(4) + VOID.encode(None)
        return kind.to_bytes(4, "big") + encode_address(tracker.address) + unsigned


@dataclass(slots=True)
class Signed:
    """An entry of a transaction: its tree, and by whom it is signed; no credentials for the transaction's source."""

    tracker: Tracker
    credentials: SorobanAddressCredentials | None
    with_address: bool
    verified: bool = False

    @property
    def expires(self) -> int:
        return present(self.credentials).signature_expiration_ledger.uint32

    def payload(self, network_id: bytes) -> bytes:
        """What has to be signed: the hash of the preimage, which from CAP-71 on names the address too."""
        kind = _PREIMAGE_WITH_ADDRESS if self.with_address else _PREIMAGE
        rest = self.tracker.nonce.to_bytes(8, "big", signed=True) + self.expires.to_bytes(4, "big")
        address = encode_address(self.tracker.address) if self.with_address else b""
        return hashlib.sha256(kind + network_id + rest + address + encode_invocation(self.tracker.root)).digest()


class Enforcer(Authorization):
    """Lets pass only what the entries allow, each node once."""

    def __init__(self, source: str, entries: list[SorobanAuthorizationEntry]) -> None:
        self.signed = [_signed(source, each) for each in entries]

    def require(self, machine: "Machine", address: str) -> None:
        depth = len(machine.frames)
        asked = machine.frames[-1].invocation()
        mine = [each for each in self.signed if each.tracker.address == address]
        is_active = any(each.tracker.frames for each in mine)
        for each in mine:
            if self._matches(each.tracker, asked, depth, allow_root=not is_active):
                self._verify(machine, each)
                return
        words = "Unauthorized function call for address"
        raise machine.error(HostError("Auth", "InvalidAction"), words, ADDRESS.encode(address))

    def _matches(self, tracker: Tracker, asked: Invocation, depth: int, *, allow_root: bool) -> bool:
        if depth in tracker.frames:
            return False
        above = tracker.nearest(depth)
        candidates = above.children if above is not None else [tracker.root] if allow_root else []
        for node in candidates:
            if not node.used and node.is_same(asked):
                node.used = True
                tracker.frames[depth] = node
                return True
        return False

    def _verify(self, machine: "Machine", signed: Signed) -> None:
        """Once for each entry, when its root is met: the signature first, then the nonce."""
        if signed.verified or signed.credentials is None:
            return
        address = signed.tracker.address
        try:
            authenticate(machine, address, signed.payload(machine.info.network_id), signed.credentials, signed.tracker)
        except HostError as error:
            if error.kind == "Budget":
                raise
            words = "failed account authentication with error"
            told = ADDRESS.encode(address), error.scval
            raise machine.error(HostError("Auth", "InvalidAction"), words, *told) from error
        _check_expiry(machine, address, signed.expires)
        consume_nonce(machine, address, signed.tracker.nonce, signed.expires)
        signed.verified = True

    def pop(self, depth: int) -> None:
        for each in self.signed:
            each.tracker.pop(depth)


def _signed(source: str, entry: SorobanAuthorizationEntry) -> Signed:
    root = decode_invocation(entry.root_invocation)
    credentials = _address_credentials(entry.credentials)
    if credentials is None:
        return Signed(Tracker(source, root, is_source=True), None, with_address=False)
    address = read_address(credentials.address.to_xdr_bytes(), 0)[0]
    tracker = Tracker(address, root, is_source=False, nonce=credentials.nonce.int64)
    with_address = entry.credentials.type != SorobanCredentialsType.SOROBAN_CREDENTIALS_ADDRESS
    return Signed(tracker, credentials, with_address)


def _address_credentials(credentials: SorobanCredentials) -> SorobanAddressCredentials | None:
    return credentials.address or credentials.address_v2


def _check_expiry(machine: "Machine", address: str, expires: int) -> None:
    ledger = machine.info.sequence
    latest = _latest_expiry(machine)
    told = ADDRESS.encode(address)
    if ledger > expires:
        words = "signature has expired", told, U32.encode(ledger), U32.encode(expires)
        raise machine.error(HostError("Auth", "InvalidInput"), *words)
    if expires > latest:
        late = "signature expiration is too late", told, U32.encode(latest), U32.encode(expires)
        raise machine.error(HostError("Auth", "InvalidInput"), *late)


def _latest_expiry(machine: "Machine") -> int:
    return machine.info.sequence + machine.storage.lifetimes.most - 1


def consume_nonce(machine: "Machine", address: str, nonce: int, expires: int | None) -> None:
    """Raises HostError if it was used before and has not been forgotten yet.

    Where nobody has signed yet it is taken to be remembered as long as can be.
    """
    key = nonce_key(address, nonce)
    try:
        used = machine.storage.get(key)
    except HostError:
        words = "trying to access nonce outside of footprint for address"
        raise machine.error(HostError("Storage", "ExceededLimit"), words, ADDRESS.encode(address)) from None
    if used is not None:
        words = "nonce already exists for address"
        raise machine.error(HostError("Auth", "ExistingValue"), words, ADDRESS.encode(address))
    machine.storage.put(key, key[:4] + bytes(4) + key[4:] + VOID.encode(None))
    machine.storage.set_live_until(key, _latest_expiry(machine) if expires is None else expires)
