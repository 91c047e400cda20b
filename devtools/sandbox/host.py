"""Calls a function of a contract by name with XDR arguments, and says what came of it, as XDR."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ajo.soroban.contract import DecodeError
from ajo.soroban.contract.codec import ADDRESS, I128, U64, VOID, Codec, vec_of
from ajo.soroban.contract.functions import decode_args, encode_result
from devtools.sandbox.contract import Ajo
from devtools.sandbox.env import CallFailed, Emitted, Env, Failure, State, StateKey
from devtools.sandbox.token import Token

_TOKEN: Final[dict[str, tuple[Codec[Any], ...]]] = {"balance": (ADDRESS,), "transfer": (ADDRESS, ADDRESS, I128)}
_VOID: Final = VOID.to_xdr(None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call gave: a result (base64 SCVal) and what it changed, or an error and no change.

    The events of a failed call are those it had emitted before it failed: the host shows them, a network drops them.
    """

    result: str | None
    error: Failure | None
    events: tuple[Emitted, ...]
    writes: dict[StateKey, Any]


@dataclass(frozen=True, slots=True)
class Contracts:
    """The addresses of the contracts that the host runs."""

    ajo: str
    token: str
    router: str


def invoke(
    state: State, contracts: Contracts, timestamp: int, on: str, fn: str, args: Sequence[str], *, view: bool = False
) -> Outcome:
    """Run one call at a ledger's time (unix seconds) on committed state, which stays as it is.

    A function or arguments that the contract does not have trap, as they do in the host.
    """
    env = Env(state, contracts.ajo, timestamp)
    try:
        if on == contracts.ajo:
            result = _ajo(env, fn, args)
        elif on == contracts.router and fn == "contribute_all":
            result = _contribute_all(env, contracts.ajo, args)
        elif on == contracts.token and fn in _TOKEN:
            result = _token(env, contracts.token, fn, args)
        else:
            raise CallFailed("trap")
    except CallFailed as failed:
        return Outcome(None, failed.error, tuple(env.events), {})
    return Outcome(result, None, tuple(env.events), {} if view else env.changes())


def _ajo(env: Env, fn: str, args: Sequence[str]) -> str:
    try:
        values = decode_args(fn, args)
    except DecodeError:
        raise CallFailed("trap") from None
    if fn == "upgrade" and len(values["new_wasm_hash"]) != 32:
        raise CallFailed("trap")
    result = getattr(Ajo(env), fn)(**values)
    try:
        return encode_result(fn, result)
    except OverflowError:
        raise CallFailed("trap") from None


def _contribute_all(env: Env, ajo: str, args: Sequence[str]) -> str:
    """`contribute_all(ajo, members, group_ids)`: one `contribute` for each pair; one that fails fails them all."""
    try:
        target, members, group_ids = _decode((ADDRESS, vec_of(ADDRESS), vec_of(U64)), args)
    except ValueError:
        raise CallFailed("trap") from None
    if target != ajo:
        raise CallFailed("trap")
    for place, member in enumerate(members):
        if place >= len(group_ids):
            raise CallFailed("trap")
        Ajo(env).contribute(member, group_ids[place])
    return _VOID


def _token(env: Env, token: str, fn: str, args: Sequence[str]) -> str:
    try:
        values = _decode(_TOKEN[fn], args)
    except ValueError:
        raise CallFailed("trap") from None
    if fn == "balance":
        return I128.to_xdr(Token(env, token).balance(*values))
    Token(env, token).transfer(*values)
    return _VOID


def _decode(codecs: Sequence[Codec[Any]], args: Sequence[str]) -> list[Any]:
    return [codec.from_xdr(arg) for codec, arg in zip(codecs, args, strict=True)]
