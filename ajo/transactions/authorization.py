"""Authorization entries: that a call asks for no other than its own, and what a wallet needs to sign one.

A node could slip another invocation, or another address, into what a simulation recorded, and a wallet would sign it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from stellar_sdk import Address
from stellar_sdk.auth import build_authorization_preimage
from stellar_sdk.xdr import (
    InvokeContractArgs,
    SCSymbol,
    SCVal,
    SCValType,
    SorobanAddressCredentials,
    SorobanAuthorizationEntry,
    SorobanAuthorizedFunction,
    SorobanAuthorizedFunctionType,
    SorobanAuthorizedInvocation,
    SorobanCredentialsType,
    Uint32,
)

from ajo.cache import Unavailable
from ajo.soroban.contract.codec import ADDRESS, BYTES, I128, STRING, U64
from ajo.soroban.contract.entries import printable
from ajo.soroban.contract.functions import WRITES
from ajo.soroban.rpc.errors import RpcInvalidAnswer
from ajo.transactions.calls import Call
from ajo.transactions.codes import Code
from ajo.transactions.conflicts import Conflict
from ajo.transactions.state import State

# The kinds of credentials that name their address, as clients choose them: V2 (CAP-71) binds the address into what is
# signed, and needs protocol 27.
KINDS: Final = {
    "address": SorobanCredentialsType.SOROBAN_CREDENTIALS_ADDRESS,
    "address_v2": SorobanCredentialsType.SOROBAN_CREDENTIALS_ADDRESS_V2,
}
SOURCE: Final = SorobanCredentialsType.SOROBAN_CREDENTIALS_SOURCE_ACCOUNT
_ARGUMENTS: Final = ("creator", "member", "requester", "voter", "executor", "claimant")


@dataclass(frozen=True, slots=True)
class AuthEntry:
    """What a wallet needs to sign one entry. `xdr` and `preimage` are base64."""

    address: str
    credentials: str
    xdr: str
    preimage: str
    nonce: int
    expires_ledger: int
    invocation: dict[str, Any]


def authorizer(call: Call, state: State) -> str | None:
    """Return whose authorization the contract asks for (docs/chain.md §1.3); None where it asks for nobody's.

    Raises Unavailable where the entry that says who it is cannot be read: the node is not at fault.
    """
    if call.function in ("initialize", "execute_payout"):
        return None
    if call.function == "emergency_refund":
        return str(call.args["admin"])
    if call.function == "set_group_metadata":
        found = state.group.creator if state.group else None
    elif name := next((each for each in _ARGUMENTS if each in call.args), None):
        found = call.args[name]
    else:
        found = state.admin
    if found is None:
        raise Unavailable(f"{call.function} was allowed, though this version cannot read who has to authorize it.")
    return found


def check_entries(entries: Sequence[SorobanAuthorizationEntry], call: Call, state: State, source: str) -> None:
    """Check that the entries are exactly what the call needs: one of the right address, for this very call.

    Raises RpcInvalidAnswer for a foreign one, which only a node at fault records; Conflict where the token asks for
    more than the payment.
    """
    wanted = authorizer(call, state)
    found = [address_of(entry, source) for entry in entries]
    if found != ([] if wanted is None else [wanted]):
        raise RpcInvalidAnswer("simulateTransaction: an authorization of another address than the call needs")
    for entry in entries:
        root = entry.root_invocation
        if _contract_call(root) != call.invocation().to_xdr_bytes():
            raise RpcInvalidAnswer("simulateTransaction: an authorization of something else than the call")
        _check_below(root, call, state)


def _check_below(root: SorobanAuthorizedInvocation, call: Call, state: State) -> None:
    """Check what is authorized below the root: nothing, or the payment of a contribution.

    A token may ask for anything else of its payer's there, as moving other tokens: that no wallet should sign.
    """
    allowed = [_payment(call, state)] if call.function == "contribute" else []
    found = [_contract_call(each) for each in root.sub_invocations]
    deeper = [each for below in root.sub_invocations for each in below.sub_invocations]
    if deeper or any(each not in allowed for each in found) or len(found) > 1:
        raise Conflict(Code.BAD_AUTH, "The group's token asks for an authorization beyond the payment itself.")


def _payment(call: Call, state: State) -> bytes | None:
    if state.group is None or state.group.token_address is None:
        return None
    args = [
        ADDRESS.to_xdr(call.args["member"]),
        ADDRESS.to_xdr(settings.AJO_CONTRACT_ID),
        I128.to_xdr(state.group.contribution_amount),
    ]
    return InvokeContractArgs(
        contract_address=Address(state.group.token_address).to_xdr_sc_address(),
        function_name=SCSymbol(b"transfer"),
        args=[SCVal.from_xdr(each) for each in args],
    ).to_xdr_bytes()


def _contract_call(invocation: SorobanAuthorizedInvocation) -> bytes:
    """Return the call as XDR; of anything but a contract's function, nothing."""
    invoked = _contract_fn(invocation.function)
    return invoked.to_xdr_bytes() if invoked else b""


def _contract_fn(function: SorobanAuthorizedFunction) -> InvokeContractArgs | None:
    if function.type != SorobanAuthorizedFunctionType.SOROBAN_AUTHORIZED_FUNCTION_TYPE_CONTRACT_FN:
        return None
    return function.contract_fn


def credentials_of(entry: SorobanAuthorizationEntry) -> SorobanAddressCredentials | None:
    """Return the credentials that name their address; None for the source account's.

    Raises ValueError for a kind that this service does not know, such as delegates.
    """
    given = entry.credentials
    if given.type == SOURCE:
        return None
    found = {KINDS["address"]: given.address, KINDS["address_v2"]: given.address_v2}.get(given.type)
    if found is None:
        raise ValueError(f"credentials of the kind {given.type.name.removeprefix('SOROBAN_CREDENTIALS_').lower()}")
    return found


def address_of(entry: SorobanAuthorizationEntry, source: str) -> str:
    """Return whose authorization an entry is. Raises RpcInvalidAnswer for a kind that is unknown."""
    try:
        credentials = credentials_of(entry)
    except ValueError as error:
        raise RpcInvalidAnswer(f"simulateTransaction: {error}") from error
    return source if credentials is None else Address.from_xdr_sc_address(credentials.address).address


def expire(entries: Sequence[SorobanAuthorizationEntry], ledger: int) -> None:
    """Let the entries be valid through this ledger; what is the source account's has no such end."""
    for entry in entries:
        credentials = credentials_of(entry)
        if credentials is not None:
            credentials.signature_expiration_ledger = Uint32(ledger)


def is_signed(entry: SorobanAuthorizationEntry) -> bool:
    """Return whether an entry carries a signature; the source account's needs none of its own."""
    credentials = credentials_of(entry)
    return credentials is None or credentials.signature.type != SCValType.SCV_VOID


def to_sign(entries: Sequence[SorobanAuthorizationEntry], call: Call) -> list[AuthEntry]:
    """Return what wallets need to sign the entries: all but the source account's, which the envelope's cover."""
    found = []
    for entry in entries:
        credentials = credentials_of(entry)
        if credentials is None:
            continue
        expires = credentials.signature_expiration_ledger.uint32
        preimage = build_authorization_preimage(entry, expires, settings.STELLAR_NETWORK_PASSPHRASE)
        found.append(
            AuthEntry(
                address=Address.from_xdr_sc_address(credentials.address).address,
                credentials=next(name for name, kind in KINDS.items() if kind == entry.credentials.type),
                xdr=entry.to_xdr(),
                preimage=preimage.to_xdr(),
                nonce=credentials.nonce.int64,
                expires_ledger=expires,
                invocation=_described(entry.root_invocation, call),
            )
        )
    return found


def _described(root: SorobanAuthorizedInvocation, call: Call) -> dict[str, Any]:
    """Return a checked invocation for people to read: the call, and the payment below it."""
    below = []
    for each in root.sub_invocations:
        payment = _contract_fn(each.function)
        if payment is not None:
            values = [arg.to_xdr() for arg in payment.args]
            args = {
                "from": ADDRESS.from_xdr(values[0]),
                "to": ADDRESS.from_xdr(values[1]),
                "amount": str(I128.from_xdr(values[2])),
            }
            below.append(_node(Address.from_xdr_sc_address(payment.contract_address).address, "transfer", args, []))
    return _node(settings.AJO_CONTRACT_ID, call.function, json_args(call), below)


def _node(contract: str, function: str, args: dict[str, Any], below: list[dict[str, Any]]) -> dict[str, Any]:
    return {"contract": contract, "function": function, "args": args, "sub_invocations": below}


def json_args(call: Call) -> dict[str, Any]:
    """Return a call's arguments by name in the API's forms: u64 and i128 as strings, texts as such, hashes in hex."""
    return {name: to_json(codec, call.args[name]) for name, codec in WRITES[call.function].args.items()}


def to_json(codec: Any, value: Any) -> Any:
    """Return a value of the contract in the API's form."""
    if codec is STRING:
        return printable(value)
    if codec is BYTES:
        return value.hex()
    return str(value) if codec in (U64, I128) else value
